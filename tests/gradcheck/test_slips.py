"""gradcheck.slips: a planted mistake gets the explanation that names it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tinynet import layers as L
from tinynet.gradcheck import Check, check_layer, check_loss, check_model
from tinynet.gradcheck.slips import likely_slip
from tinynet.layers.base import Layer
from tinynet.losses import MeanSquaredError, SoftmaxCrossEntropy
from tinynet.rng import Key, Stream, normal
from tinynet.types import Array, Shape

N = 3
"""The samples of a batch, if nothing else is said."""


@dataclass(eq=False)
class Affine(Layer):
    """y = x W + b; `of_W` and `of_b` leave ∂L/∂W and ∂L/∂b in the array they are given."""

    units: int
    of_W: Callable[[Array, Array, Array], None]
    of_b: Callable[[Array, Array], None]
    of_x: Callable[[Array, Array], Array] = lambda dy, W: dy @ W.T

    def build(self, input_shape: Shape) -> Shape:
        self.add_param("W", (*input_shape, self.units), "glorot_uniform")
        self.add_param("b", (self.units,), "zeros")
        return (self.units,)

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Array]:
        return x @ self.params.W + self.params.b, x

    def backward(self, dy: Array, cache: Array) -> Array:
        self.of_W(self.grads.W, cache, dy)
        self.of_b(self.grads.b, dy)
        return self.of_x(dy, self.params.W)


def right_W(grad: Array, x: Array, dy: Array) -> None:
    grad[...] = x.T @ dy


def right_b(grad: Array, dy: Array) -> None:
    grad[...] = dy.sum(axis=0)


def writes(value: Callable[..., Array | float]) -> Callable[..., None]:
    """A function that writes what `value` makes of the other arguments into the first."""

    def write(grad: Array, *given: Array) -> None:
        grad[...] = value(*given)

    return write


def adds(grad: Array, *given: Array) -> None:
    grad += given[0].T @ given[1]


def leaves_out_a_row(grad: Array, x: Array, dy: Array) -> None:
    grad[1:] = (x.T @ dy)[1:]


def scales_what_it_finds(grad: Array, x: Array, dy: Array) -> None:
    grad *= x.T @ dy


def adds_to_zero(grad: Array, x: Array, dy: Array) -> None:
    grad *= 0.0
    grad += x.T @ dy


def negates_an_element(grad: Array, x: Array, dy: Array) -> None:
    grad[...] = x.T @ dy
    grad[-2, 1] *= -1


def check(of_W: Callable[..., None] = right_W, of_b: Callable[..., None] = right_b, **size: int) -> Check:
    """The one verdict that is wrong."""
    layer = Affine(size.get("units", N), of_W, of_b)
    [wrong] = [each for each in check_layer(layer, (size.get("I", N),), backend="numpy") if not each.passed]
    return wrong


@pytest.mark.parametrize(
    ("of_W", "slip"),
    [
        (writes(lambda x, dy: -x.T @ dy), "the sign"),
        (writes(lambda x, dy: 2.0 * x.T @ dy), "a factor: everything is 2 times what it should be"),
        (writes(lambda x, dy: dy.T @ x), "transposed"),
        (writes(lambda x, dy: (x.T @ dy)[::-1]), "flipped along axis 0"),
        (writes(lambda x, dy: (x.T @ dy).sum(axis=1, keepdims=True)), "summed over axis 1 .* as well"),
        (writes(lambda x, dy: np.roll(x.T @ dy, 1, axis=1)), "the right elements in the wrong order"),
        (writes(lambda x, dy: 0.0), "it is 0 everywhere"),
        (lambda grad, x, dy: None, "never written: backward leaves there what it finds"),
        (leaves_out_a_row, "never written in 3 of 9 elements"),
        (adds, r"added to instead of written: .* \[\.\.\.\] =, not \+="),
        (adds_to_zero, "times 0 instead of written: a NaN found there stays NaN"),
        (scales_what_it_finds, "it depends on what was there before backward"),
        (writes(lambda x, dy: np.round(x.T @ dy, 4).astype("float32")), "computed in float32"),
        (writes(lambda x, dy: x.T @ dy * np.nan), "9 of 9 elements are no numbers"),
    ],
)
def test_the_gradient_of_a_matrix(of_W: Callable[..., None], slip: str) -> None:
    found = check(of_W)
    assert found.quantity == "W"
    assert found.slip is not None
    assert re.match(slip, found.slip)
    assert found.slip in str(found)


def test_a_matrix_that_is_not_square_and_was_filled_by_rows_of_the_other_is_transposed() -> None:
    assert check(writes(lambda x, dy: (dy.T @ x).reshape(5, 4)), I=5, units=4).slip == "transposed"


@pytest.mark.parametrize(
    ("of_b", "slip"),
    [
        (lambda dy: dy.mean(axis=0), "the mean over the batch instead of the sum: everything is 1/3 of"),
        (lambda dy: dy.sum(axis=1), "summed over the wrong axis: the elements are wrong, and their total"),
        (lambda dy: dy.sum(), "summed over axis 0 of the gradient as well"),
    ],
)
def test_the_gradient_of_a_bias(of_b: Callable[[Array], Array], slip: str) -> None:
    found = check(of_b=writes(of_b))
    assert found.quantity == "b"
    assert found.slip is not None
    assert found.slip.startswith(slip)


def test_a_forward_in_float32_is_named_where_it_spoils_every_gradient() -> None:
    class Single(Affine):
        def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Array]:
            y, cache = super().forward(x, train=train, key=key)
            return y.astype("float32").astype("float64"), cache

    checks = check_layer(Single(4, right_W, right_b), (5,), backend="numpy")
    assert {check.slip for check in checks} == {"the forward is computed in float32"}


def test_a_loss_that_forgets_its_mean() -> None:
    class Summed(MeanSquaredError):
        def backward(self, cache: tuple[Array, Array]) -> Array:
            return super().backward(cache) * N

    outputs, targets = normal(Key(1, Stream.CHECK), (N, 5)), normal(Key(2, Stream.CHECK), (N, 5))
    [found] = check_loss(Summed(), outputs, targets, backend="numpy")
    assert found.slip == "the sum over the batch instead of the mean: everything is 3 times what it should be"


# --- where it is wrong --------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [7, 40])
def test_the_one_wrong_element_is_named_however_large_the_tensor(size: int, backend: str) -> None:
    """40 x 40 is checked along random directions first."""
    layer = Affine(size, negates_an_element, right_b)
    found = {check.quantity: check for check in check_layer(layer, (size,), backend=backend)}["W"]
    assert found.worst is not None
    assert found.worst.place == (size - 2, 1)
    assert found.worst.wrong == 1
    assert found.worst.looked_at == (size * size if size == 7 else 301)
    assert found.worst.ratio == pytest.approx(-1.0)
    assert found.worst.analytic == pytest.approx(-found.worst.numeric)
    assert found.slip is None
    assert f"worst at [{size - 2}, 1]: analytic" in str(found)


def test_the_pattern_of_a_large_tensor_is_read_off_a_sample() -> None:
    found = check(writes(lambda x, dy: dy.T @ x), I=40, units=40)
    assert found.slip == "transposed"


def test_a_wrong_layer_in_a_model_is_explained_like_one_alone(backend: str) -> None:
    stack = [L.Dense(4), L.Tanh(), Affine(N, adds, right_b)]
    checks = {c.quantity: c for c in check_model(stack, (5,), SoftmaxCrossEntropy(), backend=backend)}
    assert [name for name, check in checks.items() if not check.passed] == ["affine_1.W"]
    assert "added to instead of written" in str(checks["affine_1.W"])
    assert str(checks["affine_1.W"]).endswith("the mistake is in affine_1")


class WrongTanh(L.Tanh):
    def backward(self, dy: Array, cache: Array) -> Array:
        dx = super().backward(dy, cache)
        assert dx is not None
        return -dx


class WrongNorm(L.BatchNorm):
    def backward(self, dy: Array, cache: Any) -> Array:
        dx = super().backward(dy, cache)
        assert dx is not None
        return -dx


@pytest.mark.parametrize(
    ("stack", "suspects"),
    [
        ([L.Dense, WrongTanh, L.Tanh, L.Dense], ("dense_1", "wrongtanh_1", "tanh_1", "dense_2")),
        ([WrongTanh, L.Dense, L.Dense], ("wrongtanh_1", "dense_1")),
        ([L.Dense, L.Dense, WrongTanh], ("dense_2", "wrongtanh_1")),
        ([L.Dense, WrongNorm, L.Dense], ("dense_1", "wrongnorm_1")),
    ],
)
def test_of_a_model_the_layers_that_may_have_the_mistake_are_named(
    stack: list[type[Layer]], suspects: tuple[str, ...]
) -> None:
    layers = [L.Dense(4) if each is L.Dense else each() for each in stack]
    wrong = [c for c in check_model(layers, (4,), SoftmaxCrossEntropy(), backend="numpy") if not c.passed]
    assert wrong
    assert {check.suspects for check in wrong} == {suspects}


def test_a_right_gradient_has_nothing_to_say() -> None:
    checks = check_layer(Affine(4, right_W, right_b), (5,), backend="numpy")
    assert [check.explanation for check in checks] == [[], [], []]


# --- guesses from two arrays --------------------------------------------------------------------------------
def test_axes_of_equal_length_that_are_exchanged() -> None:
    right = normal(Key(0, Stream.CHECK), (3, 3, 2))
    assert likely_slip(right.swapaxes(0, 1), right) == "transposed: axes 0 and 1 are exchanged"
    assert likely_slip(right[::-1, ::-1], right) == "flipped along axis 0 and 1"


def test_nothing_is_guessed_where_nothing_is_known() -> None:
    right = normal(Key(0, Stream.CHECK), (4, 4))
    assert likely_slip(right + 1.0, right) is None
    assert likely_slip(right, np.full((4, 4), np.nan)) is None
    assert likely_slip(right, np.zeros((4, 4))) is None
