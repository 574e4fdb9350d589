"""Memory that a model's operations write into, allocated once and used again at every step.

A fresh large array costs page faults, often more than the arithmetic that fills it. Here each (owner, role)
has one block, as large as the largest batch it has seen; a smaller batch gets the front of it.

Training and evaluation have a block each (`phase`), so evaluating in mid-training never overwrites what a
pending backward still needs. What an operation returns therefore stays valid until the same layer runs
again in the same phase: copy what must live longer.
"""

from __future__ import annotations

import math

import numpy as np

from tinynet.types import Array, Shape


def aligned_empty(size: int, dtype: np.dtype[np.generic], boundary: int = 64) -> Array:
    """An uninitialised flat array (size,) whose first element lies on a `boundary`-byte address."""
    raw = np.empty(size * dtype.itemsize + boundary, dtype=np.uint8)
    start = -raw.ctypes.data % boundary
    return raw[start : start + size * dtype.itemsize].view(dtype)


class Workspace:
    """The blocks of one model."""

    def __init__(self) -> None:
        self.phase = "train"
        self._blocks: dict[tuple[str, str, str, np.dtype[np.generic]], Array] = {}
        self._views: dict[tuple[str, str, str, np.dtype[np.generic], Shape], Array] = {}

    def array(self, owner: str, role: str, shape: Shape, dtype: np.dtype[np.generic]) -> Array:
        """The array of `shape` for this owner and role in the present phase; contents undefined."""
        key = (self.phase, owner, role, dtype)
        view = self._views.get((*key, shape))
        if view is None:
            size = math.prod(shape)
            if key not in self._blocks or self._blocks[key].size < size:
                self._blocks[key] = aligned_empty(size, dtype)
                self._views = {k: v for k, v in self._views.items() if k[:4] != key}
            view = self._views[(*key, shape)] = self._blocks[key][:size].reshape(shape)
        return view

    @property
    def nbytes(self) -> int:
        """Bytes held by all blocks."""
        return sum(block.nbytes for block in self._blocks.values())
