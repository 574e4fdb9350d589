from __future__ import annotations

import math
from dataclasses import dataclass

from tinynet.checks import real, whole
from tinynet.layers.base import Layer
from tinynet.rng import Key
from tinynet.types import Array, Shape


@dataclass(eq=False)
class Dense(Layer):
    """y = x W + b        x (N, …, I)   W (I, O)   b (O,)   y (N, …, O)

    With dy = ∂L/∂y, and each place of the axes between (time steps, pixels) as one more row n:

        ∂L/∂W = xᵀ dy      ∂L/∂b = Σₙ dyₙ      ∂L/∂x = dy Wᵀ

    Why: yₙₒ = Σᵢ xₙᵢ Wᵢₒ + bₒ, so Wᵢₒ moves every yₙₒ by xₙᵢ, bₒ moves it by 1, and xₙᵢ moves it by Wᵢₒ.
    Sum each over everything it touches. (Rumelhart, Hinton, Williams: "Learning representations by
    back-propagating errors", 1986.)

    `units` is O; `init` names the initialiser of W (b starts at 0); `l2` = λ adds λ ΣW² to the loss.
    """

    units: int
    init: str = "glorot_uniform"
    l2: float = 0.0

    def check_settings(self) -> None:
        self.settle("units", whole, least=1)
        self.settle("l2", real, least=0)

    def build(self, input_shape: Shape) -> Shape:
        if not input_shape:
            self.expect_input_rank(input_shape, "(features,)", "let a sample have an axis of features")
        self.add_param("W", (input_shape[-1], self.units), self.init, weight_decay=True, l2=self.l2)
        self.add_param("b", (self.units,), "zeros")
        return (*input_shape[:-1], self.units)

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Array]:
        rows = x.reshape(-1, x.shape[-1])
        return self.ops.dense(rows, self.params.W, self.params.b).reshape(*x.shape[:-1], self.units), rows

    def backward(self, dy: Array, cache: Array) -> Array | None:
        rows, p, g = cache, self.params, self.grads
        dx = self.ops.dense_backward(dy.reshape(-1, self.units), rows, p.W, g.W, g.b, self.needs_dx)
        return None if dx is None else dx.reshape(*dy.shape[:-1], rows.shape[1])

    def multiply_adds(self) -> int:
        return math.prod(self.input_shape) * self.units
