"""How a product is cut into tiles, one for each block of threads: what `tiles.cuh` is launched with."""

from __future__ import annotations

from typing import Any

import numpy as np

ROWS = {np.dtype("float32"): 128, np.dtype("float64"): 64}
"""Rows of a tile."""
COLUMNS = 64
STEP = 16
"""A part of a product is as deep as so many of its factors' rows, or a multiple."""
DEEP = 256
"""A product that is deeper is cut, if its tiles are few, into parts of more than half of that."""
ENOUGH_BLOCKS = 264
"""Two for each of an H100's 132 processors, which it runs at once."""


def count(rows: int, columns: int, dtype: Any) -> int:
    """Tiles of a product (rows, columns)."""
    return -(-rows // ROWS[np.dtype(dtype)]) * -(-columns // COLUMNS)


def parts(tiles: int, depth: int) -> tuple[int, int]:
    """How a product of so many tiles, of factors `depth` deep, is cut so that there are blocks enough.

    The number of parts, and the depth of each but for the last. The shape alone decides: every GPU adds up in
    the same order.
    """
    wanted = min(ENOUGH_BLOCKS // max(tiles, 1), -(-depth // DEEP))
    steps = -(-depth // (max(wanted, 1) * STEP))
    each = max(steps, 1) * STEP
    return max(-(-depth // each), 1), each
