"""Cross-entropy of classes that exclude each other: of logits, and of scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinynet.checks import real
from tinynet.losses.base import Loss, check_labels
from tinynet.types import Array


@dataclass(eq=False)
class SoftmaxCrossEntropy(Loss):
    """L = -(1/N) Σₙ Σₖ qₙₖ log pₙₖ,   p = softmax(z)        logits z (N, K), labels (N,) in 0 … K-1

    q puts 1 - ε on the label and spreads ε = `smoothing` evenly over all K classes (Szegedy et al.,
    "Rethinking the Inception architecture", 2015; ε = 0 is plain cross-entropy). The gradient is

        ∂L/∂z = (p - q) / N

    Why: log pₖ = zₖ - log Σⱼ e^{zⱼ}, whose derivative by zⱼ is δⱼₖ - pⱼ; weigh by q, which sums to 1.
    """

    smoothing: float = 0.0

    def check_settings(self) -> None:
        self.settle("smoothing", real, least=0, below=1)

    def check(self, outputs: Array, targets: Array) -> None:
        check_labels(outputs, targets)

    def forward(self, outputs: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Any]:
        self.check(outputs, targets)
        return self.ops.softmax_cross_entropy(outputs, targets, self.smoothing, weights)

    def backward(self, cache: Any) -> Array:
        gradient: Array = cache  # p is there in forward: one pass makes both
        return gradient

    def probabilities(self, outputs: Array) -> Array:
        return self.ops.softmax(outputs)


@dataclass(eq=False)
class CrossEntropy(Loss):
    """L = -(1/N) Σₙ log( sₙ,label / Σₖ sₙₖ )        positive scores s (N, K), labels (N,) in 0 … K-1

    For a net that ends in softmax, or in sigmoid: the scores of a row are first divided by their sum, as
    Keras' sparse categorical cross-entropy does. Scores are taken as at least 1e-7, so log never sees 0.

        ∂L/∂sₖ = ( 1/Σⱼ sⱼ  -  [k = label] / sₖ ) / N        (0 where sₖ was raised to 1e-7)
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
        scores = self.ops.xp.maximum(outputs, outputs.dtype.type(self.FLOOR))
        return scores / scores.sum(axis=-1, keepdims=True)
