from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from tinynet.checks import real, refusal, sizes
from tinynet.errors import ShapeError
from tinynet.layers.base import Layer
from tinynet.rng import Key
from tinynet.types import Array, Shape


@dataclass(eq=False)
class Rearrangement(Layer):
    """The same values in the same order, in another shape."""

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, None]:
        return x.reshape(len(x), *self.output_shape), None

    def backward(self, dy: Array, cache: None) -> Array | None:
        return dy.reshape(len(dy), *self.input_shape)


@dataclass(eq=False)
class Flatten(Rearrangement):
    """y = the values of each sample in one row        x (N, …)   y (N, product of …)

    ∂L/∂x = dy in the shape of x
    """

    def build(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)


@dataclass(eq=False)
class Reshape(Rearrangement):
    """y = the values of each sample in another shape        x (N, …)   y (N, *shape)

    ∂L/∂x = dy in the shape of x
    """

    shape: tuple[int, ...]

    def check_settings(self) -> None:
        self.settle("shape", sizes)

    def build(self, input_shape: Shape) -> Shape:
        if math.prod(self.shape) != math.prod(input_shape) or min(self.shape, default=1) < 1:
            raise ShapeError(
                f"{self.label} cannot change the number of values",
                expected=f"a shape of {math.prod(input_shape)} values, as {input_shape} has",
                received=self.shape,
            )
        return self.shape


@dataclass(eq=False)
class Rescale(Layer):
    """y = scale · x + offset        x (N, …) of any real dtype   y (N, …) of the model's dtype

    ∂L/∂x = scale · dy

    The first layer of an image model: it takes raw uint8 pixels, so what trains a model and what serves it
    cannot scale differently. The default maps 0 … 255 to 0 … 1.
    """

    scale: float = 1.0 / 255.0
    offset: float = 0.0
    takes_any_dtype: ClassVar[bool] = True

    def check_settings(self) -> None:
        self.settle("scale", real)
        self.settle("offset", real)
        if self.scale == 0:
            raise refusal(self.scale, "Rescale", "scale", "a number other than 0, by which all input is lost")

    def build(self, input_shape: Shape) -> Shape:
        return input_shape

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, None]:
        return self.ops.rescale(x, self.scale, self.offset, self.dtype), None

    def backward(self, dy: Array, cache: None) -> Array | None:
        return self.ops.rescale_backward(dy, self.scale)
