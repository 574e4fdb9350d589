"""From the strokes of a pen to the pixels that a net sees, as `kernels/js/strokes.js` does it in a browser.

Both compute the same float64 operations in the same order, and to each of these IEEE 754 gives one result. So
their bytes are equal: the drawings in tests/data/strokes prove it. The digit's size and place are MNIST's
(LeCun et al., "Gradient-based learning applied to document recognition", 1998, section III-A).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from tinynet.errors import DataError
from tinynet.types import Array

SIZE = 28
BOX = 20
"""Of SIZE pixels, so many are the longer side of the digit."""
PEN = 2.7
"""How wide the pen is, in pixels of SIZE: by it, drawings have about as much ink as MNIST's digits."""
DISTANCES = 2**18
"""So many, of a pixel from a line, are computed at a time, which bounds the memory."""
SMALLEST = 8
"""Pixels a side that a drawing needs."""


def rasterize(strokes: Sequence[Sequence[Sequence[float]]], size: int = SIZE) -> Array:
    """Grey levels (size, size), uint8, 255 is ink, of strokes: lists of points (x, y), y downwards.

    The longer side of all the points' box is scaled to `BOX` of `SIZE` pixels, the pen's width included. A
    pixel at distance d from the line is inked by pen/2 + 1/2 - d, at least 0, at most 1. The centre of mass
    comes to pixel (size/2, size/2), as far as the box then stays on the picture. `size` is at least SMALLEST.

    One point is a dot; a stroke without points is nothing; without strokes all is 0. Raises DataError for
    points that are no pairs of finite numbers, or lie farther apart than float64 can tell.
    """
    lines = _segments(strokes)
    if not len(lines):
        return np.zeros((size, size), np.uint8)
    points = lines.reshape(-1, 2)
    first, last = points.min(axis=0), points.max(axis=0)
    with np.errstate(over="ignore"):
        longest = float((last - first).max())
    if not math.isfinite(longest):
        raise _refusal("points farther apart than float64 can tell")
    pen, box = PEN * size / SIZE, BOX * size / SIZE
    scaled = (lines - first) / (longest or 1.0) * (box - pen)
    extent = (last - first) / (longest or 1.0) * (box - pen)
    corner = size / 2 - extent / 2
    levels = _draw(scaled + corner, pen, size)
    corner = corner + (size / 2 - _centre(levels))
    corner = np.minimum(np.maximum(corner, pen / 2 - 0.5), size - 0.5 - pen / 2 - extent)
    return _draw(scaled + corner, pen, size)


def _segments(strokes: Any) -> Array:
    """Each stroke's lines from point to point, float64 (S, 2, 2): of one point a line to itself."""
    lines = [np.zeros((0, 2, 2))]
    if not isinstance(strokes, list | tuple):
        raise _refusal(type(strokes).__name__)
    for points in map(_points, strokes):
        starts, ends = (points, points) if len(points) == 1 else (points[:-1], points[1:])
        lines.append(np.stack([starts, ends], axis=1))
    return np.concatenate(lines)


def _points(stroke: Any) -> Array:
    """The points of a stroke (P, 2). Raises DataError unless all are pairs of finite numbers."""
    try:
        pairs = [tuple(point) for point in stroke]
        if not all(len(pair) == 2 and all(map(_is_number, pair)) for pair in pairs):
            raise ValueError("these are no pairs of numbers")
        points = np.array(pairs, np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError) as error:
        raise _refusal(error) from error
    if not np.isfinite(points).all():
        raise _refusal("NaN or infinity")
    return points


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _refusal(received: object) -> DataError:
    return DataError("no stroke", expected="a list of points [x, y], of finite numbers", received=received)


def _draw(lines: Array, pen: float, size: int) -> Array:
    """Levels (size, size) of a pen's way along lines (S, 2, 2), the places (x, y) given in pixels."""
    nearest = np.full((size, size), np.inf)
    at_once = max(1, DISTANCES // size**2)
    for start in range(0, len(lines), at_once):
        nearest = np.minimum(nearest, _squared_distances(lines[start : start + at_once], size).min(axis=0))
    cover = np.minimum(np.maximum(pen / 2 + 0.5 - np.sqrt(nearest), 0), 1)
    levels: Array = np.floor(255 * cover + 0.5).astype(np.uint8)
    return levels


def _squared_distances(lines: Array, size: int) -> Array:
    """Of each pixel's middle from each line a + t (b - a), 0 ≤ t ≤ 1: (S, size, size)."""
    ax, ay, bx, by = (lines[:, end, axis, None, None] for end in (0, 1) for axis in (0, 1))
    x, y = np.arange(size), np.arange(size)[:, None]
    dx, dy = bx - ax, by - ay
    squared = dx * dx + dy * dy
    with np.errstate(over="ignore"):
        t = ((x - ax) * dx + (y - ay) * dy) / np.where(squared > 0, squared, 1)
    t = np.minimum(np.maximum(t, 0), 1)
    ex, ey = x - (ax + t * dx), y - (ay + t * dy)
    return ex * ex + ey * ey


def _centre(levels: Array) -> Array:
    """The centre of mass (x, y) of levels (size, size), by sums of whole numbers: in any order the same."""
    counts, numbers = levels.astype(np.int64), np.arange(len(levels))
    return np.array([counts.sum(axis=0) @ numbers, counts.sum(axis=1) @ numbers]) / counts.sum()
