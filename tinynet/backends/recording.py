"""Computations that a backend records, once for each batch shape, and then repeats.

In a small net the kernels of a step take less time than the Python that calls them one by one. A recording
runs them one after another without Python in between, on arrays that stay where they are: each batch is
copied into the first one's arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

from tinynet.backends.base import Backend
from tinynet.backends.workspace import Workspace
from tinynet.checks import changes
from tinynet.types import Array

MAX_RECORDINGS = 16
"""Recordings kept at a time; with more shapes than that, the oldest goes."""
VARYING = ("evaluate", "whole gradients", "step")
"""Numbers differ from step to step (a dropout mask), or other processes have a part (batch statistics)."""
ALWAYS = ("gradients", *VARYING)
RECORDABLE = {
    "tinynet.model.Sequential": ALWAYS,
    "tinynet.layers.dense.Dense": ALWAYS,
    "tinynet.layers.residual.Residual": ALWAYS,
    "tinynet.layers.reshape.Flatten": ALWAYS,
    "tinynet.layers.reshape.Reshape": ALWAYS,
    "tinynet.layers.reshape.Rescale": ALWAYS,
    "tinynet.layers.activation.ReLU": ALWAYS,
    "tinynet.layers.activation.LeakyReLU": ALWAYS,
    "tinynet.layers.activation.ELU": ALWAYS,
    "tinynet.layers.activation.GELU": ALWAYS,
    "tinynet.layers.activation.Sigmoid": ALWAYS,
    "tinynet.layers.activation.Tanh": ALWAYS,
    "tinynet.layers.activation.Softmax": ("evaluate", "step"),
    "tinynet.layers.conv.Conv2D": VARYING,
    "tinynet.layers.depthwise.DepthwiseConv2D": ALWAYS,
    "tinynet.layers.pool.MaxPool2D": VARYING,
    "tinynet.layers.pool.AvgPool2D": VARYING,
    "tinynet.layers.norm.BatchNorm": VARYING,
    "tinynet.layers.dropout.Dropout": VARYING,
    "tinynet.losses.cross_entropy.SoftmaxCrossEntropy": ALWAYS,
    "tinynet.losses.cross_entropy.CrossEntropy": ALWAYS,
    "tinynet.optim.SGD": ALWAYS,
    "tinynet.optim.Adam": ALWAYS,
    "tinynet.optim.AdamW": ALWAYS,
}
"""What may be recorded, by exact class: a subclass may compute otherwise.

In the phases named here each of these takes the same operations of its backend for every batch, each
operation once, and no other arithmetic. "evaluate" is a forward pass; "gradients" is forward and backward
with the same numbers each time; "whole gradients" is that of a whole batch, by a step number that lies on the
device; "step" is a whole training step whose varying numbers lie on the device.
Layers inside another are asked one by one: `layers.stack.walk`.
"""
FROZEN = {"tinynet.layers.norm.BatchNorm": ("evaluate",)}
"""The same for frozen layers that differ: the backward of a frozen BatchNorm is array arithmetic."""


def phases_of(kind: type, *, frozen: bool = False) -> tuple[str, ...]:
    """The phases in which a layer, loss, optimiser or model of this very class may be recorded."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    phases = RECORDABLE.get(name, ())
    return FROZEN.get(name, phases) if frozen else phases


def may_record(phase: str, backend: Backend, *things: object) -> bool:
    """Whether this phase of all the things together may be recorded on the backend."""
    found = (phases_of(type(thing), frozen=getattr(thing, "frozen", False)) for thing in things)
    return phase in backend.recorded_phases and all(phase in phases for phases in found)


def operations_for(thing: object, backend: Backend, workspace: Workspace, owner: str) -> Backend:
    """The operations of `backend` for a layer or loss.

    What may be recorded gets buffers of its own: each operation writes where its last result lay. Anything
    else gets fresh arrays, and may take an operation as often as it likes.
    """
    return backend.bound_to(workspace, owner) if phases_of(type(thing)) else backend


class Recordings:
    """Recordings by what they were made for, the oldest forgotten where there are too many.

    Settings, such as a slope, are part of a recording: when one of any layer, loss or optimiser changes, all
    are forgotten.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}
        self._changes = changes()

    def __len__(self) -> int:
        return len(self._kept)

    def forget(self) -> None:
        """Record anew from now on."""
        self._kept.clear()

    def find(self, key: Hashable) -> Any:
        """The recording for that, or None."""
        if self._changes != changes():
            self.forget()
            self._changes = changes()
        return self._kept.get(key)

    def keep(self, key: Hashable, recording: Any) -> None:
        if len(self._kept) == MAX_RECORDINGS:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = recording


class Recorder:
    """compute(*batch, **context) for arrays of a batch on the device, recorded where `records`.

    `compute` uses operations of one model alone, the same for every batch of a shape, and returns arrays that
    the next call may overwrite. It is given the `context` when it really runs; a repeat does not see it.
    """

    def __init__(self, backend: Backend, compute: Callable[..., Any], records: bool) -> None:
        self._backend, self._compute, self.records = backend, compute, records
        self._recordings = Recordings()

    def __len__(self) -> int:
        """Recordings kept."""
        return len(self._recordings)

    def forget(self) -> None:
        """Record anew from now on."""
        self._recordings.forget()

    def __call__(self, *batch: Array, **context: Any) -> Any:
        if not self.records:
            return self._compute(*batch, **context)
        key = shapes_of(batch)
        recording = self._recordings.find(key)
        if recording is not None:
            return recording(*batch)
        compute = partial(self._compute, *batch, **context)
        with self._backend.compiling_together(compute):
            if sum(array.nbytes for array in batch) > self._backend.max_recorded_bytes:
                return compute()
            recording = _Recording(self._backend, self._compute, batch, context)
            self._recordings.keep(key, recording)
        return recording.results


def shapes_of(batch: Sequence[Array]) -> Hashable:
    """What tells a batch from those that another recording is for."""
    return tuple([(array.shape, array.dtype) for array in batch])


class _Recording:
    """compute(*batch, **context), first for the batch given here, then for others of its shapes."""

    def __init__(
        self, backend: Backend, compute: Callable[..., Any], batch: tuple[Array, ...], context: dict[str, Any]
    ) -> None:
        self._batch = [array.copy() for array in batch]
        self._compute = partial(compute, *self._batch, **context)
        self._repeat = backend.record(self._run)

    def __call__(self, *batch: Array) -> Any:
        for own, given in zip(self._batch, batch, strict=True):
            own[...] = given
        self._repeat()
        return self.results

    def _run(self) -> None:
        self.results = self._compute()
