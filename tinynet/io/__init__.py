"""Files: written whole or not at all, TOML, Markdown, and tables of plain values checked."""
