"""5,000 real MNIST digits that come with tinynet; ATTRIBUTION.md says whose they are and how chosen."""

from importlib.resources import files
from pathlib import Path


def path() -> Path:
    """The folder that holds the four IDX files of the sample, named as MNIST's."""
    return Path(str(files(__name__)))
