"""Windows of images put back where they lay: what graders compare a slip with."""

from __future__ import annotations

import numpy as np

from tinynet.types import Array, Shape


def overwritten(windows: Array, shape: Shape, stride: int, written: Array | None = None) -> Array:
    """What is left in `shape` (N, H, W, C) if each window (N, OH, OW, KH, KW, C) overwrites those before it.

    `written`, like the windows: above 0 where a window writes; everywhere, if it is not given.
    """
    left = np.zeros(shape)
    _, OH, OW, KH, KW, _ = windows.shape
    for i in range(OH):
        for j in range(OW):
            top, edge = i * stride, j * stride
            place = left[:, top : top + KH, edge : edge + KW]
            mine = True if written is None else written[:, i, j] > 0
            place[...] = np.where(mine, windows[:, i, j], place)
    return left
