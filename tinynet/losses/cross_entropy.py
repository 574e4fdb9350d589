"""Cross-entropy of classes that exclude each other: of logits, and of scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet.checks import real
from tinynet.errors import ConfigError, DataError
from tinynet.losses.base import Loss, check_labels
from tinynet.losses.measures import Accuracy, Measure
from tinynet.types import Array, Shape

TOLERANCE = 1e-3
"""By which the sum of a row of probabilities may miss 1: those of float16 do."""


@dataclass(eq=False)
class SoftmaxCrossEntropy(Loss):
    """L = -(1/N) Σₙ Σₖ qₙₖ log pₙₖ,   p = softmax(z)        logits z (N, K), labels (N,) in 0 … K-1

    q puts 1 - ε on the label and spreads ε = `smoothing` evenly over all K classes (Szegedy et al.,
    "Rethinking the Inception architecture", 2015; ε = 0 is plain cross-entropy). The gradient is

        ∂L/∂z = (p - q) / N

    Why: log pₖ = zₖ - log Σⱼ e^{zⱼ}, whose derivative by zⱼ is δⱼₖ - pⱼ; weigh by q, which sums to 1.

    Targets may also be soft: floating (N, K), in each row a probability t for every class, as mixed images
    and the answers of another net have them. Then q = (1 - ε) t + ε / K, and a sample counts as classified
    rightly where its largest logit is that of the class with the largest t, the first of equals.
    """

    takes_soft = True
    smoothing: float = 0.0

    def check_settings(self) -> None:
        self.settle("smoothing", real, least=0, below=1)

    def check(self, outputs: Array, targets: Array) -> None:
        if not are_soft(targets, outputs.shape[1:]):
            check_labels(outputs, targets)

    def check_values(self, targets: Array, output_shape: Shape) -> None:
        if are_soft(targets, output_shape):
            check_shares(targets)
        else:
            super().check_values(targets, output_shape)

    def measure(self, targets: Array, output_shape: Shape) -> Measure:
        return Accuracy()

    def forward(self, outputs: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Any]:
        self.check(outputs, targets)
        if targets.ndim == 2:
            return self.ops.soft_cross_entropy(outputs, targets, self.smoothing, weights)
        return self.ops.softmax_cross_entropy(outputs, targets, self.smoothing, weights)

    def backward(self, cache: Any) -> Array:
        gradient: Array = cache  # p is there in forward: one pass makes both
        return gradient

    def probabilities(self, outputs: Array) -> Array:
        check_several(self, outputs.shape[1:])
        return self.ops.softmax(outputs)


def are_soft(targets: Array, output_shape: Shape) -> bool:
    """Whether the targets are floating (N, K), for outputs (N, K)."""
    return targets.ndim == 2 and targets.shape[1:] == output_shape and targets.dtype.kind == "f"


def check_shares(targets: Array) -> None:
    """Raise DataError unless each row of the host array (N, K) holds probabilities that add up to 1."""
    rows = targets.astype(np.float64)
    wrong = ~((rows >= 0).all(axis=1) & (np.abs(rows.sum(axis=1) - 1) <= TOLERANCE))  # which NaN is, too
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            "a row of targets is no distribution over the classes",
            expected="numbers from 0 that add up to 1",
            received=f"{np.array2string(targets[row], precision=4, threshold=8)} at row {row} "
            f"(such rows: {int(wrong.sum())} of {len(targets)})",
            fix="divide each row by its sum; for values of another kind, use MeanSquaredError",
        )


def check_several(loss: Loss | None, output_shape: Shape) -> None:
    """Raise ConfigError where `loss` shares a whole among classes, and there is a single output."""
    if isinstance(loss, SoftmaxCrossEntropy | CrossEntropy) and output_shape == (1,):
        raise ConfigError(
            f"{type(loss).__name__} makes no probabilities of a single output: they would always be 1",
            expected="two outputs or more, one for each class",
            received="1 output",
            fix="save the model with the loss it was trained with: save_model(path, model, loss), such as "
            "BinaryCrossEntropy() for yes or no, MeanSquaredError() for a value",
        )


@dataclass(eq=False)
class CrossEntropy(Loss):
    """L = -(1/N) Σₙ log( sₙ,label / Σₖ sₙₖ )        positive scores s (N, K), labels (N,) in 0 … K-1

    For a net that ends in softmax, or in sigmoid: the scores of a row are first divided by their sum, as
    Keras' sparse categorical cross-entropy does. Scores are taken as at least 1e-7, so log never sees 0.

        ∂L/∂sₖ = ( 1/Σⱼ sⱼ  -  [k = label] / sₖ ) / N        (0 where sₖ was raised to 1e-7)

    `probabilities` raises them to the least normal number of their dtype alone: the largest of small scores
    has the largest probability, too.
    """

    FLOOR = 1e-7

    def check(self, outputs: Array, targets: Array) -> None:
        check_labels(outputs, targets)

    def forward(self, outputs: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Any]:
        self.check(outputs, targets)
        return self.ops.cross_entropy(outputs, targets, self.FLOOR, weights)

    def backward(self, cache: Any) -> Array:
        gradient: Array = cache  # as above
        return gradient

    def probabilities(self, outputs: Array) -> Array:
        check_several(self, outputs.shape[1:])
        scores = self.ops.xp.maximum(outputs, np.finfo(outputs.dtype).tiny)
        return scores / scores.sum(axis=-1, keepdims=True)
