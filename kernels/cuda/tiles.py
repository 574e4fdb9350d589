"""How a product is cut into tiles, one for each block of threads: what `shares.cuh` is launched with."""

from __future__ import annotations

from dataclasses import dataclass
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
PRECISIONS = {"float32": 0, "tf32": 1, "bf16": 2}
"""What tensor cores multiply float32 factors as: each in two halves, or rounded to 11 bits or to 8."""
MORE_COUNTERS = 3
"""Of what is put together of parts, besides one for each part: `last_block.cuh`."""


@dataclass(frozen=True)
class Cut:
    """A product in so many tiles, each in so many parts of depth `length`; the last may be less deep."""

    tiles: int
    parts: int
    length: int

    @property
    def blocks(self) -> int:
        return self.tiles * self.parts

    @property
    def counters(self) -> int:
        """By which blocks find out that all parts of a tile are there."""
        return self.tiles * (self.parts + MORE_COUNTERS)


def cut(rows: int, columns: int, depth: int, dtype: Any) -> Cut:
    """The product (rows, depth) · (depth, columns).

    Where its tiles are few it is cut into parts, so that there are blocks enough. The shape alone decides:
    every GPU adds up in the same order.
    """
    tiles = -(-rows // ROWS[np.dtype(dtype)]) * -(-columns // COLUMNS)
    wanted = min(ENOUGH_BLOCKS // max(tiles, 1), -(-depth // DEEP))
    steps = -(-depth // (max(wanted, 1) * STEP))
    length = max(steps, 1) * STEP
    return Cut(tiles, max(-(-depth // length), 1), length)
