"""gradcheck.check: mistakes in a backward are found, and said in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tinynet.errors import DTypeError, ShapeError
from tinynet.gradcheck import check_layer, check_loss
from tinynet.layers.base import Layer
from tinynet.losses import Loss
from tinynet.rng import Key
from tinynet.types import Array, Shape


@dataclass(eq=False)
class Scale(Layer):
    """y = a · x, with the backward under test."""

    wrong: Callable[[Scale, Array, Array], Any]

    def build(self, input_shape: Shape) -> Shape:
        self.add_param("a", input_shape, "ones")
        return input_shape

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Array]:
        return x * self.params.a, x

    def backward(self, dy: Array, cache: Array) -> Array | None:
        dx: Array | None = self.wrong(self, dy, cache)
        return dx


def _right(layer: Scale, dy: Array, x: Array) -> Array:
    layer.grads.a[...] = (dy * x).sum(axis=0)
    return dy * layer.params.a


def _adds(layer: Scale, dy: Array, x: Array) -> Array:
    gradient = layer.grads.a
    gradient += (dy * x).sum(axis=0)
    return dy * layer.params.a


def _leaves_out(layer: Scale, dy: Array, x: Array) -> Array:
    return dy * layer.params.a


def test_a_gradient_that_is_right_passes() -> None:
    assert all(check.passed for check in check_layer(Scale(_right), (4,), backend="numpy"))


@pytest.mark.parametrize("wrong", [_adds, _leaves_out])
def test_a_gradient_that_is_added_to_or_not_written_is_found(wrong: Any) -> None:
    of_x, of_a = check_layer(Scale(wrong), (4,), backend="numpy")
    assert of_x.passed
    assert not of_a.passed


@pytest.mark.parametrize(
    ("returns", "error", "says"),
    [
        (lambda layer, dy, x: None, DTypeError, r"received: nothing \(None\)\n  fix: return it"),
        (lambda layer, dy, x: (dy, dy), DTypeError, "received: .*tuple"),
        (
            lambda layer, dy, x: dy.sum(axis=1),
            ShapeError,
            r"an array \(3, 4\) of float64\n  received: an array \(3,\)",
        ),
        (lambda layer, dy, x: dy[:1], ShapeError, r"received: an array \(1, 4\)"),
        (lambda layer, dy, x: dy.sum(), DTypeError, "received: .*float64"),
        (lambda layer, dy, x: dy.astype("float32"), DTypeError, r"received: an array \(3, 4\) of float32"),
    ],
)
def test_a_backward_that_returns_something_else_is_told_so(returns: Any, error: type, says: str) -> None:
    with pytest.raises(error, match=rf"(?s)^Scale 'scale_1': backward returned as ∂L/∂x .*{says}"):
        check_layer(Scale(returns), (4,), backend="numpy")


@pytest.mark.parametrize("returns", [lambda x: x, lambda x: (x, None, None), lambda x: None])
def test_a_forward_that_returns_no_pair_is_told_so(returns: Any) -> None:
    class Alone(Scale):
        def forward(self, x: Array, *, train: bool, key: Key) -> Any:
            return returns(x)

    with pytest.raises(
        DTypeError, match=r"Alone 'alone_1': forward returned no pair\n  expected: \(y, cache\)"
    ):
        check_layer(Alone(_right), (4,), backend="numpy")


@pytest.mark.parametrize(("gradient", "error"), [(None, DTypeError), (np.ones((2, 3)), ShapeError)])
def test_a_loss_whose_backward_returns_something_else_is_told_so(gradient: Any, error: type) -> None:
    @dataclass(eq=False)
    class Odd(Loss):
        def forward(self, outputs: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Any]:
            return outputs.sum(), outputs

        def backward(self, cache: Any) -> Array:
            wrong: Array = gradient
            return wrong

    with pytest.raises(error, match="Odd: backward returned no ∂loss/∂outputs"):
        check_loss(Odd(), np.ones((3, 2)), np.zeros(3, int), backend="numpy")
