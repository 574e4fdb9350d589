"""Binary cross-entropy: yes-or-no questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet.errors import DataError, DTypeError, ShapeError
from tinynet.losses.base import Loss
from tinynet.losses.measures import BinaryAccuracy, Measure
from tinynet.types import Array, Shape


@dataclass(eq=False)
class BinaryCrossEntropy(Loss):
    """L = -(1/NK) Σₙₖ ( t log p + (1 - t) log(1 - p) ),   p = σ(z)        logits z (N, K), targets t (N, K)

    Each of the K outputs answers a question of its own by yes (t = 1) or no (t = 0); a t in between is the
    probability of yes. For K = 1, targets may also be (N,). With σ(z) = 1 / (1 + e⁻ᶻ) an answer's loss is

        log(1 + eᶻ) - t z  =  max(z, 0) - t z + log(1 + e^{-|z|})        ∂L/∂z = (p - t) / NK

    Why: log p = z - log(1 + eᶻ) and log(1 - p) = -log(1 + eᶻ). The right form never overflows, and is exact
    where p rounds to 0 or 1. (Bishop: "Pattern recognition and machine learning", 2006, equations 4.90 and
    4.91.)
    """

    takes_soft = True

    def check(self, outputs: Array, targets: Array) -> None:
        allowed = [outputs.shape] + [outputs.shape[:1]] * (outputs.shape[1:] == (1,))
        if outputs.ndim != 2 or targets.shape not in allowed:
            raise ShapeError(
                "outputs and targets of binary cross-entropy do not go together",
                expected="outputs and targets (N, K), or outputs (N, 1) and targets (N,)",
                received=f"outputs {outputs.shape} and targets {targets.shape}",
                fix="end the model in Dense(1) for two classes; for one of several, use SoftmaxCrossEntropy",
            )
        if targets.dtype.kind not in "fiub":
            raise DTypeError("targets are 0, 1, or between", expected="numbers", received=targets.dtype)

    def check_values(self, targets: Array, output_shape: Shape) -> None:
        wrong = ~((targets >= 0) & (targets <= 1))  # which NaN is, too
        if wrong.any():
            first = tuple(int(place[0]) for place in np.nonzero(wrong))
            raise DataError(
                "a target of binary cross-entropy is no probability",
                expected="0 for no, 1 for yes, or a number between",
                received=f"{targets[first]} at row {first[0]} "
                f"(such values: {int(wrong.sum())} of {wrong.size})",
                fix="for class numbers above 1, use SoftmaxCrossEntropy; for other values, MeanSquaredError",
            )

    def forward(self, outputs: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Any]:
        self.check(outputs, targets)
        xp, z, t = self.ops.xp, outputs, targets.reshape(outputs.shape).astype(outputs.dtype)
        small = xp.exp(-xp.abs(z))
        losses = xp.maximum(z, 0) - t * z + xp.log1p(small)
        slopes = xp.where(z >= 0, 1, small) / (1 + small) - t
        if weights is not None:
            losses, slopes = losses * weights[:, None], slopes * weights[:, None].astype(z.dtype)
        return losses.mean(dtype="float64"), slopes / slopes.size

    def backward(self, cache: Any) -> Array:
        gradient: Array = cache  # σ(z) is there in forward
        return gradient

    def probabilities(self, outputs: Array) -> Array:
        """For one output (N, 1), those of no and yes, (N, 2). For several, that of yes, (N, K)."""
        yes = self.ops.sigmoid(outputs)
        return yes if outputs.shape[1] > 1 else self.ops.xp.concatenate([1 - yes, yes], axis=1)

    def measure(self, targets: Array, output_shape: Shape) -> Measure:
        return BinaryAccuracy()

    def classes(self, outputs: int) -> int:
        return max(2, outputs)
