"""Activations: y = f(x) on each value (softmax: on each row), and ∂L/∂x = dy · f'(x).

Where f' is simplest in terms of y = f(x), y is what the backward keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinynet.checks import real, refusal
from tinynet.layers.base import Layer
from tinynet.rng import Key
from tinynet.types import Array, Shape


@dataclass(eq=False)
class Activation(Layer):
    """A layer without parameters whose output has the shape of its input."""

    def build(self, input_shape: Shape) -> Shape:
        return input_shape


@dataclass(eq=False)
class ReLU(Activation):
    """y = max(x, 0)        ∂L/∂x = dy where y > 0, else 0        (Nair & Hinton, 2010)"""

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Array]:
        y = self.ops.relu(x)
        return y, y

    def backward(self, dy: Array, cache: Array) -> Array | None:
        return self.ops.relu_backward(dy, cache)

    def algorithm(self, images: int) -> str:
        return "fused" if self.ops.is_rectified else ""


@dataclass(eq=False)
class LeakyReLU(Activation):
    """y = x where x > 0, else slope · x        ∂L/∂x = dy or slope · dy        (Maas, Hannun, Ng, 2013)"""

    slope: float = 0.01

    def check_settings(self) -> None:
        self.settle("slope", real)

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Array]:
        return self.ops.leaky_relu(x, self.slope), x

    def backward(self, dy: Array, cache: Array) -> Array | None:
        return self.ops.leaky_relu_backward(dy, cache, self.slope)


@dataclass(eq=False)
class ELU(Activation):
    """y = x where x > 0, else α (eˣ - 1)        ∂L/∂x = dy or dy · (y + α)

    (Clevert, Unterthiner, Hochreiter: "Fast and accurate deep network learning by exponential linear
    units", 2015.)
    """

    alpha: float = 1.0

    def check_settings(self) -> None:
        self.settle("alpha", real, above=0)

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Array]:
        y = self.ops.elu(x, self.alpha)
        return y, y

    def backward(self, dy: Array, cache: Array) -> Array | None:
        return self.ops.elu_backward(dy, cache, self.alpha)

    def algorithm(self, images: int) -> str:
        return "fused" if self.ops.is_rectified else ""


@dataclass(eq=False)
class GELU(Activation):
    """y = x · Φ(x),   Φ(x) = (1 + erf(x/√2)) / 2        ∂L/∂x = dy · ( Φ(x) + x · φ(x) )

    Φ is the probability that a standard normal number is below x, φ(x) = e^{-x²/2} / √(2π) its density.
    (Hendrycks & Gimpel: "Gaussian error linear units", 2016.)

    `approximate` = "tanh" is their cheaper form, which differs from the exact one by less than 0.0005:

        y = x/2 · (1 + tanh u),   u = √(2/π) · (x + 0.044715 x³)
        ∂L/∂x = dy · ( (1 + tanh u)/2 + x/2 · (1 - tanh² u) · √(2/π) · (1 + 3 · 0.044715 x²) )

    The default is the definition itself, "none", as in PyTorch and ONNX, which use the same two names: so a
    net means the same here and there.
    """

    approximate: str = "none"

    def check_settings(self) -> None:
        if self.approximate not in ("none", "tanh"):
            raise refusal(self.approximate, "GELU", "approximate", '"none" or "tanh"')

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Array]:
        return (self.ops.gelu_tanh(x) if self.approximate == "tanh" else self.ops.gelu(x)), x

    def backward(self, dy: Array, cache: Array) -> Array | None:
        if self.approximate == "tanh":
            return self.ops.gelu_tanh_backward(dy, cache)
        return self.ops.gelu_backward(dy, cache)


@dataclass(eq=False)
class Sigmoid(Activation):
    """y = 1 / (1 + e⁻ˣ)        ∂L/∂x = dy · y · (1 - y)"""

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Array]:
        y = self.ops.sigmoid(x)
        return y, y

    def backward(self, dy: Array, cache: Array) -> Array | None:
        return self.ops.sigmoid_backward(dy, cache)


@dataclass(eq=False)
class Tanh(Activation):
    """y = tanh x        ∂L/∂x = dy · (1 - y²)"""

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Array]:
        y = self.ops.tanh(x)
        return y, y

    def backward(self, dy: Array, cache: Array) -> Array | None:
        return self.ops.tanh_backward(dy, cache)


@dataclass(eq=False)
class Softmax(Activation):
    """yₖ = e^{xₖ} / Σⱼ e^{xⱼ}        ∂L/∂xₖ = yₖ · (dyₖ - Σⱼ dyⱼ yⱼ)        along the last axis

    Why: ∂yⱼ/∂xₖ = yⱼ (δⱼₖ - yₖ). To train a classifier, leave this layer out and use the loss
    SoftmaxCrossEntropy on the logits: it is exact where probabilities round to 0.
    """

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Array]:
        y = self.ops.softmax(x)
        return y, y

    def backward(self, dy: Array, cache: Array) -> Array | None:
        return self.ops.softmax_backward(dy, cache)
