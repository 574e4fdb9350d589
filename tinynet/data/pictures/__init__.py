"""Pictures from anywhere, made to look like the digits of MNIST: see `read_picture`."""

from tinynet.data.pictures.decode import FORMATS, MAX_PIXELS, require_regular
from tinynet.data.pictures.drawing import read_drawing
from tinynet.data.pictures.reading import Reading, read_as_it_is, read_picture

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "Reading",
    "read_as_it_is",
    "read_drawing",
    "read_picture",
    "require_regular",
]
