"""The named architectures and their recipes: one TOML file each, read by `tinynet.runs.recipe`."""
