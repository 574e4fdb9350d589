"""Thin straight lines across the sheet: ruled and squared paper, a copier's scratch."""

from __future__ import annotations

import numpy as np

from tinynet.data.pictures import windows
from tinynet.types import Array

SLOPES = np.linspace(-0.1, 0.1, 31)
"""How far from level, and from upright, a line may be: rows by which it climbs for each column."""
FULL = 0.75
"""How much of a line's way across the sheet is marked at least."""
SEEN = 0.35
"""The same where strokes hide a part of it: of all of its way."""
THICKEST = 1 / 60
"""How thick a line is at most, as a share of the shorter side."""

COARSER = 8
"""A sheet's width is measured at one of so many columns."""


def find_lines(marked: Array, where: Array) -> Array:
    """The pixels of all such lines among those `marked`, within the sheet `where`: bool (h, w) all three."""
    level = _level_lines(marked & where, where)
    upright = _level_lines((marked & where).T, where.T).T
    return level | upright


def without(ink: Array, lines: Array) -> Array:
    """Ink (h, w) without the lines, save where a stroke crosses them: there it is as beside them."""
    radius = max(1, round(min(ink.shape) * THICKEST / 2)) + 1
    rest = np.where(lines, 0, ink)
    return np.where(lines, np.minimum(windows.closed(rest, radius), ink), ink)


def _level_lines(marked: Array, where: Array) -> Array:
    """Those nearer to level than to upright: for each slope, the lines on which enough pixels are marked.

    Where marks are thicker than a line, they are strokes, or lines that cross it, and tell nothing.
    """
    height, width = marked.shape
    thickest = max(2, round(min(marked.shape) * THICKEST))
    thick = _tall(marked, thickest + 1)
    thin_y, thin_x = np.nonzero(marked & ~thick)
    blind_y, blind_x = np.nonzero(thick)
    sheet_y, sheet_x = np.nonzero(where[:, ::COARSER])
    lines = np.zeros_like(marked)
    for slope in SLOPES:
        climbs = np.round(slope * (width / 2 - np.arange(width))).astype(np.int64)
        climbs -= climbs.min()
        count = height + int(climbs.max()) + 1
        mine = thin_y + climbs[thin_x]
        room = np.bincount(sheet_y + climbs[COARSER * sheet_x], minlength=count) * COARSER
        blind = np.bincount(blind_y + climbs[blind_x], minlength=count)
        seen = np.bincount(mine, minlength=count)
        full = (seen >= FULL * (room - blind)) & (seen >= SEEN * room) & (room >= room.max() / 2)
        found = _short_runs(full, thickest)[mine]
        lines[thin_y[found], thin_x[found]] = True
    return marked & ~thick & (windows.highest(lines.astype(np.float32), 1) > 0)


def _tall(marked: Array, length: int) -> Array:
    """What belongs to vertical runs of at least that length: an opening by a vertical line."""
    flags = np.pad(marked, ((length, length), (0, 0)))
    for _ in range(2):  # all of a window are set; then, none of a window are not
        sums = np.pad(np.cumsum(flags, axis=0, dtype=np.int64), ((1, 0), (0, 0)))
        flags = sums[length:] - sums[:-length] < length
    return flags[1 : 1 + len(marked)]


def _short_runs(flags: Array, longest: int) -> Array:
    """The flags (N,) of runs that are no longer than that."""
    edges = np.flatnonzero(np.diff(np.pad(flags, 1).astype(np.int8)))
    kept = np.zeros_like(flags)
    for start, stop in edges.reshape(-1, 2):
        kept[start:stop] = stop - start <= longest
    return kept
