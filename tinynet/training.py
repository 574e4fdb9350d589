"""The training loop: a generator of events. What listens to them is in `callbacks`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from traceback import clear_frames
from typing import Any, NoReturn

import numpy as np

from tinynet import advice, out_of_memory
from tinynet.averaging import Average, ExponentialMovingAverage
from tinynet.checks import as_array, whole
from tinynet.data.augmentation import Augmentation
from tinynet.data.batches import Batches
from tinynet.diagnosis import first_non_finite
from tinynet.distributed.group import ALONE, Group
from tinynet.errors import ConfigError, DataError, DTypeError, NonFiniteError, ShapeError
from tinynet.history import History
from tinynet.interrupt import Interrupt, Interrupted
from tinynet.losses import Loss, SoftmaxCrossEntropy
from tinynet.model import EVALUATION_BATCH, Sequential
from tinynet.optim import Adam, Optimizer
from tinynet.persistent import learner_for
from tinynet.printable import counted
from tinynet.sample_weights import checked_weights
from tinynet.schedules import Constant, Cosine, Schedule
from tinynet.step import Step, StepNumbers
from tinynet.stretch import Stretch, Totals
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
    measured: Any = 0.0
    """The sums of what is measured (`losses.measures`) in the epoch under way, such as how many samples were
    classified rightly, each before its own update; likewise."""
    seen: int = 0
    """Samples in the epoch under way."""
    seconds: float = 0.0
    """Time spent training in the epoch under way."""
    history: History = field(default_factory=History)
    """The record of each epoch completed."""
    stopped: str | None = None
    """Why training ended before its last epoch, if it did."""

    def count(self, steps: int, samples: int, totals: Totals) -> None:
        """Take in so many steps, of so many samples in all, with which the totals of the epoch are these."""
        self.step += steps
        self.batch += steps
        self.seen += samples
        self.loss_sum, self.measured = totals

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint: sums on a device are read back."""
        return {**vars(self), "loss_sum": float(self.loss_sum), "measured": _plain(self.measured)}


@dataclass(frozen=True)
class StepEnd:
    """A batch was learned, the last one of a stretch. `loss` includes the L2 penalty; it may still be on the
    device, and the next step may overwrite it there."""

    epoch: int
    step: int
    loss: Any
    learning_rate: float


@dataclass(frozen=True)
class EpochEnd:
    """An epoch was completed. `record`: epoch (from 1), step, loss, val_loss, learning_rate (of its last
    step), seconds (of training, without validation); for classes accuracy and val_accuracy; for values mae,
    rmse, r2, val_mae, val_rmse, val_r2."""

    record: dict[str, Any]


