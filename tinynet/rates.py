"""A rate finder: one short training in which the learning rate grows until the loss explodes.

    rateᵢ = low · (high / low)^(i / (S - 1))        for the steps i = 0 … S - 1

Too small a rate changes nothing, a larger one lowers the loss, and one too large raises it. (Smith, "Cyclical
learning rates for training neural networks", 2017, section 3.3, whose rate grows by a constant amount; by a
constant factor it passes through all orders of magnitude.) The loss of a batch is noisy. So it is smoothed by
a moving average, corrected for its start at 0 as Adam corrects its own.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet.checks import real, whole
from tinynet.data.augmentation import Augmentation
from tinynet.errors import ConfigError, DataError, NonFiniteError
from tinynet.fitting import fit
from tinynet.losses import Loss
from tinynet.model import Sequential
from tinynet.optim import Adam, Optimizer
from tinynet.training import Callback, StepEnd, Trainer
from tinynet.types import Array

LEAST_STEPS = 20
"""With fewer losses there is no curve."""
MEMORY = 0.9
"""What the moving average keeps of itself at each step."""
EXPLODED = 4.0
"""The search ends where the smoothed loss is so many times its lowest value."""
WINDOW = 0.25
"""Powers of ten to either side over which a slope is measured."""


@dataclass(frozen=True)
class RateCurve:
    """The loss at each learning rate that was tried. All arrays are float64 (S,), S the steps done."""

    rates: Array
    losses: Array
    """Of a step's batch, with the L2 penalty, before the update with the step's rate."""
    exploded: bool
    """Whether the search ended with the loss, not with the last rate."""

    @property
    def smoothed(self) -> Array:
        """The moving average of the losses, corrected for its start at 0."""
        average, found = 0.0, []
        for step, loss in enumerate(self.losses, 1):
            average = MEMORY * average + (1 - MEMORY) * loss
            found.append(average / (1 - MEMORY**step))
        return np.array(found)

    @property
    def suggestion(self) -> float | None:
        """The rate at which the smoothed loss falls most steeply against the logarithm of the rate.

        There the net gains most. At the lowest loss the rate is about to be too large. A slope is that of the
        straight line closest to the points within half a power of ten. None where the loss falls nowhere.
        """
        x, y = np.log10(self.rates), self.smoothed
        inside = (x >= x[0] + WINDOW) & (x <= x[-1] - WINDOW) & (np.arange(len(x)) <= np.argmin(y))
        places = np.flatnonzero(inside)
        near = [np.abs(x - x[place]) <= WINDOW for place in places]
        slopes = [_slope(x[rows], y[rows]) for rows in near]
        if not slopes or min(slopes) >= 0:
            return None
        return float(self.rates[places[np.argmin(slopes)]])

    @property
    def falls_to_the_end(self) -> bool:
        """Whether the loss was lowest at the last rate, so that larger ones may do better."""
        return not self.exploded and int(np.argmin(self.smoothed)) == len(self.rates) - 1


def find_rate(
    model: Sequential,
    x: Any,
    y: Any,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int = 64,
    class_weight: str | Sequence[float] | None = None,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    augmentation: Augmentation | None = None,
    callbacks: Sequence[Callback] = (),
) -> RateCurve:
    """Train a copy of the model while the learning rate grows from `low` to `high`; return the losses.

    The copy is thrown away: the model stays as it is. The order of the samples comes from its seed. A data
    set of few batches is gone through several times. x, y and all from `batch_size` on are as for
    `model.fit`; of the optimiser all counts but its learning rate.

    Raises ConfigError for a range without rates or too few steps, NonFiniteError where the loss is no number
    at the first step, DataError where it explodes before there is a curve, and what `fit` raises.
    """
    sweep = RateSweep(low, high, steps)
    optimizer = dataclasses.replace(optimizer or Adam(), learning_rate=1.0)
    try:
        fit(
            copy.deepcopy(model),
            x,
            y,
            batch_size=batch_size,
            class_weight=class_weight,
            loss=loss,
            optimizer=optimizer,
            augmentation=augmentation,
            callbacks=[sweep, *callbacks],
        )
    except NonFiniteError:
        if not sweep.started:  # the data hold it, and it is said there
            raise
        sweep.exploded = True
    return sweep.curve()


class RateSweep(Callback):
    """Lets the learning rate of a Trainer grow from step to step, and keeps the loss of each.

    The Trainer's optimiser has a learning rate of 1, its schedule is constant.
    """

    def __init__(self, low: float, high: float, steps: int) -> None:
        low = real(low, "find_rate", "low", above=0)
        high = real(high, "find_rate", "high", above=0)
        if low >= high:
            raise ConfigError(
                "the range of learning rates is empty or upside down",
                expected="the lower end first, such as 1e-6 and 10",
                received=f"{low:g} and {high:g}",
            )
        self.rates = np.geomspace(low, high, whole(steps, "find_rate", "steps", least=LEAST_STEPS))
        self.losses: list[float] = []
        self.started = self.exploded = False
        self._average, self._lowest = 0.0, math.inf

    def on_start(self, trainer: Trainer) -> None:
        self.started = True
        trainer.epochs = -(-len(self.rates) // len(trainer.train))
        trainer.state.rate_scale = float(self.rates[0])

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        loss, done = float(event.loss), len(self.losses) + 1
        if math.isfinite(loss):
            self.losses.append(loss)
        self._average = MEMORY * self._average + (1 - MEMORY) * loss
        smoothed = self._average / (1 - MEMORY**done)
        self._lowest = min(self._lowest, smoothed)
        if not smoothed <= EXPLODED * self._lowest or not math.isfinite(loss):  # a NaN is below nothing
            self.exploded = True
            trainer.stop("the loss exploded")
        elif done == len(self.rates):
            trainer.stop("all rates are tried")
        else:
            trainer.state.rate_scale = float(self.rates[done])

    def curve(self) -> RateCurve:
        """The losses so far. Raises where there are too few of them."""
        done = len(self.losses)
        if done == 0:
            raise NonFiniteError(
                "the loss is no finite number at the first step, before any rate was used",
                expected="a finite loss",
                fix="look at the data and the initial weights; a smaller learning rate does not mend this",
            )
        if done < LEAST_STEPS:
            raise DataError(
                f"the loss exploded at a rate of {self.rates[done - 1]:.2g}: there is no curve before it",
                expected=f"at least {LEAST_STEPS} steps",
                received=f"{done} of {len(self.rates)}",
                fix=f"begin lower: from {self.rates[0] / 1000:.2g}",
            )
        return RateCurve(self.rates[:done], np.array(self.losses), self.exploded)


def _slope(x: Array, y: Array) -> float:
    """The slope of the straight line closest to the points (x, y)."""
    from_mean = x - x.mean()
    return float(from_mean @ y / (from_mean @ from_mean))
