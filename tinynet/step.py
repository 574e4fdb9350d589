"""One step of training: forward, loss, backward, update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinynet.averaging import Average
from tinynet.backends.recording import Recorder, may_record
from tinynet.distributed.group import WHOLE, Group, Shard
from tinynet.layers.stack import walk
from tinynet.losses import Loss
from tinynet.losses.measures import Measure
from tinynet.model import Sequential
from tinynet.optim import Optimizer
from tinynet.types import Array


class StepNumbers(NamedTuple):
    """The numbers that vary from step to step, on the host or as 0-d float64 arrays on the device."""

    step: Any
    """Steps done before this one."""
    update: Any
    """The number of this update, from 1, as the optimiser counts."""
    rate: Any
    """The learning rate."""
    gain: Any
    """The share of the new weights in their moving average."""


def no_check(loss: Any) -> None:
    """Accept any loss."""


class Step:
    """One training step.

    Where the backend gains by it, its gradients are recorded once and replayed without Python; or the whole
    step, which `stretch.RecordedSteps` does. `measure` says what is added up besides the loss.
    """

    def __init__(
        self,
        model: Sequential,
        loss: Loss,
        optimizer: Optimizer,
        average: Average,
        group: Group,
        measure: Measure,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.average, self.group, self.measure = average, group, measure
        ops, chain = model.backend, (model, *walk(model.layers), loss)
        self.may_record = group.size == 1 and may_record("step", ops, *chain, optimizer)
        """Whether all of it may be recorded, with numbers that lie on the device."""
        self.is_under_way = False
        """Whether weights are being moved. Who asked for the step says when all of it is done."""
        is_same = not self.may_record and may_record("gradients", ops, *chain)
        may_vary = group.size == 1 and may_record("whole gradients", ops, *chain)
        self._varies = may_vary and not (is_same or self.may_record)
        compute = self._gradients_at if self._varies else self.gradients
        self.recorded_gradients = Recorder(ops, compute, is_same or self._varies)

    def __call__(
        self,
        batch: tuple[Array, ...],
        now: StepNumbers,
        shard: Shard = WHOLE,
        check: Callable[[Any], None] = no_check,
    ) -> tuple[Any, Any]:
        """Learn from inputs (N, …), their targets and perhaps weights (N,); return the loss and the sums of
        what is measured.

        Both are computed with the weights before the update. `check` may look at the loss and raise.
        """
        loss, sums = self.compute(batch, now, shard)
        check(loss)
        self.update(now)
        return loss, sums

    def compute(self, batch: tuple[Array, ...], now: StepNumbers, shard: Shard = WHOLE) -> tuple[Any, Any]:
        """Write every parameter's gradient; return the loss and the sums of what is measured."""
        if self._varies:
            loss, sums = self.recorded_gradients(self._on_device(now.step), *batch, shard=shard)
        else:
            loss, sums = self.recorded_gradients(*batch, step=now.step, shard=shard)
        gradients = self.model.store.learning_gradients
        loss, sums = self.group.all_reduce(shard, gradients, loss, sums)  # one process: what it is given
        if self.group.size > 1 and np.ndim(sums):
            sums = self.model.backend.asarray(sums)  # they were added up on the host
        return self.model.regularize(loss), sums

    def update(self, now: StepNumbers) -> None:
        """Move the weights along the gradients, and their average."""
        self.is_under_way = True
        self.optimizer.move(now.update, now.rate)
        self.average.move(now.gain)

    def gradients(self, x: Array, *known: Array, step: Any, shard: Shard) -> tuple[Any, Any]:
        """Write every parameter's gradient, by the targets and the weights that are known of the inputs;
        return the loss and the sums of what is measured."""
        outputs, tape = self.model.forward(x, train=True, step=step, shard=shard)
        loss, cache = self.loss.forward(outputs, *known)
        self.model.backward(self.loss.backward(cache), tape)  # writes gradients: nothing to zero
        return loss, self.measure.sums(self.loss.ops, outputs, known[0])

    def _gradients_at(self, step: Array, x: Array, *known: Array, shard: Shard) -> tuple[Any, Any]:
        """The same, by a step number that lies on the device."""
        return self.gradients(x, *known, step=step, shard=shard)

    def release_memory(self) -> None:
        """Let go of the memory that steps are computed in; what is needed of it is allocated anew."""
        self.recorded_gradients.forget()
        self.model.release_memory()

    def _on_device(self, number: int) -> Array:
        """The number where a recording reads it, float64 (1,)."""
        return self.model.backend.asarray(np.array([number], np.float64))
