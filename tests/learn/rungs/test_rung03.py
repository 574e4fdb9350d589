"""Rung 3: right answers pass, and each typical wrong one is told what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tinynet.errors import TinynetError
from tinynet.layers.base import Layer
from tinynet.learn.exercise import Wrong
from tinynet.learn.ladder import exercise
from tinynet.types import Array, Shape


def relu_backward(dy: Array, x: Array) -> Array:
    return np.where(x > 0, dy, 0.0)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda dy, x: (x > 0) * 1.0, "multiplies it by dy"),
        (lambda dy, x: np.maximum(dy, 0.0), "whatever the sign of dy"),
        (lambda dy, x: dy, "open everywhere"),
        (lambda dy, x: np.where(x < 0, dy, 0.0), "the wrong way round"),
        (lambda dy, x: np.maximum(x, 0.0), "this is the forward"),
        (lambda dy, x: dy * np.maximum(x, 0.0), "is 1 where x is positive, not x"),
        (lambda dy, x: -relu_backward(dy, x), "the sign"),
        (lambda dy, x: None, "missing `return`"),
        (lambda dy, x: dy * x > 0, "put it in brackets"),
    ],
)
def test_relu_backward(wrong: Callable[..., Any], hint: str) -> None:
    exercise("03.relu_backward").grade(relu_backward)
    with pytest.raises(Wrong, match=hint):
        exercise("03.relu_backward").grade(wrong)


def forward(layers: list[Any], x: Array) -> tuple[Array, list[Any]]:
    caches = []
    for layer in layers:
        x, cache = layer.forward(x)
        caches.append(cache)
    return x, caches


def chain(layers: list[Any], x: Array, dy: Array) -> Array:
    _, caches = forward(layers, x)
    for layer, cache in zip(reversed(layers), reversed(caches), strict=True):
        dy = layer.backward(dy, cache)
    return dy


def chain_in_the_order_of_the_forward(layers: list[Any], x: Array, dy: Array) -> Array:
    for layer, cache in zip(layers, forward(layers, x)[1], strict=True):
        dy = layer.backward(dy, cache)
    return dy


def chain_that_gives_each_layer_dy(layers: list[Any], x: Array, dy: Array) -> Array:
    for layer, cache in zip(reversed(layers), reversed(forward(layers, x)[1]), strict=True):
        dx: Array = layer.backward(dy, cache)
    return dx


def chain_that_gives_each_layer_x(layers: list[Any], x: Array, dy: Array) -> Array:
    for layer in reversed(layers):
        dy = layer.backward(dy, layer.forward(x)[1])
    return dy


def chain_that_stops_early(layers: list[Any], x: Array, dy: Array) -> Array:
    caches = forward(layers, x)[1]
    for position in range(len(layers) - 1, 0, -1):
        dy = layers[position].backward(dy, caches[position])
    return dy


def chain_with_the_caches_of_others(layers: list[Any], x: Array, dy: Array) -> Array:
    for layer, cache in zip(reversed(layers), forward(layers, x)[1], strict=True):
        dy = layer.backward(dy, cache)
    return dy


def chain_with_the_last_cache_alone(layers: list[Any], x: Array, dy: Array) -> Array:
    cache = forward(layers, x)[1][-1]
    for layer in reversed(layers):
        dy = layer.backward(dy, cache)
    return dy


def chain_that_unpacks_nothing(layers: list[Any], x: Array, dy: Array) -> Array:
    for layer in layers:
        x = layer.forward(x)
    return x


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (chain_with_the_last_cache_alone, "one cache for all layers"),
        (chain_that_unpacks_nothing, r"with a tuple(.|\n)*y, cache = layer\.forward\(x\)"),
        (lambda layers, x, dy: layers[0].forward(x)[0], "`return` stands in its loop"),
        (chain_with_the_caches_of_others, "each layer needs its own cache"),
        (lambda layers, x, dy: layers[-1].backward(dy, forward(layers, x)[1][-1]), "after the last layer"),
        (chain_in_the_order_of_the_forward, "from the last layer to the first"),
        (chain_that_gives_each_layer_dy, "not the first dy"),
        (chain_that_gives_each_layer_x, "the output of the one before, not x"),
        (chain_that_stops_early, "stopped before the first layer"),
        (lambda layers, x, dy: forward(layers, x)[0], "the output of the forward"),
    ],
)
def test_chain(wrong: Callable[..., Any], hint: str) -> None:
    exercise("03.chain").grade(chain)
    with pytest.raises(Wrong, match=hint):
        exercise("03.chain").grade(wrong)


@dataclass(eq=False)
class Scale(Layer):
    def build(self, input_shape: Shape) -> Shape:
        self.add_param("s", input_shape, "ones")
        return input_shape

    def forward(self, x: Array, *, train: bool, key: Any) -> tuple[Array, Any]:
        return x * self.params.s, x

    def backward(self, dy: Array, cache: Any) -> Array | None:
        self.grads.s[...] = (dy * cache).sum(axis=0)
        dx: Array = dy * self.params.s
        return dx


class StartsAtZero(Scale):
    def build(self, input_shape: Shape) -> Shape:
        self.add_param("s", input_shape, "zeros")
        return input_shape


class OneNumber(Scale):
    def build(self, input_shape: Shape) -> Shape:
        self.add_param("s", (1,), "ones")
        return input_shape


class Adds(Scale):
    def forward(self, x: Array, *, train: bool, key: Any) -> tuple[Array, Any]:
        return x + self.params.s, x


class ReturnsNoShape(Scale):
    def build(self, input_shape: Shape) -> Shape:
        super().build(input_shape)
        return None  # type: ignore[return-value]


class ReadsSOnSelf(Scale):
    def forward(self, x: Array, *, train: bool, key: Any) -> tuple[Array, Any]:
        return x * self.s, x  # type: ignore[attr-defined]


class KeepsY(Scale):
    def forward(self, x: Array, *, train: bool, key: Any) -> tuple[Array, Any]:
        y: Array = x * self.params.s
        return y, y


class KeepsXOnSelf(Scale):
    def forward(self, x: Array, *, train: bool, key: Any) -> tuple[Array, Any]:
        self.x = x
        return x * self.params.s, None

    def backward(self, dy: Array, cache: Any) -> Array | None:
        return super().backward(dy, self.x)


def with_gradient(write: Callable[[Any, Array, Array], Any]) -> type[Scale]:
    """Scale whose backward writes ∂L/∂s by `write(grads, dy, x)`."""

    class Written(Scale):
        def backward(self, dy: Array, cache: Any) -> Array | None:
            write(self.grads, dy, cache)
            dx: Array = dy * self.params.s
            return dx

    return Written


def with_dx(dx: Callable[[Array, Array, Array], Array | None]) -> type[Scale]:
    """Scale whose backward returns dx(dy, x, s)."""

    class Returned(Scale):
        def backward(self, dy: Array, cache: Any) -> Array | None:
            super().backward(dy, cache)
            return dx(dy, cache, self.params.s)

    return Returned


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (StartsAtZero, "s does not start at 1"),
        (OneNumber, r"expected: s \(5,\) for 5 features"),
        (Adds, "multiply, do not add"),
        (ReturnsNoShape, "end build with `return input_shape`"),
        (ReadsSOnSelf, r"the parameter is self\.params\.s"),
        (KeepsY, "y was kept for the backward"),
        (with_gradient(lambda g, dy, x: np.copyto(g.s, (dy * x).sum(axis=1))), "the batch is axis 0"),
        (with_gradient(lambda g, dy, x: np.copyto(g.s, (dy * x).sum())), "one number for all features"),
        (KeepsXOnSelf, "return it as the cache"),
        (with_gradient(lambda g, dy, x: None), "never written"),
        (with_gradient(lambda g, dy, x: np.add(g.s, (dy * x).sum(axis=0), out=g.s)), "not with \\+="),
        (with_gradient(lambda g, dy, x: np.copyto(g.s, (dy * x).mean(axis=0))), "the mean over the batch"),
        (with_gradient(lambda g, dy, x: np.copyto(g.s, dy.sum(axis=0))), "multiply dy by x"),
        (with_gradient(lambda g, dy, x: np.copyto(g.s, dy * x)), "missing sum over the batch"),
        (
            with_gradient(lambda g, dy, x: setattr(g, "s", (dy * x).sum(axis=0))),
            r"write into it: self\.grads\.s",
        ),
        (with_dx(lambda dy, x, s: dy), "multiply dy by s"),
        (with_dx(lambda dy, x, s: dy * x), "by s, not by x"),
        (with_dx(lambda dy, x, s: dy / s), "divided by s"),
        (with_dx(lambda dy, x, s: None), "backward"),
        (object, "this is no Layer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_scale(wrong: type, hint: str) -> None:
    exercise("03.Scale").grade(Scale)
    with pytest.raises((Wrong, TinynetError, AttributeError), match=hint):  # the engine's errors teach, too
        exercise("03.Scale").grade(wrong)


def test_a_layer_that_is_right_for_one_width_alone_is_found() -> None:
    class FiveWide(Scale):
        def backward(self, dy: Array, cache: Any) -> Array | None:
            dx = super().backward(dy, cache)
            if dy.shape[1] != 5:
                self.grads.s[...] = 0.0
            return dx

    with pytest.raises(Wrong, match="check_layer found"):
        exercise("03.Scale").grade(FiveWide)
