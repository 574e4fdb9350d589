"""Stretches: steps of training that follow each other while nobody looks.

To look is to read on the host what a step has computed: its loss, or the weights. Whoever does (a callback,
the check of the loss) ends a stretch, and so does a batch of another size. One step is the shortest stretch.

A small net's step takes a GPU less time than Python takes to ask for its operations one by one. So a backend
may record a step: note which operations it is made of, and on which arrays, and repeat them all by one call
(on a GPU a CUDA graph, whose launch begins them all). What differs from step to step, such as the learning
rate and where the batch begins, is then read from an array on the device, the plan. It lies there before a
stretch begins, and that is done without Python between its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from tinynet.backends.recording import Recordings, shapes_of
from tinynet.data.batches import Batch, Batches, Place
from tinynet.distributed.group import Shard
from tinynet.layers import Rescale
from tinynet.step import Step, StepNumbers, no_check
from tinynet.types import Array

GRAPH_STEPS = 7
"""Steps of one launch. Between two looks at the loss there are 49 steps (`Backend.loss_check_every` is 50):
these are 7 launches, and a graph of them all would take 49 steps to make, not 7, and fit no other stretch."""
MOST_STEPS = 64
"""Of a stretch."""
Check: TypeAlias = Callable[[Any], None]
"""Looks at a loss, and raises where the weights are not to learn from it."""


class Totals(NamedTuple):
    """What is added up over an epoch: Σ loss · samples, and the sums of what is measured."""

    loss: Any
    measured: Any


class Stretch(NamedTuple):
    """One step or more, on batches that follow each other in an epoch and have one size."""

    batches: Batches
    first: int
    """The number of the first batch in the epoch."""
    numbers: Sequence[StepNumbers]
    """Those of each step, on the host."""

    @property
    def shard(self) -> Shard:
        """What of each batch this process learns."""
        return self.batches.shard(self.first)


class Learner(Protocol):
    """A way to do a stretch."""

    def most(self, batches: Batches) -> int:
        """Steps that a stretch on these may have."""
        ...

    def __call__(self, stretch: Stretch, totals: Totals, check: Check | None) -> tuple[Any, Totals]:
        """Do its steps; return the loss of the last, and the totals with all of them added.

        `check` is given the loss of the first before the weights move; None where nobody looks at it.
        """
        ...

    def release_memory(self) -> None:
        """Let go of the memory that steps are computed in."""


class SingleSteps:
    """One step at a time, called operation by operation."""

    def __init__(self, step: Step) -> None:
        self.step, self._has_stepped = step, False

    def most(self, batches: Batches) -> int:
        return 1

    def __call__(self, stretch: Stretch, totals: Totals, check: Check | None) -> tuple[Any, Totals]:
        (now,), shard, step = stretch.numbers, stretch.shard, self.step
        x, *known = stretch.batches.batch(stretch.first)
        batch = (step.model.as_input(x), *known)
        with self._first_together(lambda: step(batch, now, shard)):
            loss, sums = step(batch, now, shard, check or no_check)
        return loss, Totals(totals.loss + loss * shard.batch, totals.measured + sums)

    def _first_together(self, step: Callable[[], Any]) -> AbstractContextManager[None]:
        """For the first step: what compiles kernels on all cores, where that is possible."""
        if self._has_stepped or self.step.group.size > 1:
            return nullcontext()
        self._has_stepped = True
        return self.step.model.backend.compiling_together(step)

    def release_memory(self) -> None:
        self.step.release_memory()


class Row(NamedTuple):
    """What differs from step to step, in the order in which it stands in `RecordedSteps.plan`."""

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
    """The number of its batch, counted over all epochs; names the field by which its images are bent."""
    epoch: Any
    """The number of the epoch; names its images' other distortions."""


PLACE = Place(*map(Row._fields.index, Place._fields))
"""The columns of a batch's place."""


