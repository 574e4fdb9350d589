"""One layer on its own: what the tests of the layers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.gradcheck.cases import LAYER_CASES
from tinynet.layers.base import Layer
from tinynet.model import Sequential
from tinynet.rng import Key, Stream
from tinynet.types import Array, Shape

KEY = Key(0, Stream.DROPOUT)
MAKE: dict[str, tuple[Callable[[], Layer], Shape]] = {
    name: (cases[0][1], cases[0][2]) for name, cases in LAYER_CASES.items()
}
"""One of each layer, and a shape it takes."""
DTYPES = ("float32", "float64")


def parameters(make: Callable[[], Layer], shape: Shape) -> list[str]:
    """The names of a layer's parameters, for samples of that shape."""
    return [spec.name for spec in built(make(), shape).param_specs]


def built(
    layer: Layer, shape: Shape, backend: str = "numpy", dtype: str = "float64", **tensors: Any
) -> Layer:
    """`layer` in a model of its own, its parameters and state set to `tensors`."""
    Sequential([layer], shape, backend=backend, dtype=dtype)
    for name, value in tensors.items():
        (layer.params if name in layer.params else layer.state)[name][...] = layer.ops.asarray(
            np.asarray(value)
        )
    return layer


def forward(layer: Layer, x: Any, train: bool = False, key: Key = KEY) -> Array:
    y, _ = layer.forward(layer.ops.asarray(x), train=train, key=key)
    return np.array(layer.ops.to_host(y))


def image(rows: Any, dtype: str = "float64") -> Array:
    """Rows of numbers as one image of one channel."""
    return np.array(rows, dtype)[None, :, :, None]


NINE = image([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
SIXTEEN = image(np.arange(1, 17).reshape(4, 4))
