"""Computations that a backend records, once for each batch shape, and then repeats.

What is done to a batch in a small net takes less time than saying so in Python, kernel by kernel. A recording
has the kernels run one after another, on arrays that stay where they are: each batch is copied into the
first's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinynet.backends.base import Backend
from tinynet.types import Array

MOST = 16
"""Recordings kept at a time; with more shapes than that, the oldest goes."""
PHASES = ("train", "evaluate", "step")
"""In which layers may be recorded: see `layers.base.Layer`."""


def may_record(part: object) -> Any:
    """What the class of a layer, loss or optimiser says as `recordable` of what it computes.

    It says so itself or not at all: what inherits from one that may be recorded may compute otherwise.
    """
    return vars(type(part)).get("recordable", ())


class Recorder:
    """compute(*batch) for arrays on the device, recorded where the backend gains by it.

    `compute` may use operations of one model alone, the same for every batch of a shape, and returns arrays
    that the next call may overwrite.
    """

    def __init__(self, backend: Backend, compute: Callable[..., Any], *, may_record: bool = True) -> None:
        self._backend, self._compute = backend, compute
        self._records = may_record and backend.can_record
        self._recordings: dict[Any, _Recording] = {}

    def forget(self) -> None:
        """Record anew from now on."""
        self._recordings.clear()

    def __call__(self, *batch: Array) -> Any:
        if not self._records or sum(array.nbytes for array in batch) > self._backend.max_recorded_bytes:
            return self._compute(*batch)
        key = tuple((array.shape, array.dtype) for array in batch)
        recording = self._recordings.get(key)
        if recording is None:
            if len(self._recordings) == MOST:
                del self._recordings[next(iter(self._recordings))]
            recording = self._recordings[key] = _Recording(self._backend, self._compute, batch)
            return recording.results
        return recording(*batch)


class _Recording:
    """compute(*batch), first for the batch given here, then for others of its shapes."""

    def __init__(self, backend: Backend, compute: Callable[..., Any], batch: tuple[Array, ...]) -> None:
        self._compute = compute
        self._batch = [array.copy() for array in batch]
        self._repeat = backend.record(self._run)

    def __call__(self, *batch: Array) -> Any:
        for own, given in zip(self._batch, batch, strict=True):
            own[...] = given
        self._repeat()
        return self.results

    def _run(self) -> None:
        self.results = self._compute(*self._batch)
