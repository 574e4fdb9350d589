"""How thick, slanted and large the digit in an image is: what one person's hand differs by from another's.

Slant and size are much as in Morpho-MNIST (Castro et al., "Morpho-MNIST: Quantitative assessment and
diagnostics for representation learning", JMLR 20, 2019). The thickness there needs a skeleton, ours does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinynet.types import Array

CHUNK = 1000
"""Images at a time, which bounds the memory."""


def thickness(images: Array) -> Array:
    """The mean width of the strokes of images (N, H, W, 1) uint8, in pixels (N,); NaN of a blank one.

        w = 2 A / P      A = Σ I, the ink's area      P = Σ |∇I|, the length of its outline      I from 0 to 1

    A long stroke of width w and length L has A = w L and P = 2 L, however soft its edge is. A short one is
    measured thinner, by its two ends: w L / (L + w). Pixels add up to 10 % where w is 2.
    """
    return _in_chunks(images, _thickness)


def slant(images: Array) -> Array:
    """How far the strokes of images (N, H, W, 1) lean to the right, in degrees (N,); NaN of a blank one.

        tan θ = - Σ I (x - x̄) (y - ȳ) / Σ I (y - ȳ)²

    with x to the right, y downwards, and (x̄, ȳ) the centre of mass. A shear by -θ along x makes the sum
    above the line 0.
    """
    return _in_chunks(images, _slant)


def extent(images: Array) -> Array:
    """The area of the box around the ink of images (N, H, W, 1), in pixels (N,); 0 of a blank one.

    Ink is what is at least half as dark as black can be. The longer side of MNIST's boxes is 20 pixels, so
    there the area says how wide a digit is for its height.
    """
    return _in_chunks(images, _extent)


def _in_chunks(images: Array, measure: Callable[[Array], Array]) -> Array:
    parts = [measure(images[first : first + CHUNK, ..., 0]) for first in range(0, len(images), CHUNK)]
    return np.concatenate([np.zeros(0), *parts])


def _thickness(grey: Array) -> Array:
    ink = np.pad(grey.astype(np.float64) / 255, ((0, 0), (1, 1), (1, 1)))
    # differences along both diagonals of every 2 x 2 pixels: their gradient (Roberts, 1963), times √2
    one, other = ink[:, 1:, 1:] - ink[:, :-1, :-1], ink[:, 1:, :-1] - ink[:, :-1, 1:]
    outline = np.hypot(one, other).sum(axis=(1, 2)) / math.sqrt(2)
    return 2 * ink.sum(axis=(1, 2)) / np.where(outline > 0, outline, np.nan)


def _slant(grey: Array) -> Array:
    ink = grey.astype(np.float64)
    mass = ink.sum(axis=(1, 2))
    mass[mass == 0] = np.nan
    y, x = np.arange(ink.shape[1])[:, None], np.arange(ink.shape[2])
    down = y - ((ink * y).sum(axis=(1, 2)) / mass)[:, None, None]
    right = x - ((ink * x).sum(axis=(1, 2)) / mass)[:, None, None]
    return np.degrees(
        np.arctan2(-(ink * right * down).sum(axis=(1, 2)), (ink * down * down).sum(axis=(1, 2)))
    )


def _extent(grey: Array) -> Array:
    ink = np.asarray(grey >= 128)
    sides = []
    for axis in (1, 2):
        some = np.asarray(ink.any(axis=axis))
        length = some.shape[1] - some.argmax(axis=1) - some[:, ::-1].argmax(axis=1)
        sides.append(np.where(some.any(axis=1), length, 0))
    return (sides[0] * sides[1]).astype(np.float64)
