"""Pictures from anywhere, made to look like the digits of MNIST.

A model sees only what it was trained on: a light digit on a black ground, 20 pixels tall or wide, its centre
of mass in the middle of 28×28 pixels. So a scan or a photograph is treated as the makers of MNIST treated
theirs (LeCun et al., "Gradient-based learning applied to document recognition", 1998, section III-A).
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinynet.errors import DataError
from tinynet.types import Array, Shape

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
MAX_PIXELS = 2**26  # 67 million: any camera's picture, but no decompression bomb
WORKING_SIDE = 1000
"""Larger pictures are first scaled down to this, for speed."""
DIGIT_SHARE = 20 / 28
"""How much of the side the digit's box takes."""
CONTRAST = 24
"""A picture whose ink differs from its ground by fewer of the 256 grey levels counts as blank."""
NOISE = 0.15
"""Ink fainter than this share of the darkest is paper, dust or a trace of JPEG."""


def read_image(path: str | Path, shape: Shape = (28, 28, 1)) -> tuple[Array, str]:
    """Read a PNG, JPEG, BMP, GIF, TIFF or WebP as uint8 (H, W, 1), and say in words how it was fitted.

    A grey picture of that very size on a dark ground is used as it is. Any other is turned to grey (on white
    where it is transparent), inverted if its ground is bright, cropped to the digit, scaled into a box of
    20/28 of the side, and centred by its mass. Raises DataError for a file that is missing, damaged, blank,
    too large or no picture, and for a shape other than (H, W, 1).
    """
    if len(shape) != 3 or shape[2] != 1:
        raise DataError(
            "a picture does not fit this model",
            expected="a model for grey pictures, of input shape (H, W, 1)",
            received=f"one of input shape {shape}",
        )
    picture = _open(Path(path))
    grey, is_grey = _to_grey(picture)
    bright = bool(_ground(grey) > 127)
    if is_grey and not bright and grey.shape == shape[:2]:
        return grey[..., None], "used as it is"
    ink = _ink(path, grey, bright)
    return _fit(ink, shape[:2])[..., None], _explain(picture, is_grey, bright, ink)


def _open(path: Path) -> Image:
    """The picture, decoded and turned upright."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow mutters about odd files it reads all the same
            with Image.open(path, formats=FORMATS) as file:
                if file.width * file.height > MAX_PIXELS:
                    raise Image.DecompressionBombError(f"{file.width} x {file.height}")
                return ImageOps.exif_transpose(file)
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path} is too large a picture",
            expected=f"at most {MAX_PIXELS:,} pixels",
            received=error,
            fix="scale it down first",
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path} is not a picture",
            expected=", ".join(FORMATS),
            received="a file of another kind, or a damaged one",
            fix="check the file; save the picture as PNG",
        ) from error
    except Exception as error:  # on damaged files Pillow's decoders raise almost any kind
        raise DataError(
            f"{path} cannot be read",
            expected="a whole picture: " + ", ".join(FORMATS),
            received=getattr(error, "strerror", None) or error,
            fix="check the path, or save the picture again as PNG",
        ) from error


def _to_grey(picture: Image) -> tuple[Array, bool]:
    """Grey levels uint8 (h, w), of at most WORKING_SIDE, and whether the picture has no colours."""
    from PIL import Image

    if picture.mode[0] in "IF":  # more than 8 bits: stretched from its darkest to its brightest
        levels = np.asarray(picture, dtype=np.float64)
        low, high = levels.min(), levels.max()
        picture = Image.fromarray(((levels - low) * (255 / max(high - low, 1e-9))).astype(np.uint8))
    opaque = Image.new("RGBA", picture.size, "white")
    opaque.alpha_composite(picture.convert("RGBA"))
    opaque.thumbnail((WORKING_SIDE, WORKING_SIDE))
    red, green, blue = (np.asarray(band).astype(np.int16) for band in opaque.split()[:3])
    is_grey = bool((np.maximum(abs(red - green), abs(green - blue)) <= 2).all())
    return np.array(opaque.convert("L")), is_grey


def _ground(grey: Array) -> float:
    """The grey level around the digit: the median of the border."""
    return float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))


def _ink(path: str | Path, grey: Array, bright: bool) -> Array:
    """Ink, float (h, w): 0 for the ground, 255 where it is strongest."""
    difference = (grey.astype(np.float64) - _ground(grey)) * (-1 if bright else 1)
    strongest = float(difference.max())
    if strongest < CONTRAST:
        raise DataError(
            f"{path} is blank",
            expected="one digit, darker or lighter than the ground around it",
            received=f"grey levels {grey.min()} to {grey.max()}, {_ground(grey):.0f} around the edge",
            fix="draw the digit with more contrast, clear of the edge",
        )
    share = difference / strongest
    return np.where(share < NOISE, 0, 255 * share)


def _fit(ink: Array, size: Shape) -> Array:
    """The digit's box, scaled, on an empty picture of `size` with its centre of mass at (H/2, W/2)."""
    from PIL import Image

    box = ink[_extent(ink, axis=1), _extent(ink, axis=0)]
    scale = min(side * DIGIT_SHARE / length for side, length in zip(size, box.shape, strict=True))
    height, width = (max(1, round(scale * length)) for length in box.shape)
    small = Image.fromarray(box.astype(np.uint8)).resize((width, height), Image.Resampling.LANCZOS)
    digit = np.asarray(small, dtype=np.float64)
    digit *= 255 / max(digit.max(), 1)  # thin lines fade as they shrink
    top, left = (
        min(max(math.floor(side / 2 - centre + 0.5), 0), side - length)
        for side, centre, length in zip(size, _centre(digit), digit.shape, strict=True)
    )
    fitted = np.zeros(size, np.uint8)
    fitted[top : top + height, left : left + width] = digit.round()
    return fitted


def _extent(ink: Array, axis: int) -> slice:
    """From the first row (or column) with ink to the last."""
    inked = np.flatnonzero(ink.any(axis=axis))
    return slice(inked[0], inked[-1] + 1)


def _centre(digit: Array) -> tuple[float, float]:
    """The centre of mass, as (row, column)."""
    rows, columns = (np.arange(length) for length in digit.shape)
    mass = digit.sum()
    return float(digit.sum(axis=1) @ rows / mass), float(digit.sum(axis=0) @ columns / mass)


def _explain(picture: Image, is_grey: bool, bright: bool, ink: Array) -> str:
    box = ink[_extent(ink, axis=1), _extent(ink, axis=0)].shape
    steps = [] if is_grey else ["turned to grey"]
    steps += ["inverted"] if bright else []
    whole = f"{picture.width} x {picture.height}"
    reduced = picture.height / ink.shape[0]
    digit = " x ".join(f"{length * reduced:.0f}" for length in reversed(box))
    return ", ".join([*steps, f"cropped from {whole} to {digit}", "scaled", "centred"])
