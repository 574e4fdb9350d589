"""MNIST's own fitting: the digit's box scaled to 20 of 28 pixels, its centre of mass in the middle.

LeCun et al., "Gradient-based learning applied to document recognition", 1998, section III-A.
"""

from __future__ import annotations

import math

import numpy as np

from tinynet.data.pictures import windows
from tinynet.types import Array

DIGIT_SHARE = 20 / 28
"""How much of the side the digit's box takes."""
THINNEST = 1.8
"""Pixels that a stroke is wide at least once it is fitted; MNIST's are two or three."""

NARROW, NARROWER = (0.3, 0.58), 0.85
"""A digit whose width is between these shares of its height is made narrower by this factor. MNIST's writers,
who were American, wrote 1 as a bar: with a flag it is as narrow as theirs only so, and a 7 if it is not."""


def fit(ink: Array, size: tuple[int, int]) -> Array:
    """Ink (h, w), 0 to 1, scaled and centred on an empty picture of `size`: uint8."""
    from PIL import Image

    ink = _broadened(ink, size)
    box = ink[_extent(ink, axis=1), _extent(ink, axis=0)]
    scale = _scale(box, size)
    height, width = (max(1, round(scale * length)) for length in box.shape)
    if NARROW[0] < width / height < NARROW[1]:
        width = max(1, round(NARROWER * width))
    levels = Image.fromarray((255 * box).round().astype(np.uint8))
    digit = np.asarray(levels.resize((width, height), Image.Resampling.LANCZOS), dtype=np.float64)
    digit *= 255 / max(digit.max(), 1)  # thin lines fade as they shrink
    top, left = (
        min(max(math.floor(side / 2 - centre + 0.5), 0), side - length)
        for side, centre, length in zip(size, _centre(digit), digit.shape, strict=True)
    )
    fitted = np.zeros(size, np.uint8)
    fitted[top : top + height, left : left + width] = digit.round()
    return fitted


def stroke_width(ink: Array) -> float:
    """How wide the strokes of ink (h, w), 0 to 1, are on average, in pixels: twice area by edge."""
    padded = np.pad(ink > 0.5, 1)
    edge = sum(int(np.diff(padded.astype(np.int8), axis=axis).astype(bool).sum()) for axis in (0, 1))
    return 2 * float(padded.sum()) / max(1.0, edge * math.pi / 4)


def box_of(ink: Array) -> tuple[int, int]:
    """Height and width of the digit's box."""
    return ink[_extent(ink, axis=1), _extent(ink, axis=0)].shape


def _scale(box: Array, size: tuple[int, int]) -> float:
    return min(side * DIGIT_SHARE / length for side, length in zip(size, box.shape, strict=True))


def _broadened(ink: Array, size: tuple[int, int]) -> Array:
    """The same with strokes wide enough to be seen when fitted."""
    box = ink[_extent(ink, axis=1), _extent(ink, axis=0)]
    missing = THINNEST / _scale(box, size) - stroke_width(ink)
    radius = round(missing / 2)
    return windows.highest(np.pad(ink, radius), radius) if radius >= 1 else ink


def _extent(ink: Array, axis: int) -> slice:
    """From the first row (or column) with ink to the last."""
    inked = np.flatnonzero((ink > 0).any(axis=axis))
    return slice(inked[0], inked[-1] + 1)


def _centre(digit: Array) -> tuple[float, float]:
    """The centre of mass, as (row, column)."""
    rows, columns = (np.arange(length) for length in digit.shape)
    mass = digit.sum()
    return float(digit.sum(axis=1) @ rows / mass), float(digit.sum(axis=0) @ columns / mass)
