"""The squared error of values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tinynet.errors import ShapeError
from tinynet.losses.base import Loss
from tinynet.losses.measures import Errors, Measure
from tinynet.types import Array, Shape


@dataclass(eq=False)
class MeanSquaredError(Loss):
    """L = (1/M) Σ (y - t)²        outputs y and targets t of one shape with M values in all

    ∂L/∂y = 2 (y - t) / M
    """

    def check(self, outputs: Array, targets: Array) -> None:
        if outputs.shape != targets.shape:
            raise ShapeError(
                "mean squared error compares arrays of one shape",
                expected=f"targets {outputs.shape}, like the outputs",
                received=targets.shape,
                fix="shape the targets so; class numbers go with SoftmaxCrossEntropy",
            )

    def forward(self, outputs: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Any]:
        self.check(outputs, targets)
        error = outputs - targets.astype(outputs.dtype)
        squares = self.ops.xp.square(error, dtype="float64")  # in float32 they may overflow
        if weights is not None:
            weights = weights.reshape(-1, *[1] * (error.ndim - 1))
            squares, error = squares * weights, error * weights.astype(error.dtype)
        return squares.mean(), error

    def backward(self, cache: Any) -> Array:
        error = cache
        return error * (2.0 / error.size)

    def measure(self, targets: Array, output_shape: Shape) -> Measure:
        return Errors(math.prod(output_shape))
