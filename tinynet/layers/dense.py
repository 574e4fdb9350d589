from __future__ import annotations

from dataclasses import dataclass

from tinynet.checks import real, whole
from tinynet.layers.base import Layer
from tinynet.rng import Key
from tinynet.types import Array, Shape


@dataclass(eq=False)
class Dense(Layer):
    """y = x W + b        x (N, I)   W (I, O)   b (O,)   y (N, O)

    With dy = ∂L/∂y (N, O):

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
        self.expect_input_rank(input_shape, "(features,)", "add Flatten() before it")
        self.add_param("W", (*input_shape, self.units), self.init, weight_decay=True, l2=self.l2)
        self.add_param("b", (self.units,), "zeros")
        return (self.units,)

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Array]:
        return self.ops.dense(x, self.params.W, self.params.b), x

    def backward(self, dy: Array, cache: Array) -> Array | None:
        x, p, g = cache, self.params, self.grads
        return self.ops.dense_backward(dy, x, p.W, g.W, g.b, self.needs_dx)

    def multiply_adds(self) -> int:
        return self.input_shape[0] * self.units
