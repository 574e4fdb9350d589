"""Losses in which each sample has a weight of its own: the last column of the targets.

`model.fit(…, sample_weight=…)` and the estimators use them. A weight of 2 adds a sample's loss twice, 0
leaves it out. The sum is divided by the number of samples, as Keras does, not by the sum of their weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet.checks import as_array
from tinynet.errors import ConfigError, DataError, DTypeError, ShapeError
from tinynet.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy, WeightedCrossEntropy
from tinynet.types import Array


@dataclass(eq=False)
class SampleWeightedCrossEntropy(WeightedCrossEntropy):
    """L = -(1/N) Σₙ vₙ w[labelₙ] Σₖ qₙₖ log pₙₖ       logits (N, K), targets (N, 2): label, weight v

    WeightedCrossEntropy, times a weight for each sample: ∂L/∂zₙ = vₙ w[labelₙ] (pₙ - qₙ) / N
    """

    def check(self, outputs: Array, targets: Array) -> None:
        _check_columns(targets, 1)
        super().check(outputs, self.answers(targets))

    def forward(self, outputs: Array, targets: Array) -> tuple[Array, Any]:
        self.check(outputs, targets)
        labels = self.answers(targets)
        return self.weighed(outputs, labels, self.ops.xp.asarray(self.weights)[labels] * targets[:, 1])

    def answers(self, targets: Array) -> Array:
        labels: Array = targets[:, 0].astype("int64")
        return labels


@dataclass(eq=False)
class SampleWeightedSquaredError(MeanSquaredError):
    """L = (1/NM) Σₙ vₙ Σₘ (yₙₘ - tₙₘ)²       outputs y (N, M), targets (N, M + 1): t, then the weight v

    ∂L/∂y = 2 vₙ (y - t) / NM
    """

    def check(self, outputs: Array, targets: Array) -> None:
        _check_columns(targets, outputs.shape[-1])
        super().check(outputs, self.answers(targets))

    def forward(self, outputs: Array, targets: Array) -> tuple[Array, Any]:
        self.check(outputs, targets)
        error, weights = outputs - self.answers(targets).astype(outputs.dtype), targets[:, -1:]
        loss = (weights * self.ops.xp.square(error, dtype="float64")).mean()
        return loss, error * weights.astype(outputs.dtype)

    def answers(self, targets: Array) -> Array:
        return targets[:, :-1]


def sample_weighted(loss: Loss, classes: int) -> Loss:
    """The loss for targets that `with_weights` has made; its settings, class weights too, stay."""
    if type(loss) is MeanSquaredError:
        return SampleWeightedSquaredError()
    if type(loss) is WeightedCrossEntropy:
        return SampleWeightedCrossEntropy(loss.smoothing, loss.weights)
    if type(loss) is SoftmaxCrossEntropy:
        return SampleWeightedCrossEntropy(loss.smoothing, (1.0,) * classes)
    raise ConfigError(
        "this loss takes no weights for samples",
        expected="SoftmaxCrossEntropy, WeightedCrossEntropy or MeanSquaredError",
        received=type(loss).__name__,
        fix="end the net in logits, without Softmax or Sigmoid",
    )


def with_weights(targets: Array, weights: Any) -> Array:
    """Targets (M,) or (M, …) and weights (M,), one beside the other: float64 (M, 1 + columns of targets)."""
    columns = np.asarray(targets, np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2:
        raise ShapeError(
            "weights for samples need targets in columns", expected="(M,) or (M, K)", received=columns.shape
        )
    return np.column_stack([columns, weights])


def checked_weights(weights: Any, samples: int) -> Array:
    """A finite number from 0 for each sample, float64 (M,), not all 0. DataError, DTypeError, ShapeError."""
    found = as_array(weights, "sample weights")
    if found.shape != (samples,):
        raise ShapeError(
            "there is not one weight for each sample", expected=f"({samples},)", received=found.shape
        )
    if found.dtype.kind not in "fiub":
        raise DTypeError("sample weights are no numbers", expected="numbers from 0", received=found.dtype)
    found = found.astype(np.float64)
    wrong = ~(np.isfinite(found) & (found >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            "a sample weight is negative or no finite number",
            expected="numbers from 0",
            received=f"{found[row]} at row {row} ({int(wrong.sum())} rows in all)",
        )
    if not found.any():
        raise DataError("all sample weights are zero", expected="at least one above 0")
    return found


def _check_columns(targets: Array, answers: int) -> None:
    if targets.ndim != 2 or targets.shape[1] != answers + 1:
        raise ShapeError(
            "the last column of the targets is the weight",
            expected=f"(N, {answers + 1})",
            received=targets.shape,
        )