class RecordedSteps:
    """Steps as a backend records them, several by one launch.

    A step reads its numbers from the plan, gathers its batch, learns, and adds to the totals: all of that by
    operations on the device. Where the batches cannot be gathered so (`Batches.gathers`), each is handed in,
    and a stretch has one step.

    plan     float64 (1 + MOST_STEPS, 7). plan[0, 0] is the number of the row of the next step; the rows from
             there on are a `Row` each. A step that is done has raised it by 1.
    totals   float64 (2,), to which each step adds: loss · size, with its penalty, and how many it had right;
             both before the update.

    Both stay where they are, and so do the samples, `Batches.arrays`, and their order, `Batches.order`.
    """

    def __init__(self, step: Step) -> None:
        ops = step.model.backend
        self.step, self.ops = step, ops.bound_to(step.model.workspace, "stretch")
        self.plan = ops.asarray(np.zeros((1 + MOST_STEPS, len(Row._fields))))
        self.now = ops.asarray(np.zeros(len(Row._fields)))
        self.totals = ops.asarray(np.zeros(2))
        self._added = Totals(self.totals[0, ...], self.totals[1, ...])
        self.recordings = Recordings()

    def most(self, batches: Batches) -> int:
        return MOST_STEPS if self._gathers(batches) else 1

    def __call__(self, stretch: Stretch, totals: Totals, check: Check | None) -> tuple[Any, Totals]:
        self._put(stretch, totals)
        batches, size, rest = stretch.batches, stretch.shard.batch, len(stretch.numbers)
        handed_in: Batch = ()
        if not self._gathers(batches):
            x, *known = batches.batch(stretch.first)
            handed_in = (self.step.model.as_input(x), *known)
            self.now[...] = self.plan[1]
        key = (batches, size, shapes_of(handed_in))
        recorded = self.recordings.find(key)
        if recorded is None:
            recorded = RecordedStep(self, batches, size, handed_in, check or no_check)
            self.recordings.keep(key, recorded)
            rest -= 1
        else:
            recorded.hand_in(handed_in)
            if check is not None:
                recorded.checked(check)
                rest -= 1
        return self.run(recorded, batches, size, rest), self._added

    def run(self, recorded: RecordedStep, batches: Batches, size: int, count: int) -> Array:
        """Do the next `count` steps of the plan, 0 or more, on batches of `size` samples.

        Returns the loss of the last step done, 0-d float64, which may still be under way on the device.
        Weights, averages and running statistics are then as after that step. It is done whole or not at all:
        nothing raises between two steps.
        """
        recorded.run(count)
        return recorded.loss

    def _put(self, stretch: Stretch, totals: Totals) -> None:
        """Bring to the device what a stretch reads there."""
        place, ahead = stretch.batches.place(stretch.first), np.arange(len(stretch.numbers))
        rows = np.ones((1 + len(ahead), len(Row._fields)))
        rows[1:, : len(StepNumbers._fields)] = stretch.numbers
        rows[1:, PLACE.first] = place.first + ahead * stretch.batches.batch_size
        rows[1:, PLACE.batch] = place.batch + ahead
        rows[1:, PLACE.epoch] = place.epoch
        self.plan[: len(rows)] = self.ops.asarray(rows)
        if totals.loss is not self._added.loss:
            self.totals[...] = self.ops.asarray(np.array([float(each) for each in totals]))

    def _gathers(self, batches: Batches) -> bool:
        dtype = batches.inputs.dtype
        return batches.gathers and self.step.model.input_dtype(dtype) == dtype

    def offer_to_rescale(self, batches: Batches) -> None:
        """Let what gathers the batches rescale them, where nothing comes between that and the net."""
        first, distorts = self.step.model.layers[0], batches.augmentation and batches.augmentation.distorts
        if type(first) is Rescale and not distorts:
            ops = batches.backend
            first.ops.fuse_gathering(ops, lambda: (first.scale, first.offset, first.dtype))

    def release_memory(self) -> None:
        self.recordings.forget()
        self.step.release_memory()


class RecordedStep:
    """A step that was done while it was recorded, in two halves: up to its loss, and from there on."""

    def __init__(
        self, learner: RecordedSteps, batches: Batches, size: int, handed_in: Batch, check: Check
    ) -> None:
        self._learner, self._batches, self._size = learner, batches, size
        self._own = tuple(array.copy() for array in handed_in)
        if not handed_in:
            learner.offer_to_rescale(batches)
        self._now = Row(*(learner.now[i, ...] for i in range(len(Row._fields))))
        self._compute = learner.ops.record(self._first_half)
        check(self.loss)
        self._update = learner.ops.record(self._second_half)
        self._joined: dict[int, Callable[[], object]] = {}

    def hand_in(self, batch: Batch) -> None:
        for own, given in zip(self._own, batch, strict=True):
            own[...] = given

    def checked(self, check: Check) -> None:
        """Do the step, with a look at its loss before the weights move."""
        self._compute()
        check(self.loss)
        self._learner.step.is_under_way = True
        self._update()

    def run(self, times: int) -> None:
        """Do the next steps of the plan."""
        several, rest = divmod(times, GRAPH_STEPS)
        launches = [self._together(length) for length in several * [GRAPH_STEPS] + rest * [1]]
        if launches:
            self._learner.step.is_under_way = True
        for launch in launches:
            launch()

    def _together(self, length: int) -> Callable[[], object]:
        if length not in self._joined:
            self._joined[length] = self._learner.ops.join([self._compute, self._update] * length)
        return self._joined[length]

    def _first_half(self) -> None:
        learner = self._learner
        batch = self._own or self._batches.next_batch(learner.plan, learner.now, PLACE, self._size)
        self.loss, self._right = learner.step.compute(batch, self._numbers)

    def _second_half(self) -> None:
        learner = self._learner
        learner.step.update(self._numbers)
        learner.ops.end_step(learner.plan, learner.totals, self.loss, self._right, self._size)

    @property
    def _numbers(self) -> StepNumbers:
        return StepNumbers(*self._now[: len(StepNumbers._fields)])
