"""tinynet: a from-scratch neural-network engine. Importing it loads NumPy and nothing heavier."""

__version__ = "0.1.0"
