"""The settings of the reference systems, as TOML files: read by `tinynet.runs.recipe`."""
