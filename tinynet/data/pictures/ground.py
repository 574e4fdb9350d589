"""The ground under the ink: what the picture would be if nothing were written on it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinynet.data.pictures import windows
from tinynet.types import Array

WINDOW = 1 / 3
"""Of the shorter side: no stroke is wider, and light changes over greater distances."""


class Ground(NamedTuple):
    level: Array
    """The ground's level at each pixel, float32 (h, w)."""
    ink: Array
    """How far each pixel stands out from it towards the ink, 0 or more, float32 (h, w)."""
    bright: bool
    """Whether the ground is brighter than the ink."""


def possible_grounds(plane: Array) -> tuple[Ground, Ground]:
    """The ground of a plane (h, w), float32, if its ink is dark, and if it is light.

    Dark strokes vanish in the morphological closing, light ones in the opening, while an edge that goes on,
    of a shadow or of a sheet on a desk, stays as it is in both.
    """
    radius = max(1, round(min(plane.shape) * WINDOW / 2))
    closed, opened = windows.closed(plane, radius), windows.opened(plane, radius)
    # the extremes of noise lie aside its middle
    above, below = float(np.median(closed - plane)), float(np.median(plane - opened))
    return (
        Ground(closed - above, np.maximum(closed - above - plane, 0), True),
        Ground(opened + below, np.maximum(plane - opened - below, 0), False),
    )


def smoother(one: Ground, other: Ground) -> Ground:
    """Of two possible grounds the right one: in the wrong one, the digit's outline is left."""
    return one if _roughness(one.level) <= _roughness(other.level) else other


def _roughness(plane: Array) -> float:
    """Squares, as an outline is a great change in few places, and light a small change in many."""
    return float((np.diff(plane, axis=0) ** 2).sum() + (np.diff(plane, axis=1) ** 2).sum())


def light(colours: Array) -> Array:
    """How much light falls on each pixel (h, w), of what falls on the brightest: 0.1 to 1."""
    brightness = colours.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    radius = max(1, round(min(brightness.shape) * WINDOW / 2))
    level = windows.closed(windows.mean(brightness, 1), radius)
    return np.maximum(level / max(float(level.max()), 1), 0.1)


def noise_of(plane: Array) -> float:
    """The standard deviation of a plane's noise, from how far pixels are from their neighbours."""
    if min(plane.shape) < 3:
        return 0.0
    middle = (plane[1:-1, :-2] + plane[1:-1, 2:] + plane[:-2, 1:-1] + plane[2:, 1:-1]) / 4
    return 1.4826 * float(np.median(np.abs(plane[1:-1, 1:-1] - middle))) / np.sqrt(1.25)