class Callback:
    """Override what you want to hear.

    A callback that overrides `on_step` is told of every step, unless it overrides `steps_to_look`, too.
    """

    def on_start(self, trainer: Trainer) -> None:
        """Training begins, or goes on after a resume."""

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        """A batch was learned, the last of a stretch."""

    def steps_to_look(self, trainer: Trainer) -> float:
        """In how many steps it has to be told of one: 1 is the next. It may be told of earlier ones, too.

        On a GPU, steps that nobody has to be told of are done in one stretch, many by one launch.
        """
        return math.inf

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

    Samples may have weights, `sample_weight` (M,), numbers from 0 by which their losses count; in validation
    and in all figures but the training loss they count alike.

    The same arguments give the same weights, bit for bit, on the same backend and machine. An `augmentation`
    distorts the images that are learned, and no others; where it mixes them, the accuracy of an epoch counts
    as right the class that has the larger share. With `ema_decay`, such as 0.999, validation and the
    final model use the moving average of the weights over the steps.

    The loss and the optimiser belong to the Trainer that was given them last. They may go from a training
    that is done to the next; one that still trains raises ConfigError. Settings may be changed on the way.

    Several processes in a `group`, each with a Trainer made alike, train one model: see `distributed`. All
    have the same events and the same state; callbacks that change the training must do so in each.
    """

    def __init__(
        self,
        model: Sequential,
        train: Samples,
        *,
        validation: Samples | None = None,
        sample_weight: Any = None,
        loss: Loss | None = None,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        epochs: int = 10,
        batch_size: int = 64,
        augmentation: Augmentation | None = None,
        ema_decay: float | None = None,
        callbacks: Sequence[Callback] = (),
        group: Group = ALONE,
    ) -> None:
        for part, kind, example in (
            (loss, Loss, SoftmaxCrossEntropy),
            (optimizer, Optimizer, Adam),
            (schedule, Schedule, Cosine),
            (augmentation, Augmentation, Augmentation),
        ):
            if not isinstance(part, kind | None):
                raise ConfigError(
                    f"{part!r} is no {kind.__name__.lower()}", expected=f"one, such as {example.__name__}()"
                )
        batch_size = whole(batch_size, "Trainer", "batch_size", least=1)
        if batch_size < group.size:
            raise ConfigError(
                "the batch is too small for so many processes",
                expected=f"at least {group.size} samples, one for each",
                received=batch_size,
            )
        self.model = model
        self.loss = loss or SoftmaxCrossEntropy()
        self.optimizer = optimizer or Adam()
        self.schedule = schedule or Constant()
        self.epochs = whole(epochs, "Trainer", "epochs", least=0)
        self.callbacks = checked_callbacks(callbacks)
        self.group = group
        self.state = TrainingState()
        self.interrupt = Interrupt()
        self._is_over = False
        train = self._checked_samples(train, "train")
        if validation is not None:
            validation = self._checked_samples(validation, "validation")
        weights = self._checked_weights(sample_weight, len(train[0]))
        if augmentation is None:
            train = model.as_input(train[0]), train[1]
        elif augmentation.mixes:
            train = self._mixable(train)
        self.measure = self.loss.measure(train[1], model.output_shape)
        self.state.measured = self.measure.zero(model.backend)
        self._token = object()
        for part in (self.loss, self.optimizer):
            part.start(model)
            part.user = self._token
        self.average = Average() if ema_decay is None else ExponentialMovingAverage(model, ema_decay)
        self.step = Step(model, self.loss, self.optimizer, self.average, group, self.measure)
        self.learner = learner_for(self.step)
        self.train = Batches(
            *train, batch_size, model.backend, augmentation, group, weights, model.output_shape[-1]
        )
        self.validation = (
            Batches(*validation, EVALUATION_BATCH, model.backend, group=group) if validation else None
        )
        advice.on_loss(model, self.loss)
        advice.on_batches(model, batch_size, self.train.shard(len(self.train) - 1).batch)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("model", "loss", "optimizer") and "step" in self.__dict__:
            raise ConfigError(
                f"the {name} of a Trainer cannot be exchanged",
                fix="make a new Trainer; it takes a trained model",
            )
        super().__setattr__(name, value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Trainer cannot be copied; copy its model, and make a Trainer of the copy")

    def events(self, steps_to_look: Callable[[], float] = lambda: 1) -> Iterator[StepEnd | EpochEnd]:
        """Train, saying so after every stretch of steps and every epoch. Ends early once `stop` was called.

        `steps_to_look` is asked before each stretch in how many steps the caller wants to look: a stretch has
        no more, and by default a single step.

        Goes on where an interruption has left it. Raises ConfigError where the training is over already, or
        was cut off within a step; and OutOfMemoryError, with a batch size that fits, where a step needs more
        memory than there is.
        """
        self._begin()
        try:
            yield from self._epochs(steps_to_look)
        except MemoryError as error:
            size, step = self.train.batch_size, self.state.step
            clear_frames(error.__traceback__)  # what had been computed so far lies in their variables
            self.learner.release_memory()
            self.train.release_memory()
            raise out_of_memory.shortage(self.model, size, step, error) from error
        if self.state.stopped != "interrupted":
            self._is_over = True
            if self.state.step:
                self.average.use()

    def _begin(self) -> None:
        self.check_whole()
        state = self.state
        if state.stopped == "interrupted":
            state.stopped = None
        if self._is_over and (state.stopped or state.epoch >= self.epochs):
            raise ConfigError(
                "this training is over",
                expected="a Trainer that has epochs left",
                received=state.stopped or f"all of {counted(self.epochs, 'epoch')} done",
                fix="make a new Trainer; to go on with this one, raise its `epochs`"
                + (" and set `state.stopped` to None" if state.stopped else ""),
            )
        self.model.loss = self.loss

    def check_whole(self) -> None:
        """Raise ConfigError where the training was cut off within a step, as by a second Ctrl-C: some of its
        weights may be those of that step, and others not, so that nothing can be made of it."""
        if self.step.is_under_way:
            raise ConfigError(
                "this training was cut off in the middle of a step",
                expected="weights that are those of a whole number of steps",
                fix="a new Trainer, and load_training with the last checkpoint; or tinynet train --resume",
            )

    def _epochs(self, steps_to_look: Callable[[], float]) -> Iterator[StepEnd | EpochEnd]:
        state = self.state
        while not self._is_stopped() and state.epoch < self.epochs:
            began = time.perf_counter()
            self.train.shuffle(self.model.seed, state.epoch)
            while state.batch < len(self.train):
                loss, rate = self._learn(self._stretch(steps_to_look))
                now = time.perf_counter()
                state.seconds, began = state.seconds + now - began, now
                yield StepEnd(state.epoch, state.step, loss, rate)
                if self._is_stopped():
                    return
                began = time.perf_counter()
            yield self._finish_epoch()

    def run(self, callbacks: Sequence[Callback] = ()) -> History:
        """Train to the end, the Trainer's callbacks and `callbacks` listening; return the history, one record
        an epoch.

        Ctrl-C (SIGINT) or SIGTERM stops after the stretch under way, so callbacks can still save. Then `run`
        raises Interrupted, a KeyboardInterrupt; called again, it goes on. A second signal stops at once. If
        that is within a step, this Trainer is lost: a new one goes on from the last checkpoint.
        """
        callbacks = [*self.callbacks, *checked_callbacks(callbacks)]
        self._begin()
        with self.interrupt.heard():
            for callback in callbacks:
                callback.on_start(self)
            for event in self.events(lambda: steps_to_look(self, callbacks)):
                for callback in callbacks:
                    if isinstance(event, StepEnd):
                        callback.on_step(self, event)
                    else:
                        callback.on_epoch(self, event)
            for callback in callbacks:
                callback.on_end(self)
        if self.interrupt.is_set:
            self.stop("interrupted")
            raise Interrupted
        return self.state.history

    def stop(self, reason: str) -> None:
        """End training after the present event."""
        self.state.stopped = reason

    def learning_rate(self, batch: int) -> float:
        """The learning rate for batch number `batch` (from 0) of the epoch under way."""
        passed = self.state.epoch + batch / len(self.train)
        return self.optimizer.learning_rate * self.schedule(passed, self.epochs) * self.state.rate_scale

    def evaluate(self, batches: Batches) -> dict[str, float]:
        """Loss (with the L2 penalty) and accuracy, or for values mae, rmse and r2, in evaluation mode."""
        total: Any = 0.0
        sums = self.measure.zero(self.model.backend)
        for x, targets, *_ in batches.in_order():
            with self.model.lock:
                outputs, _ = self.model.forward(self.model.as_input(x))
                loss, _ = self.loss.forward(outputs, targets)
                total = total + loss * len(x)
                sums = sums + self.measure.sums(self.loss.ops, outputs, targets)
        total, sums = self.group.total(total, sums)
        mean = float(total / batches.samples + self.model.penalty())
        return {"loss": mean, **self.measure.figures(self.model.backend, sums, batches.targets)}

    def averaged(self) -> AbstractContextManager[None]:
        """Inside the block the model has the averaged weights, if there is an average."""
        return self.average.in_use() if self.state.step else nullcontext()

    def _stretch(self, steps_to_look: Callable[[], float]) -> int:
        """How many steps to do next in one go: until somebody looks, or batches have another size."""
        most = self.learner.most(self.train)
        if most == 1:
            return 1
        state, every = self.state, self.model.backend.loss_check_every
        limits = (every - state.step % every, self.train.alike(state.batch), steps_to_look())
        return int(max(1, min(most, *limits)))

    def _learn(self, steps: int) -> tuple[Any, float]:
        """A stretch of steps; return the loss of the last, before its update, and its learning rate."""
        for part in (self.loss, self.optimizer):
            if part.user is not self._token:
                self._refuse_shared(part)
        state = self.state
        stretch = Stretch(self.train, state.batch, [self._numbers(ahead) for ahead in range(steps)])
        check = self._check_loss if self._is_check_due() else None
        with self.model.lock:
            self.model.unpack()
            loss, totals = self.learner(stretch, Totals(state.loss_sum, state.measured), check)
        self.optimizer.steps += steps
        state.count(steps, steps * stretch.shard.batch, totals)
        self.step.is_under_way = False
        return loss, stretch.numbers[-1].rate

    def _numbers(self, ahead: int) -> StepNumbers:
        """Those of the step after so many others."""
        state = self.state
        step, update = state.step + ahead, self.optimizer.steps + 1 + ahead
        return StepNumbers(step, update, self.learning_rate(state.batch + ahead), self.average.gain(step))

    def _refuse_shared(self, part: Loss | Optimizer) -> NoReturn:
        kind = type(part).__name__
        raise ConfigError(
            f"another Trainer has been given the {kind} of this one",
            expected="one for each Trainer that goes on training",
            received="the same object in two",
            fix=f"make another {kind}, or a copy: dataclasses.replace(…)",
        )

    def _check_loss(self, loss: Any) -> None:
        """Stop at a loss that is NaN or infinite before it reaches the weights."""
        if not math.isfinite(loss):
            self._raise_non_finite(loss, self.train.batch(self.state.batch)[0])

    def _is_check_due(self) -> bool:
        """Whether the loss of the next step is looked at."""
        return self.state.step % self.model.backend.loss_check_every == 0

    def _is_stopped(self) -> bool:
        """Whether to stop. A signal counts from here on, for the whole group: all end after the same step."""
        if self.group.any(self.interrupt.is_set):
            self.interrupt.is_set = True
            self.stop("interrupted")
        return self.state.stopped is not None

    def _finish_epoch(self) -> EpochEnd:
        state = self.state
        record: dict[str, Any] = {"epoch": state.epoch + 1, "step": state.step}
        record["loss"] = float(state.loss_sum) / state.seen
        record |= self.measure.figures(self.model.backend, state.measured, self.train.targets)
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
        state.loss_sum, state.seconds = 0.0, 0.0
        state.measured = self.measure.zero(self.model.backend)
        return EpochEnd(record)

    def _raise_non_finite(self, loss: Any, x: Array) -> NoReturn:
        place = first_non_finite(self.model, self.model.as_input(x), self.state.step)
        raise NonFiniteError(
            f"training stopped: the loss is {float(loss)} at step {self.state.step}",
            expected="a finite loss",
            received=f"the first NaN or infinity is in {place}",
            fix="a smaller learning rate, or gradient clipping (clip = 1.0 in the optimizer of the TOML)",
        )

    def _checked_samples(self, samples: Any, what: str) -> Samples:
        if not isinstance(samples, tuple | list) or len(samples) != 2:
            parts = f" of {len(samples)}" if isinstance(samples, tuple | list) else ""
            raise DataError(
                f"`{what}` is a pair of arrays",
                expected="(inputs, targets)",
                received=f"{type(samples).__name__}{parts}",
            )
        inputs, targets = as_array(samples[0], "samples"), as_array(samples[1], "targets")
        self.model.backend.check_takes(inputs, "samples")
        self.model.backend.check_takes(targets, "targets")
        if inputs.shape[1:] != self.model.input_shape:
            raise ShapeError(
                "the data do not fit the model",
                expected=f"samples of {self.model.input_shape}",
                received=inputs.shape[1:],
                fix="reshape the data, or build the model for this input shape",
            )
        self.model.as_input(inputs[:0])
        if targets.dtype.kind not in "fiub":
            raise DTypeError("targets are real numbers", expected="numbers", received=targets.dtype)
        outputs = np.broadcast_to(np.zeros((), self.model.dtype), (len(targets), *self.model.output_shape))
        self.loss.check(outputs, targets)
        self.loss.check_values(self.model.backend.to_host(targets), self.model.output_shape)
        return inputs, targets

    def _mixable(self, train: Samples) -> Samples:
        """The samples as they can be mixed: 0 and 1 for a single output are rows (M, 1) of probabilities."""
        if not self.loss.takes_soft:
            raise ConfigError(
                "images are mixed, but this loss takes no mixed targets",
                expected="SoftmaxCrossEntropy or BinaryCrossEntropy",
                received=type(self.loss).__name__,
                fix='train with SoftmaxCrossEntropy (in a recipe: loss = { type = "SoftmaxCrossEntropy" }), '
                "or leave mixup and cutmix out",
            )
        inputs, targets = train
        outputs = self.model.output_shape[-1]
        return (inputs, targets.reshape(-1, 1)) if self.loss.classes(outputs) > outputs else train

    def _checked_weights(self, weights: Any, samples: int) -> Array | None:
        """Those of the training samples, float64 (M,); None where all count alike."""
        if weights is None:
            return None
        if not self.loss.takes_weights:
            raise ConfigError(
                "this loss takes no weights for samples",
                expected="forward(outputs, targets, weights=None) in its class",
                received=type(self.loss).__name__,
            )
        return checked_weights(weights, samples)


def _plain(sums: Any) -> Any:
    """Sums as numbers in lists, wherever they are."""
    return sums.tolist() if hasattr(sums, "tolist") else sums


def steps_to_look(trainer: Trainer, callbacks: Sequence[Callback]) -> float:
    """In how many steps one of the callbacks has to be told of a step."""
    return min((_steps_to_look(trainer, each) for each in callbacks), default=math.inf)


def _steps_to_look(trainer: Trainer, callback: Callback) -> float:
    """What a class says holds for its own `on_step`; that of a subclass is told of every step."""
    said, told = (_definer(type(callback), name) for name in ("steps_to_look", "on_step"))
    return callback.steps_to_look(trainer) if issubclass(said, told) else 1


def _definer(kind: type, name: str) -> type:
    """The class, of `kind` and those it inherits from, that a method comes from."""
    return next(each for each in kind.__mro__ if name in vars(each))


def checked_callbacks(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    """The callbacks; ConfigError for what is no list of them."""
    for callback in callbacks if isinstance(callbacks, Iterable) else [callbacks]:
        if not isinstance(callback, Callback):
            raise ConfigError(
                f"{callback!r} is no callback", expected="a list of them, such as [EarlyStopping()]"
            )
    return tuple(callbacks)
