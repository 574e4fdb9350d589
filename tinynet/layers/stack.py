"""Layers one after another, as a model and a block within it have them: named, built, walked through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from tinynet.backends.base import Backend
from tinynet.errors import ShapeError
from tinynet.layers.base import Layer
from tinynet.types import Shape


def build_layers(
    layers: Sequence[Layer],
    input_shape: Shape,
    dtype: str,
    operations: Callable[[Layer], Backend],
    owner: str = "",
    used: dict[str, int] | None = None,
) -> Shape:
    """Name each layer and build it for what the one before it gives; return the last one's output shape.

    No tensor is allocated: the layers only say which they need. `release` undoes it. `owner` begins the names
    of layers inside another, "residual_1."; `used` counts the names that are taken, by their kind.
    """
    shape, used = input_shape, {} if used is None else used
    for layer in layers:
        kind = type(layer).__name__
        used[kind] = used.get(kind, 0) + 1
        layer.name = f"{owner}{kind.lower()}_{used[kind]}"
        layer.dtype = dtype
        layer.operations = operations
        layer.ops = operations(layer)
        layer.input_shape = shape
        built = layer.build(shape)
        if not isinstance(built, tuple):
            raise ShapeError(
                f"build of {layer.label} gave no shape",
                expected="that of one output sample, a tuple such as (10,)",
                received=repr(built),
                fix="end build with `return input_shape`" if built is None else None,
            )
        shape = layer.output_shape = built
    return shape


def walk(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Every layer, each followed by those inside it."""
    for layer in layers:
        yield layer
        for branch in layer.branches:
            yield from walk(branch)
