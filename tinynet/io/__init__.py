"""Files: written whole or not at all, read within limits, TOML, Markdown, tables of plain values checked."""
