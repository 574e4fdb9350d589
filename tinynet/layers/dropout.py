from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinynet.checks import real
from tinynet.layers.base import Layer
from tinynet.rng import Key
from tinynet.types import Array, Shape


@dataclass(eq=False)
class Dropout(Layer):
    """y = x · mask / (1 - rate),   mask ~ Bernoulli(1 - rate)        x, mask and y of any one shape

    Dividing by the share that is kept ("inverted" dropout) leaves the mean unchanged, so evaluation is y = x.
    The mask is a constant for the gradient:

        ∂L/∂x = dy · mask / (1 - rate)

    The mask is drawn from the key (seed, stream, layer, step): the same one on every backend, and again
    after a resume. (Srivastava et al., "Dropout", 2014.)
    """

    rate: float

    def check_settings(self) -> None:
        self.settle("rate", real, least=0, below=1)

    def build(self, input_shape: Shape) -> Shape:
        return input_shape

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Any]:
        if not train or self.rate == 0:
            return x, None
        return self.ops.dropout(x, self.rate, key)

    def backward(self, dy: Array, cache: Any) -> Array | None:
        return dy if cache is None else self.ops.dropout_backward(dy, cache, self.rate)
