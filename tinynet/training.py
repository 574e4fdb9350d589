"""The training loop: a generator of events. What listens to them is in `callbacks`."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from tinynet import out_of_memory
from tinynet.averaging import ExponentialMovingAverage
from tinynet.backends.recording import Recorder, may_record
from tinynet.data.augmentation import Augmentation
from tinynet.data.batches import Batches
from tinynet.distributed.group import ALONE, WHOLE, Group
from tinynet.errors import ConfigError, NonFiniteError, ShapeError
from tinynet.losses import Loss, SoftmaxCrossEntropy, check_label_range
from tinynet.model import EVALUATION_BATCH, Sequential
from tinynet.optim import Adam, Optimizer
from tinynet.schedules import Constant, Schedule
from tinynet.types import Array

Samples = tuple[Array, Array]
"""Inputs (M, …) and targets (M,) or (M, …), on the host."""


@dataclass
class TrainingState:
    """Where training stands: with weights and averages, all that a resumed run needs to be the same run."""

    epoch: int = 0
    """Epochs completed."""
    batch: int = 0
    """Batches done in the epoch under way."""
    step: int = 0
    """Steps done in all."""
    rate_scale: float = 1.0
    """What callbacks have multiplied the learning rate by."""
    loss_sum: Any = 0.0
    """Σ loss · samples in the epoch under way; on the backend's device until it is read."""
    correct: Any = 0
    """Samples classified rightly in the epoch under way, each before its own update; likewise."""
    seen: int = 0
    """Samples in the epoch under way."""
    seconds: float = 0.0
    """Time spent training in the epoch under way."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """The record of each epoch completed."""
    stopped: str | None = None
    """Why training ended before its last epoch, if it did."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint: sums on a device are read back."""
        return {**vars(self), "loss_sum": float(self.loss_sum), "correct": int(self.correct)}


@dataclass(frozen=True)
class StepEnd:
    """A batch was learned. `loss` includes the L2 penalty; it may still be on the device, and the next step
    may overwrite it there."""

    epoch: int
    step: int
    loss: Any
    learning_rate: float


@dataclass(frozen=True)
class EpochEnd:
    """An epoch was completed. `record`: epoch (from 1), step, loss, accuracy, val_loss, val_accuracy,
    learning_rate (of its last step), seconds (of training, without validation)."""

    record: dict[str, Any]


class Callback:
    """Override what you want to hear."""

    def on_start(self, trainer: Trainer) -> None:
        """Training begins, or goes on after a resume."""

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        """A batch was learned."""

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        """An epoch was completed."""

    def on_end(self, trainer: Trainer) -> None:
        """Training ended: done, stopped early or interrupted (`trainer.state.stopped` says why)."""

    def state(self) -> dict[str, Any]:
        """Plain values to keep in a checkpoint."""
        return {}

    def arrays(self) -> dict[str, Array]:
        """Arrays to keep in a checkpoint."""
        return {}

    def restore(self, state: dict[str, Any], arrays: dict[str, Array]) -> None:
        """Take back what `state` and `arrays` gave."""


