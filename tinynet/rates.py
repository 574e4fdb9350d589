"""A rate finder: one short training in which the learning rate grows until the loss explodes.

    rateᵢ = low · (high / low)^(i / (S - 1))        for the steps i = 0 … S - 1

Too small a rate changes nothing, a larger one lowers the loss, and one too large raises it. (Smith, "Cyclical
learning rates for training neural networks", 2017, section 3.3, whose rate grows by a constant amount; by a
constant factor it passes through all orders of magnitude.) The loss of a batch is noisy. So it is smoothed by
a moving average, corrected for its start at 0 as Adam corrects its own. It reaches over the same part of the
range, however many steps there are.
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

LEAST_STEPS, MOST_STEPS = 20, 100_000
"""With fewer losses there is no curve; with more, each rate hardly differs from the one before."""
LEAST_DONE = 10
"""Nor with fewer before an explosion."""
SPAN, EARLY, HALF = 1 / 10, 1 / 5, 1 / 20
"""Parts of the steps: over which the loss is averaged; which show it before it falls; and to either side of a
rate over which a slope is measured."""
EXPLODED = 4.0
"""The search ends where the smoothed loss is so many times its lowest value."""
CLEAR = 5.0
"""A fall is so many times what noise makes of it, at least …"""
LEAST_FALL = 0.01
"""… and such a part of the loss."""


@dataclass(frozen=True, repr=False)
class RateCurve:
    """The loss at each learning rate that was tried. All arrays are float64 (S,), S the steps done."""

    rates: Array
    losses: Array
    """Of a step's batch, with the L2 penalty, before the update with the step's rate."""
    exploded: bool
    """Whether the search ended with the loss, not with the last rate."""
    steps: int
    """That were asked for: S, or more than S where the loss exploded."""

    def __repr__(self) -> str:
        done = f"{len(self.rates)} of {self.steps} steps"
        span = f"learning rates from {self.rates[0]:.2g} to {self.rates[-1]:.2g}"
        found = "none" if self.suggestion is None else f"{self.suggestion:.2g}"
        return f"RateCurve({done}, {span}{', exploded' * self.exploded}, suggestion: {found})"

    @property
    def smoothed(self) -> Array:
        """The moving average of the losses, corrected for its start at 0."""
        average = Smoother(self.steps)
        return np.array([average(loss) for loss in self.losses])

    @property
    def suggestion(self) -> float | None:
        """The rate at which the smoothed loss falls most steeply against the logarithm of the rate, or None.

        There the net gains most. At the lowest loss the rate is about to be too large. A slope is that of the
        straight line closest to the points within a twentieth of the steps to either side, and two points at
        least. It is measured after the first fifth of the steps, as before the average is one of few losses,
        and up to the lowest smoothed loss.

        A slope counts where the loss has really fallen: no later than a tenth of the steps after the points
        of its line, the smoothed loss lies clear below the mean of the first fifth. That is by five times the
        standard error of the difference, and by a hundredth. The noise of a single loss is taken from the
        differences d of neighbours: σ = 1.4826 · median |d| / √2, as for normal noise. None where no slope
        counts.
        """
        y, half = self.smoothed, max(2, int(HALF * self.steps))
        early, lag, lowest = int(EARLY * self.steps), int(SPAN * self.steps), int(np.argmin(y))
        places = range(early + half, lowest - half + 1)
        if not places:
            return None
        clear = self._clear_level(early)
        fallen = [place for place in places if y[min(place + half + lag, lowest)] < clear]
        from_middle = np.arange(-half, half + 1)
        slopes = [float(from_middle @ y[place - half : place + half + 1]) for place in fallen]
        if not slopes or min(slopes) >= 0:
            return None
        return float(self.rates[fallen[int(np.argmin(slopes))]])

    def _clear_level(self, early: int) -> float:
        """Below it, the smoothed loss is no more the mean of the first `early` losses with noise on it."""
        level = float(self.losses[:early].mean())
        noise = 1.4826 * float(np.median(np.abs(np.diff(self.losses)))) / math.sqrt(2)
        keep = Smoother(self.steps).keep
        error = noise * math.sqrt((1 - keep) / (1 + keep) + 1 / early)
        return level - max(CLEAR * error, LEAST_FALL * abs(level))

    @property
    def falls_to_the_end(self) -> bool:
        """Whether the loss was lowest at the last rate, so that larger ones may do better."""
        return not self.exploded and int(np.argmin(self.smoothed)) == len(self.rates) - 1


class Smoother:
    """The moving average of numbers that come one by one, as it is after each of them."""

    def __init__(self, steps: int) -> None:
        self.keep = 1 - 1 / (SPAN * steps)
        self._average, self._weight = 0.0, 0.0

    def __call__(self, loss: float) -> float:
        self._average = self.keep * self._average + (1 - self.keep) * loss
        self._weight = self.keep * self._weight + (1 - self.keep)
        return self._average / self._weight


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

    `find_rate(…).suggestion` is the rate to begin with, or None where the loss falls at none of them. More
    steps suggest smaller rates: the net learns while the rate is still small.

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
        count = whole(steps, "find_rate", "steps", least=LEAST_STEPS, most=MOST_STEPS)
        self.rates = np.geomspace(low, high, count)
        self.losses: list[float] = []
        self.started = self.exploded = False
        self._smoothed, self._lowest = Smoother(len(self.rates)), math.inf

    def on_start(self, trainer: Trainer) -> None:
        self.started = True
        trainer.epochs = -(-len(self.rates) // len(trainer.train))
        trainer.state.rate_scale = float(self.rates[0])

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        loss, done = float(event.loss), len(self.losses) + 1
        if math.isfinite(loss):
            self.losses.append(loss)
        smoothed = self._smoothed(loss)
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
        if done < LEAST_DONE:
            raise DataError(
                f"the loss exploded at a rate of {self.rates[done - 1]:.2g}: there is no curve before it",
                expected=f"at least {LEAST_DONE} steps",
                received=f"{done} of {len(self.rates)}",
                fix=f"begin lower, from {self.rates[0] / 1000:.2g}, or take more steps",
            )
        return RateCurve(self.rates[:done], np.array(self.losses), self.exploded, len(self.rates))
