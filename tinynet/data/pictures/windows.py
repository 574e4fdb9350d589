"""Sliding windows over a plane (h, w): means, and the closing and opening of mathematical morphology.

All are separable, so even wide windows take little time. Beyond its edge, a plane goes on as it ends.
"""

from __future__ import annotations

import numpy as np

from tinynet.types import Array


def mean(plane: Array, radius: int) -> Array:
    """The mean of the window of 2 radius + 1 pixels a side."""
    if radius < 1:
        return plane
    for _ in range(2):
        plane = _mean_of_rows(plane, radius).T
    return plane


def _mean_of_rows(plane: Array, radius: int) -> Array:
    padded = np.pad(plane.astype(np.float64), ((0, 0), (radius + 1, radius)), mode="edge")
    sums = np.cumsum(padded, axis=1)
    size = 2 * radius + 1
    return ((sums[:, size:] - sums[:, :-size]) / size).astype(np.float32)


def highest(plane: Array, radius: int) -> Array:
    """The highest value in the window of 2 radius + 1 pixels a side: a dilation."""
    found = np.pad(plane, radius, mode="edge")
    for axis in (0, 1):
        found = _highest_along(np.swapaxes(found, 0, axis), 2 * radius + 1).swapaxes(0, axis)
    return np.ascontiguousarray(found)


def _highest_along(plane: Array, size: int) -> Array:
    """The highest of each `size` successive rows, by windows that double in size."""
    reached = 1
    while reached < size:
        step = min(reached, size - reached)
        plane = np.maximum(plane[:-step], plane[step:])
        reached += step
    return plane


def lowest(plane: Array, radius: int) -> Array:
    """The lowest: an erosion."""
    return -highest(-plane, radius)


def closed(plane: Array, radius: int) -> Array:
    """What is left when all that is dark and narrower than the window is filled with what surrounds it."""
    padded = np.pad(plane, 2 * radius, mode="edge")
    middle = slice(2 * radius, -2 * radius or None)
    return lowest(highest(padded, radius), radius)[middle, middle]


def opened(plane: Array, radius: int) -> Array:
    """The same of what is bright."""
    return -closed(-plane, radius)
