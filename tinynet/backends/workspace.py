"""Memory that a model's operations write into, allocated once and used again at every step.

A fresh large array costs page faults, often more than the arithmetic that fills it. Here each (owner, role)
has one buffer, as large as the largest batch it has seen; a smaller batch gets the front of it.

Training and evaluation have a buffer each (`phase`), so evaluating in mid-training never overwrites what a
pending backward still needs. What an operation returns therefore stays valid until the same layer runs
again in the same phase: copy what must live longer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet import threads
from tinynet.types import Array, Shape


def aligned_empty(size: int, dtype: np.dtype[np.generic], boundary: int = 64) -> Array:
    """An uninitialised flat array (size,) whose first element lies on a `boundary`-byte address."""
    raw = np.empty(size * dtype.itemsize + boundary, dtype=np.uint8)
    start = -raw.ctypes.data % boundary
    return raw[start : start + size * dtype.itemsize].view(dtype)


class Workspace:
    """The buffers of one model."""

    def __init__(self) -> None:
        self.phase = "train"
        self.packed: dict[tuple[str, str, Shape], Array] | None = None
        """Packed forms of weights, while these are known not to change; else None."""
        self.passed: dict[str, dict[str, Any]] = {}
        """What an owner leaves for another in a training step, by name: see `begin`."""
        self._buffers: dict[tuple[str, str, str, np.dtype[np.generic]], Array] = {}
        self._views: dict[tuple[str, str, str, np.dtype[np.generic], Shape], Array] = {}

    def begin(self, phase: str) -> None:
        """A forward begins in this phase: nothing is left of the step before."""
        self.phase = phase
        if phase == "train":
            self.passed.clear()

    def array(
        self,
        owner: str,
        role: str,
        shape: Shape,
        dtype: np.dtype[np.generic],
        allocate: Callable[..., Array] = aligned_empty,
    ) -> Array:
        """The array of `shape` for this owner and role in the present phase; contents undefined."""
        key = (self.phase, owner, role, dtype)
        view = self._views.get((*key, shape))
        if view is None:
            size = math.prod(shape)
            if key not in self._buffers or self._buffers[key].size < size:
                self._buffers[key] = allocate(size, dtype)
                self._views = {k: v for k, v in self._views.items() if k[:4] != key}
            view = self._views[(*key, shape)] = self._buffers[key][:size].reshape(shape)
        return view

    def release(self) -> None:
        """Let go of all buffers; what is needed of them is allocated anew."""
        self._buffers.clear()
        self._views.clear()
        self.passed.clear()

    @property
    def nbytes(self) -> int:
        """Bytes held by all buffers."""
        return sum(buffer.nbytes for buffer in self._buffers.values())


@dataclass(frozen=True)
class Memory:
    """A layer's access to the workspace of its model; without one, every array is a fresh one."""

    workspace: Workspace | None = None
    owner: str = ""
    allocate: Callable[..., Array] = aligned_empty
    """allocate(size, dtype): a flat array on the device of the backend."""

    @property
    def is_training(self) -> bool:
        """Whether the pass under way is one of training."""
        return self.workspace is not None and self.workspace.phase == "train"

    @property
    def is_packed(self) -> bool:
        """Whether weights are known not to change, so that packed forms of them are kept."""
        return self.workspace is not None and self.workspace.packed is not None

    def own(self, role: str, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """An array for a result: valid until the same operation of this layer runs again."""
        return self._array(self.owner, role, shape, dtype)

    def scratch(self, role: str, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """An array for use within one operation: all layers share it, so it stays in cache."""
        return self._array("scratch", role, shape, dtype)

    def from_weights(
        self, role: str, shape: Shape, dtype: np.dtype[Any], fill: Callable[[Array], None]
    ) -> Array:
        """The array that `fill` writes from this layer's weights: kept if `is_packed`, else made anew."""
        if self.workspace is None or self.workspace.packed is None:
            array = self.scratch(role, shape, dtype)
            fill(array)
            return array
        key = (self.owner, role, shape)
        if key not in self.workspace.packed:
            with threads.outside_recording():
                array = aligned_empty(math.prod(shape), dtype).reshape(shape)
                fill(array)
            self.workspace.packed[key] = array
        return self.workspace.packed[key]

    def _array(self, owner: str, role: str, shape: Shape, dtype: np.dtype[Any]) -> Array:
        if self.workspace is None:
            return self.allocate(math.prod(shape), dtype).reshape(shape)
        return self.workspace.array(owner, role, shape, dtype, self.allocate)
