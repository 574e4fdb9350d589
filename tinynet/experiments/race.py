"""The race: how many seconds of training a net needs to reach a test accuracy, over several seeds.

A recipe with a fixed schedule is trained on all training images, once for each seed. Only at the end the test
images are looked at: nothing is chosen by them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tinynet import metrics
from tinynet.backends.base import Backend
from tinynet.data.datasets import Dataset, Split
from tinynet.errors import ConfigError, TinynetError
from tinynet.model import EVALUATION_BATCH, Sequential
from tinynet.runs.recipe import Recipe
from tinynet.runs.trainers import build_trainer
from tinynet.training import Trainer


class Heat(NamedTuple):
    """One seed: its test accuracy, and the seconds that training (first step to last) and testing took."""

    seed: int
    accuracy: float
    train: float
    evaluate: float


class Mean(NamedTuple):
    value: float
    half_width: float
    """Of the 95 % interval by Student's t distribution; infinite for a single value."""

    def text(self, scale: float = 1.0) -> str:
        """Both, two digits after the point; a single value alone."""
        interval = f" ± {scale * self.half_width:.2f}" if math.isfinite(self.half_width) else ""
        return f"{scale * self.value:.2f}{interval}"


def rehearse(plan: Recipe, dataset: Dataset, backend: Backend) -> float:
    """Go through each size of batch once, so that all kernels are compiled and loaded; the seconds taken."""
    began = time.perf_counter()
    trainer = _trainer(plan, _head(dataset.train, plan.training.batch_size), 0, backend, epochs=1)
    for _ in trainer.events(lambda: math.inf):
        pass
    _accuracy(trainer.model, _head(dataset.test, EVALUATION_BATCH))
    return time.perf_counter() - began


def heats(plan: Recipe, dataset: Dataset, seeds: Iterable[int], backend: Backend) -> Iterator[Heat]:
    """Train and test, seed after seed. Raises ConfigError for a recipe that leaves images out or may stop."""
    for seed in seeds:
        trainer = _trainer(plan, dataset.train, seed, backend)
        began = time.perf_counter()
        for _ in trainer.events(lambda: math.inf):
            pass
        trained = time.perf_counter()
        accuracy = _accuracy(trainer.model, dataset.test)
        yield Heat(seed, accuracy, trained - began, time.perf_counter() - trained)


def mean(values: Sequence[float]) -> Mean:
    """The mean, and t s / √n for its 95 % interval."""
    n = len(values)
    half_width = t_quantile(n - 1) * np.std(values, ddof=1) / math.sqrt(n) if n > 1 else math.inf
    return Mean(float(np.mean(values)), float(half_width))


def t_quantile(freedom: int) -> float:
    """t such that |T| ≤ t in 95 of 100 draws from Student's distribution.

    With T = √f tan θ the density, (1 + T²/f)^(-(f+1)/2) up to a factor, becomes cos^(f-1) θ on (-π/2, π/2):
    no tail to cut off.
    """
    theta = np.linspace(0.0, math.pi / 2, 100_001)
    density = np.cos(theta) ** (freedom - 1)
    share = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return math.sqrt(freedom) * math.tan(np.interp(0.95, share / share[-1], theta))


def check_goal(accuracies: Sequence[float], goal: float) -> None:
    """Raise TinynetError unless the mean accuracy is at least `goal`."""
    reached = float(np.mean(accuracies))
    if reached < goal:
        raise TinynetError(
            "the goal was missed",
            expected=f"a mean test accuracy of at least {100 * goal:.2f} %",
            received=f"{100 * reached:.3f} % over {len(accuracies)} seeds",
            fix="more epochs, or another recipe",
        )


def _trainer(plan: Recipe, train: Split, seed: int, backend: Backend, epochs: int | None = None) -> Trainer:
    """As `tinynet train` would train; for so many epochs instead of the recipe's if they are given."""
    training = plan.training
    variable = (training.samples, training.early_stopping, training.reduce_on_plateau)
    if training.validation or any(setting is not None for setting in variable):
        raise ConfigError(
            "a race trains on all images, on a fixed schedule",
            expected="a recipe without validation, samples, early_stopping and reduce_on_plateau",
            fix="remove them from [training]",
        )
    model = plan.build_model(backend=backend, seed=seed)
    return build_trainer(training, model, (train.images, train.labels), epochs=epochs)


def _accuracy(model: Sequential, test: Split) -> float:
    outputs = model.predict(test.images)
    return metrics.accuracy(test.labels, outputs.argmax(axis=1))


def _head(split: Split, batch: int) -> Split:
    """As few samples as make one full batch and one as small as the last of all."""
    count = batch + len(split) % batch
    return split[:count]
