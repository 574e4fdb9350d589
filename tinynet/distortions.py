"""What is drawn for an image that is distorted: whole numbers, the same on every backend.

They are made of random words by operations that IEEE 754 fixes to the last bit, in float64: see `elementary`.
`kernels/cuda/augmentation.cu` draws them by the same operations in the same order.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tinynet.elementary import exponential, sine_and_cosine
from tinynet.rng import Key, uniform
from tinynet.types import Array

PIXEL = 1 << 16
"""Units of a place in a pixel."""
WHOLE = 256
"""Units of contrast in an image left as it is."""
RATIO = 3.0
"""The sides of an erased rectangle are at most so many times as long as each other."""
NUMBERS = 10
"""Random numbers that an image takes of its key, for all but the growth of its strokes …"""
GROWTH_LAYER = 2
"""… for which there is one, of the key with this `layer`."""
FINE = 256
"""Units of growth in a pixel."""


class Distortions(NamedTuple):
    """What is done to each of N images, but for the displacement: whole numbers that `Backend.warp` reads."""

    places: Array
    """int64 (N, 6): row = a i + b j + c and column = d i + e j + f, in 65536ths, for the new pixel (i, j)."""
    contrast: Array
    """int64 (N,): the factor, in 256ths."""
    erased: Array
    """int64 (N, 4): the rectangle [top, bottom) × [left, right)."""
    growth: Array
    """int64 (N,): by how much strokes grow on each side, in 256ths of a pixel; below 0 they shrink."""

    def rows(self, first: int, stop: int) -> Distortions:
        """Those of the images [first, stop)."""
        return Distortions(*(array[first:stop] for array in self))


class Limits(NamedTuple):
    """How far images are distorted, at the most: see `data.augmentation.Augmentation`."""

    rotation: float
    """Degrees to either side."""
    shift: float
    """Share of each side of the image, either way."""
    scale: float
    """0.1: from 0.9 to 1.1 times as large."""
    shear: float
    """Degrees to either side."""
    contrast: float
    """0.2: factors from 0.8 to 1.2."""
    erase: float
    """Share of the image's area."""
    stroke: float
    """Pixels by which strokes grow on each side; half as many by which they shrink."""


def draw(key: Key, first: int, count: int, size: tuple[int, int], limits: Limits) -> Distortions:
    """What is done to the `count` images of `size` (H, W) from number `first` of `key` on.

    Each draws evenly within the limits; of the ratio of an erased rectangle's sides that is the logarithm.
    """
    u = uniform(key._replace(first=NUMBERS * first), (count, NUMBERS)).T.copy()
    either = 2 * u - 1
    own = key._replace(layer=GROWTH_LAYER, first=first)
    wider = uniform(own, (count,)) if limits.stroke else np.zeros(count)
    return Distortions(
        affine(
            size,
            rotation=np.radians(limits.rotation * either[0]),
            down=limits.shift * size[0] * either[1],
            right=limits.shift * size[1] * either[2],
            scale=1 + limits.scale * either[3],
            shear=np.radians(limits.shear * either[4]),
        ),
        _whole(WHOLE * (1 + limits.contrast * either[5])),
        rectangles(size, limits.erase * u[6], exponential(math.log(RATIO) * either[7]), u[8], u[9]),
        _whole(FINE * (limits.stroke * (1.5 * wider - 0.5))),
    )


def affine(
    size: tuple[int, int], *, rotation: Array, down: Array, right: Array, scale: Array, shear: Array
) -> Array:
    """`Distortions.places` for content that is sheared, turned (radians, counter-clockwise) and scaled about
    the centre of an image of `size`, then moved so many pixels; each setting (N,)."""
    sin, cos = sine_and_cosine(rotation)
    rise, run = sine_and_cosine(shear)
    slope = rise / run
    # M = scale · rotation · shear on (row, column), and its inverse
    a, b = cos / scale, sin / scale
    d, e = (slope * cos - sin) / scale, (slope * sin + cos) / scale
    middle, centre = (size[0] - 1) / 2, (size[1] - 1) / 2
    c = middle - a * (middle + down) - b * (centre + right)
    f = centre - d * (middle + down) - e * (centre + right)
    return _whole(PIXEL * np.stack([a, b, c, d, e, f], axis=-1))


def rectangles(size: tuple[int, int], area: Array, ratio: Array, vertical: Array, horizontal: Array) -> Array:
    """`Distortions.erased` for rectangles of `area` (a share of the image) and `ratio` (height to width).

    vertical, horizontal: where they lie, from 0 (at the top, left) to just below 1. All (N,).
    """
    pixels = area * size[0] * size[1]
    height = np.minimum(np.rint(np.sqrt(pixels * ratio)), size[0])
    width = np.minimum(np.rint(pixels / np.maximum(height, 1)), size[1])
    top, left = np.floor(vertical * (size[0] - height + 1)), np.floor(horizontal * (size[1] - width + 1))
    return _whole(np.stack([top, top + height, left, left + width], axis=-1))


def _whole(values: Array) -> Array:
    return np.rint(values).astype(np.int64)
