"""Which pixels are ink, and which ink is the digit's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinynet.data.pictures import windows
from tinynet.data.pictures.lines import find_lines, without
from tinynet.data.pictures.shapes import Shapes, shapes
from tinynet.types import Array

CONTRAST = 24.0
"""A picture in which nothing stands out by so many of the 256 levels counts as blank."""
NOISE = 5.0
"""Nor does what stands out by fewer standard deviations of the noise."""
FAINTEST = 0.4
"""Nor is ink what stands out by less than this share of the strongest: ruled lines, shadows, a smear."""
MARK = 0.15
"""What stands out by this share of the strongest may be a line of the paper."""
SPECK = 0.02
"""A shape of less than this share of the largest one's area is dust."""
ALONE = 0.5
"""A shape is a digit of its own if it has this share of the tallest one's height, squared of the area."""


class Strokes(NamedTuple):
    ink: Array
    """The ink of the digit, 0 to 1, float32 (h, w)."""
    dropped: Array
    """What stands out too, but is not the digit's, bool (h, w)."""
    lines: bool
    """Whether lines of the paper are among what was dropped."""
    digits: int
    """How many shapes could each be a digit; 0 in a blank picture."""


def find_strokes(ink: Array, noise: float, where: Array) -> Strokes:
    """The digit among all that stands out from the ground, within `where`, bool (h, w).

    A pixel is ink if it stands out by half as much as the strongest ink nearby, so that ink in the shadow is
    ink as well.
    """
    inside = np.where(where, ink, 0)
    strongest = float(windows.mean(inside, 1).max())
    if strongest < max(CONTRAST, NOISE * noise):
        return Strokes(np.zeros_like(ink), inside > CONTRAST, False, 0)
    lines = find_lines(inside > max(MARK * strongest, 3 * noise), where)
    if without(inside, lines).max() < FAINTEST * strongest:
        lines = np.zeros_like(lines)  # nothing else is there
    inside = without(inside, lines)
    radius = max(1, min(ink.shape) // 8)
    nearby = windows.mean(windows.highest(windows.mean(inside, 1), radius), radius)
    nearby = np.maximum(nearby, FAINTEST * strongest)
    share = np.clip(inside / nearby, 0, 1)
    mask = share > 0.5
    found = shapes(mask)
    if not len(found):
        return Strokes(np.zeros_like(ink), lines, bool(lines.any()), 0)
    kept = _digit(found)
    digit = found.mask(kept)
    edge = windows.highest(digit.astype(np.float32), 1) > 0
    dropped = (mask | lines) & ~digit
    count = _count(found, kept)
    return Strokes(np.where(edge, share, 0).astype(np.float32), dropped, bool(lines.any()), count)


def count_digits(mask: Array) -> int:
    """How many shapes of the ink, bool (h, w), could each be a digit."""
    found = shapes(mask)
    return _count(found, _digit(found))


def _digit(found: Shapes) -> Array:
    """Which of the shapes are of a digit, bool (N,): all but dust."""
    return found.areas >= SPECK * found.areas.max()


def _count(found: Shapes, kept: Array) -> int:
    """How many of the shapes could each be a digit: tall ones, beside or below all that are taller."""
    tall = found.heights >= ALONE * found.heights[kept].max()
    large = np.flatnonzero(kept & tall & (found.areas >= ALONE**2 * found.areas.max()))
    large = large[np.argsort(-found.heights[large], kind="stable")]
    return sum(
        not any(_overlap(found.boxes[number], found.boxes[other]) for other in large[:index])
        for index, number in enumerate(large)
    )


def _overlap(one: Array, other: Array) -> bool:
    """Whether two boxes share a third of the smaller one's height and width: parts of one digit do."""
    shared = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    return bool((3 * shared > np.minimum(one[2:] - one[:2], other[2:] - other[:2])).all())