class Trainer:
    """One training run of `model` on `train`: event by event, or all at once with `run(callbacks)`.

    The same arguments give the same weights, bit for bit, on the same backend and machine. An `augmentation`
    distorts the images that are learned, and no others. With `ema_decay`, such as 0.999, validation and the
    final model use the moving average of the weights over the steps.

    Several processes in a `group`, each with a Trainer made alike, train one model: see `distributed`. All
    have the same events and the same state; callbacks that change the training must do so in each.
    """

    def __init__(
        self,
        model: Sequential,
        train: Samples,
        *,
        validation: Samples | None = None,
        loss: Loss | None = None,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        epochs: int = 10,
        batch_size: int = 64,
        augmentation: Augmentation | None = None,
        ema_decay: float | None = None,
        group: Group = ALONE,
    ) -> None:
        if epochs < 0:
            raise ConfigError("epochs", expected="0 or more", received=epochs)
        for part, kind, example in ((loss, Loss, SoftmaxCrossEntropy), (optimizer, Optimizer, Adam)):
            if not isinstance(part, kind | None):
                raise ConfigError(
                    f"{part!r} is no {kind.__name__.lower()}", expected=f"one, such as {example.__name__}()"
                )
        if 0 < batch_size < group.size:
            raise ConfigError(
                "the batch is too small for so many processes",
                expected=f"at least {group.size} samples, one for each",
                received=batch_size,
            )
        self.model = model
        self.loss = loss or SoftmaxCrossEntropy()
        self.optimizer = optimizer or Adam()
        self.schedule = schedule or Constant()
        self.epochs = epochs
        self.group, self._shard, self._interrupted = group, WHOLE, False
        self.state = TrainingState()
        for inputs, targets in filter(None, (train, validation)):
            self._check(inputs, targets)
        self.classifies = self._are_labels(train[1])
        self.loss.start(model)
        self.optimizer.start(model)
        self.ema = None if ema_decay is None else ExponentialMovingAverage(model, ema_decay)
        can_record = model.is_recordable("train") and may_record(self.loss)
        self._differentiate = Recorder(model.backend, self._gradients, may_record=can_record)
        self._step = Recorder(model.backend, self._whole_step) if self._can_record_steps() else None
        self.train = Batches(*train, batch_size, model.backend, augmentation, group)
        self.validation = (
            Batches(*validation, EVALUATION_BATCH, model.backend, group=group) if validation else None
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Trainer cannot be copied; copy its model, and make a Trainer of the copy")

    def events(self) -> Iterator[StepEnd | EpochEnd]:
        """Train, saying so after every batch and every epoch. Ends early once `stop` was called.

        Raises OutOfMemoryError, with a batch size that fits, where a step needs more memory than there is.
        """
        try:
            yield from self._learn()
        except MemoryError as error:
            raise out_of_memory.shortage(self, error) from error
        if self.ema and self.state.step and self.state.stopped != "interrupted":
            self.ema.use()

    def _learn(self) -> Iterator[StepEnd | EpochEnd]:
        state = self.state
        while not self._is_stopped() and state.epoch < self.epochs:
            began = time.perf_counter()
            for x, targets in self.train.epoch(self.model.seed, state.epoch, state.batch):
                rate = self.learning_rate(state.batch)
                self._shard = self.train.shard(state.batch)
                learn = self._learn_recorded if self._step and not self._is_check_due() else self._learn_batch
                with self.model.lock:
                    self.model.unpack()
                    loss, correct = learn(self.model.as_input(x), targets, rate)
                self._count(loss, correct, self._shard.batch)
                now = time.perf_counter()
                state.seconds, began = state.seconds + now - began, now
                yield StepEnd(state.epoch, state.step, loss, rate)
                if self._is_stopped():
                    return
                began = time.perf_counter()
            yield self._finish_epoch()

    def run(self, callbacks: Sequence[Callback] = ()) -> list[dict[str, Any]]:
        """Train to the end with `callbacks` listening; return the history, one record an epoch.

        Ctrl-C (SIGINT) or SIGTERM stops after the step under way, so callbacks can still save; a second one
        stops at once.
        """
        with self._interruptible():
            for callback in callbacks:
                callback.on_start(self)
            for event in self.events():
                for callback in callbacks:
                    if isinstance(event, StepEnd):
                        callback.on_step(self, event)
                    else:
                        callback.on_epoch(self, event)
            for callback in callbacks:
                callback.on_end(self)
            if self._interrupted:  # as late as that
                self.stop("interrupted")
        return self.state.history

    def stop(self, reason: str) -> None:
        """End training after the present event."""
        self.state.stopped = reason

    def learning_rate(self, batch: int) -> float:
        """The learning rate for batch number `batch` (from 0) of the epoch under way."""
        passed = self.state.epoch + batch / len(self.train)
        return self.optimizer.learning_rate * self.schedule(passed, self.epochs) * self.state.rate_scale

    def evaluate(self, batches: Batches) -> dict[str, float]:
        """Loss (with the L2 penalty) and, for a classifier, accuracy on `batches`, in evaluation mode."""
        total: Any = 0.0
        correct: Any = 0
        for x, targets in batches.in_order():
            with self.model.lock:
                outputs, _ = self.model.forward(self.model.as_input(x))
                loss, _ = self.loss.forward(outputs, targets)
                total = total + loss * len(x)
                if self.classifies:
                    correct = correct + self.loss.ops.count_correct(outputs, targets)
        total, correct = self.group.total(total, correct)
        result = {"loss": float(total / batches.samples + self.model.penalty())}
        if self.classifies:
            result["accuracy"] = int(correct) / batches.samples
        return result

    def averaged(self) -> AbstractContextManager[None]:
        """Inside the block the model has the averaged weights, if any were averaged."""
        return self.ema.in_use() if self.ema and self.state.step else nullcontext()

    def _can_record_steps(self) -> bool:
        ops, is_alone = self.model.backend, self.group.size == 1
        every_shard = (self.model.is_recordable("step"), may_record(self.loss), may_record(self.optimizer))
        return is_alone and ops.can_record and ops.records_steps and all(every_shard)

    def _learn_batch(self, x: Array, targets: Array, rate: float) -> tuple[Any, Any]:
        """One step; return the loss and how many are right before the update."""
        loss, correct = self._differentiate(x, targets)
        gradients = self.model.store.grads.flat[: self.model.store.learning]
        loss, correct = self.group.all_reduce(self._shard, gradients, loss, correct)
        loss = loss + self.model.regularize()
        if self._is_check_due() and not math.isfinite(loss):
            self._raise_non_finite(loss, x)
        self.optimizer.step(rate)
        if self.ema:
            self.ema.update(self.state.step)
        return loss, correct

    def _learn_recorded(self, x: Array, targets: Array, rate: float) -> tuple[Any, Any]:
        """The same by a recording of the whole step, in which nobody can look at the loss."""
        assert self._step is not None
        step, gain = self.state.step, self.ema.gain(self.state.step) if self.ema else 0.0
        self.optimizer.steps += 1
        numbers = np.array([step, self.optimizer.steps, rate, gain], np.float64)
        learned: tuple[Any, Any] = self._step(x, targets, self.model.backend.asarray(numbers))
        return learned

    def _whole_step(self, x: Array, targets: Array, numbers: Array) -> tuple[Any, Any]:
        """What a step does on the device. `numbers` (4,): the steps done, the optimiser's, its rate, and the
        share of the weights in their average."""
        step, update, rate, gain = (numbers[i, ...] for i in range(4))
        loss, correct = self._gradients(x, targets, step)
        loss = self.model.backend.add(loss, self.model.regularize())
        self.optimizer.move(update, rate)
        if self.ema:
            self.ema.move(gain)
        return loss, correct

    def _is_check_due(self) -> bool:
        """Whether the loss of the next step is looked at."""
        return self.state.step % self.model.backend.loss_check_every == 0

    def _is_stopped(self) -> bool:
        """Whether to stop. A signal counts from here on, for the whole group: all end after the same step."""
        if self.group.any(self._interrupted):
            self.stop("interrupted")
        return self.state.stopped is not None

    def _gradients(self, x: Array, targets: Array, step: Any = None) -> tuple[Any, Any]:
        """Write every parameter's gradient; return the loss and how many are right before the update."""
        step = self.state.step if step is None else step
        outputs, tape = self.model.forward(x, train=True, step=step, shard=self._shard)
        loss, cache = self.loss.forward(outputs, targets)
        self.model.backward(self.loss.backward(cache), tape)  # writes gradients: nothing to zero
        return loss, self.loss.ops.count_correct(outputs, targets) if self.classifies else 0

    def _count(self, loss: Any, correct: Any, samples: int) -> None:
        state = self.state
        state.step += 1
        state.batch += 1
        state.seen += samples
        state.loss_sum = state.loss_sum + loss * samples
        state.correct = state.correct + correct

    def _finish_epoch(self) -> EpochEnd:
        state = self.state
        record: dict[str, Any] = {"epoch": state.epoch + 1, "step": state.step}
        record["loss"] = float(state.loss_sum) / state.seen
        if self.classifies:
            record["accuracy"] = int(state.correct) / state.seen
        if self.validation:
            with self.averaged():
                record |= {f"val_{name}": value for name, value in self.evaluate(self.validation).items()}
        record["learning_rate"] = self.learning_rate(state.batch - 1)
        record["seconds"] = state.seconds
        weights_are_finite = self.model.backend.xp.isfinite(self.model.store.values.flat).all()
        if not weights_are_finite or not all(map(math.isfinite, record.values())):
            self._raise_non_finite(record["loss"], self.train.inputs[:1])
        state.history.append(record)
        state.epoch += 1
        state.batch = state.seen = 0
        state.loss_sum, state.correct, state.seconds = 0.0, 0, 0.0
        return EpochEnd(record)

    def _raise_non_finite(self, loss: Any, x: Array) -> NoReturn:
        place = self.model.first_non_finite(self.model.as_input(x), self.state.step)
        raise NonFiniteError(
            f"training stopped: the loss is {float(loss)} at step {self.state.step}",
            expected="a finite loss",
            received=f"the first NaN or infinity is in {place}",
            fix="a smaller learning rate, or gradient clipping (clip = 1.0 for the optimiser)",
        )

    def _check(self, inputs: Array, targets: Array) -> None:
        self.model.backend.check_takes(inputs, "samples")
        self.model.backend.check_takes(targets, "targets")
        if inputs.shape[1:] != self.model.input_shape:
            raise ShapeError(
                "the data do not fit the model",
                expected=f"samples of {self.model.input_shape}",
                received=inputs.shape[1:],
                fix="reshape the data, or build the model for this input shape",
            )
        outputs = np.broadcast_to(np.zeros((), self.model.dtype), (len(targets), *self.model.output_shape))
        self.loss.check(outputs, targets)
        if self._are_labels(targets):
            check_label_range(self.model.backend.to_host(targets), self.model.output_shape[-1])

    def _are_labels(self, targets: Array) -> bool:
        """Whether outputs (N, K) are compared with class numbers (N,), so that an accuracy says something."""
        return targets.ndim == 1 and targets.dtype.kind in "iu" and len(self.model.output_shape) == 1

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals reach the main thread only
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.getsignal(number) for number in signals}
        self._interrupted = False

        def stop_after_this_step(number: int, frame: object) -> None:
            self._interrupted = True
            for each, handler in before.items():
                signal.signal(each, handler)

        for number in signals:
            signal.signal(number, stop_after_this_step)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
