"""The sheet of paper in the picture, where more than the sheet is in it."""

from __future__ import annotations

import numpy as np

from tinynet.data.pictures import windows
from tinynet.data.pictures.shapes import shapes
from tinynet.types import Array

SMALLEST = 0.12
"""Of the picture: what is smaller is not taken for the sheet."""
STEP = 30.0
"""Levels by which sheet and desk differ at least."""
SQUARE = (0.88, 1.08)
"""The area of the quadrangle between a sheet's farthest points, over the sheet's own. Of an ellipse it would
be 0.64; of a shape with a dent, more than 1."""
RIM = 3
"""Pixels to either side of a sheet's edge within which the level changes."""
COVERED = 0.35
"""How much of a sheet is ink at most."""
BESIDE = 0.2
"""How much ink may seem to be beside it, as a share of the ink on it."""
OPEN = 0.9
"""How much of the picture's edge a sheet may take at most."""


def find_sheet(level: Array, ink: Array) -> Array | None:
    """The pixels of the sheet, bool (h, w): a bright quadrangle of the ground, with all of the ink on it.

    level: the ground's, where its ink is dark   ink: how far the picture is below it, both float (h, w)

    None where the ground is all one sheet. A shadow has no sharp edge, or lies across the ink; a light digit
    is no quadrangle, or dark in most of its middle.
    """
    if np.ptp(level) < STEP:
        return None
    found = shapes(level > _threshold(level))
    mask = found.labels == found.areas.argmax()
    whole = (
        mask.mean() >= SMALLEST
        and _edge_share(mask) <= OPEN
        and SQUARE[0] <= _squareness(mask) <= SQUARE[1]
        and _sharp(mask, level)
        and _written(mask, ink)
    )
    return mask if whole else None


def _written(mask: Array, ink: Array) -> bool:
    """Whether there is ink on the sheet, not all over it, and none beside it."""
    within = windows.lowest(np.pad(mask, 1).astype(np.float32), 2 * RIM)[1:-1, 1:-1] > 0
    beside = windows.highest(mask.astype(np.float32), 2 * RIM) == 0
    if not within.any() or ink[within].max() < STEP:
        return False
    strong = ink > ink[within].max() / 2
    return bool(strong[within].mean() <= COVERED and strong[beside].sum() <= BESIDE * strong[within].sum())


def inner(sheet: Array) -> Array:
    """The sheet without its rim, which is blurred or in shadow."""
    radius = max(1, round(min(sheet.shape) / 100))
    return windows.lowest(np.pad(sheet, 1).astype(np.float32), radius)[1:-1, 1:-1] > 0.5


def on_sheet_alone(colours: Array, sheet: Array) -> Array:
    """The same picture where the sheet's usual colour takes the place of all around it."""
    alone = colours.copy()
    alone[~inner(sheet)] = np.median(colours[sheet], axis=0)
    return alone


def _threshold(level: Array) -> float:
    """Where two groups of levels are told apart best (Otsu, 1979)."""
    counts, edges = np.histogram(level, bins=128)
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(np.where(above > 0, between, np.nan))])


def _sharp(mask: Array, level: Array) -> bool:
    """Whether the level changes at once where the mask ends, as no shadow's does."""
    within = windows.lowest(mask.astype(np.float32), RIM) > 0
    around = windows.highest(mask.astype(np.float32), RIM) > 0
    step = abs(level[within].mean() - level[~around].mean()) if within.any() and not around.all() else 0
    rim = around & ~within
    change = windows.highest(level, RIM) - windows.lowest(level, RIM)
    return bool(step >= STEP and np.quantile(change[rim], 0.2) >= step / 2)


def _edge_share(mask: Array) -> float:
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return float(edge.mean())


def _squareness(mask: Array) -> float:
    """The area of a large quadrangle with its corners in the mask, over the mask's own."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask.argmax(axis=1)[rows]
    last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)[rows]
    outline = np.concatenate([np.stack([rows, first], 1), np.stack([rows, last], 1)]).astype(np.float64)
    away = outline - outline.mean(axis=0)
    one = outline[np.argmax((away**2).sum(axis=1))]
    other = outline[np.argmax(((outline - one) ** 2).sum(axis=1))]
    diagonal = other - one
    aside = (outline - one) @ np.array([-diagonal[1], diagonal[0]])
    return float(aside.max() - aside.min()) / 2 / float(mask.sum())
