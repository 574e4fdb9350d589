"""The version: its one home, read by the package, its metadata (pyproject.toml) and its reports."""

VERSION = "0.3.0"
