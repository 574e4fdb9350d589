"""Stretches: steps that follow each other while nobody looks.

Whoever looks at a step (a callback, the check of the loss) ends a stretch, and so does a batch of another
size. One step is the shortest stretch. Where a backend records whole steps, all that a stretch needs lies on
the device before it begins, and it is done without Python between its steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from tinynet.types import Array


class Row(NamedTuple):
    """What differs from step to step, in the order in which it stands in `Work.plan`."""

    step: Any
    """Steps done before this one; names its dropout masks."""
    update: Any
    """The number of this update, from 1, as the optimiser counts."""
    rate: Any
    """The learning rate."""
    gain: Any
    """The share of the new weights in their moving average."""
    first: Any
    """Where in the epoch's order its batch begins."""
    batch: Any
    """The number of its batch, counted over all epochs; names its distortions."""


class Work(NamedTuple):
    """A stretch of `count` steps as it lies on the device. Nothing of it moves from one stretch to the next."""

    samples: tuple[Array, ...]
    """Of the whole data set: inputs (M, …), targets (M,) or (M, K) and, if there are any, weights (M,)."""
    order: Array
    """int64 (M,): a step learns the samples order[first], …, order[first + size - 1]."""
    plan: Array
    """float64 (1 + R, 6), R ≥ count: plan[0, 0] is the number of the row of the next step, here 1; the rows
    from there on are a `Row` each. At the end plan[0, 0] is 1 + count."""
    totals: Array
    """float64 (2,), to which each step adds: loss · size, with its penalty, and how many it had right; both
    before the update."""
    size: int
    """Samples of each batch."""
    count: int


Run: TypeAlias = Callable[[Work], Array]
"""Does all steps of a stretch; the weights, averages and running statistics are then as after the last, bit
for bit as if they had been done one by one. Returns that step's loss, 0-d float64, which may still be under
way on the device. Raises nothing between the steps: it is done whole or not at all."""
