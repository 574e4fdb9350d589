"""What a training says of its samples besides the loss: accuracy, or the errors of values.

Each adds up a few numbers, batch after batch, and makes figures of the sums. All samples count alike,
whatever their weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet.backends.base import Backend
from tinynet.types import Array

CHUNK_ROWS = 4096
"""Targets that are looked at together, so that no copy of all of them is needed."""


class Measure:
    """Says nothing."""

    names: tuple[str, ...] = ()

    def zero(self, ops: Backend) -> Any:
        """What the sums begin with."""
        return 0.0

    def sums(self, ops: Backend, outputs: Array, targets: Array) -> Any:
        """What this batch adds to the sums: an array on the device, of the shape that `zero` has."""
        return 0

    def figures(self, ops: Backend, sums: Any, targets: Array) -> dict[str, float]:
        """The figures, from the sums over all samples and the targets of them all."""
        return {}


class Accuracy(Measure):
    """The share of samples whose largest output is that of their class.

    Targets are class numbers (N,), or soft (N, K): then it is the class with the largest target, the first of
    equals.
    """

    names = ("accuracy",)

    def sums(self, ops: Backend, outputs: Array, targets: Array) -> Any:
        return ops.count_correct(outputs, targets if targets.ndim == 1 else ops.argmax(targets))

    def figures(self, ops: Backend, sums: Any, targets: Array) -> dict[str, float]:
        return {"accuracy": float(sums) / len(targets)}


class BinaryAccuracy(Accuracy):
    """The share of right answers to yes-or-no questions: z > 0 where t > ½, of logits z and targets t."""

    def sums(self, ops: Backend, outputs: Array, targets: Array) -> Any:
        right = (outputs > 0) == (targets.reshape(outputs.shape) > 0.5)
        return right.mean(axis=tuple(range(1, right.ndim))).sum()


class Errors(Measure):
    """Mean absolute error, root of the mean squared error, and R²: see `tinynet.metrics`.

    outputs y and targets t (N, …) of one shape, M values a sample. Of each of the M, Σ |y - t| and Σ (y - t)²
    are added up. R² is left out for a single sample.
    """

    names = ("mae", "rmse", "r2")

    def __init__(self, values: int) -> None:
        self.values = values

    def zero(self, ops: Backend) -> Any:
        return ops.asarray(np.zeros((2, self.values)))

    def sums(self, ops: Backend, outputs: Array, targets: Array) -> Any:
        xp, error = ops.xp, (outputs - targets).reshape(len(outputs), -1)
        squares = xp.square(error, dtype="float64")  # in float32 they may overflow
        return xp.stack([xp.abs(error).sum(axis=0, dtype="float64"), squares.sum(axis=0)])

    def figures(self, ops: Backend, sums: Any, targets: Array) -> dict[str, float]:
        absolute, squared = ops.to_host(sums)
        found = {
            "mae": float(absolute.mean() / len(targets)),
            "rmse": float(np.sqrt(squared / len(targets)).mean()),
        }
        if len(targets) > 1:
            found["r2"] = r2_of(squared, ops.to_host(spread_of(targets)))
        return found


def r2_of(squared: Array, spread: Array) -> float:
    """The mean over outputs of 1 - squared / spread, (M,) each.

    Where targets are all alike, `spread` 0, it is 1 if there is no error and 0 else.
    """
    shares = np.divide(squared, spread, out=(squared > 0).astype(np.float64), where=spread > 0)
    return float(np.mean(1 - shares))


def spread_of(targets: Array) -> Array:
    """Σₙ (tₙ - t̄)² of each value, (M,), of targets (N, …)."""
    rows = targets.reshape(len(targets), -1)
    first = rows[:1].astype("float64")  # from which equal targets differ by 0 exactly
    chunks = [rows[start : start + CHUNK_ROWS] for start in range(0, len(rows), CHUNK_ROWS)]
    mean = sum((chunk - first).sum(axis=0) for chunk in chunks) / len(rows)
    spread: Array = sum(((chunk - first - mean) ** 2).sum(axis=0) for chunk in chunks)
    return spread
