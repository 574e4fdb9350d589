"""The gradient checks pass on everything of ours, and fail on everything that was made wrong on purpose."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from one_layer import parameters

from tinynet import backends
from tinynet import layers as L
from tinynet.errors import ConfigError
from tinynet.gradcheck.cases import LAYER_CASES, LOSS_CASES
from tinynet.gradcheck.check import Check, check_layer, check_loss, check_model, gradient_error, tie_free
from tinynet.layers.base import Layer
from tinynet.losses import MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.rng import Key
from tinynet.types import Array, Shape

CASES = [(name, *case) for name, cases in LAYER_CASES.items() for case in cases]


def verdicts(checks: list[Check]) -> dict[str, bool]:
    return {check.quantity: check.passed for check in checks}


# --- what is wrong fails ------------------------------------------------------------------------------------
def plant(layer: Layer, error: Callable[[Layer, Array], Array]) -> Layer:
    """`layer` whose backward ends in `error`: (layer, dx) to a wrong dx, or it spoils the gradients."""
    right = layer.backward

    def wrong(dy: Array, cache: Any) -> Array:
        dx = right(dy, cache)
        assert dx is not None
        return error(layer, dx)

    layer.backward = wrong  # type: ignore[method-assign]
    return layer


def negative_of(quantity: str) -> Callable[[Layer, Array], Array]:
    def negate(layer: Layer, dx: Array) -> Array:
        if quantity == "x":
            return -dx
        layer.grads[quantity][...] *= -1
        return dx

    return negate


@pytest.mark.parametrize(("name", "detail", "make", "shape", "train"), CASES)
def test_a_sign_error_in_any_one_gradient_fails_that_check_alone(
    name: str, detail: str, make: Callable[[], Layer], shape: Shape, train: bool, backend: str
) -> None:
    quantities = ["x", *parameters(make, shape)]
    for planted in quantities:
        layer = plant(make(), negative_of(planted))
        found = verdicts(check_layer(layer, shape, train=train, backend=backend))
        assert found == {quantity: quantity != planted for quantity in quantities}


@pytest.mark.parametrize("factor", [0.0, 1.001, math.nan, math.inf])
@pytest.mark.parametrize("name", LAYER_CASES)
def test_so_does_a_gradient_that_is_a_little_off_or_not_a_number(
    name: str, factor: float, backend: str
) -> None:
    _, make, shape, train = LAYER_CASES[name][0]

    def scale(layer: Layer, dx: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return dx * factor

    assert not verdicts(check_layer(plant(make(), scale), shape, train=train, backend=backend))["x"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_so_does_one_element_that_is_not_finite_wherever_it_stands(value: float, backend: str) -> None:
    for place in range(5):

        def poison(layer: Layer, dx: Array, place: int = place) -> Array:
            dx = dx.copy()
            dx[0, place] = value
            return dx

        checks = check_layer(plant(L.Tanh(), poison), (5,), backend=backend)
        assert not checks[0].passed, place


def test_one_wrong_element_of_a_large_tensor_is_found(backend: str) -> None:
    def poison(layer: Layer, dx: Array) -> Array:
        layer.grads.W[7, 3] *= -1
        return dx

    found = verdicts(check_layer(plant(L.Dense(24), poison), (40,), backend=backend))
    assert found == {"x": True, "W": False, "b": True}


@dataclass(eq=False)
class KeepsInput(L.BatchNorm):
    """A BatchNorm whose backward can see x, for the mistakes below."""

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Any]:
        y, cache = super().forward(x, train=train, key=key)
        return y, (cache, x.reshape(-1, x.shape[-1]).copy())

    def _scale(self, x: Array) -> Array:
        return self.params.gamma / self.ops.xp.sqrt(x.var(axis=0) + self.epsilon)


class WithoutMeanTerm(KeepsInput):
    def backward(self, dy: Array, cache: Any) -> Array:
        right, x = super().backward(dy, cache[0]), cache[1]
        assert right is not None
        return right + self._scale(x) * dy.reshape(x.shape).mean(axis=0)


class WithoutVarianceTerm(KeepsInput):
    def backward(self, dy: Array, cache: Any) -> Array:
        super().backward(dy, cache[0])
        rows = dy.reshape(cache[1].shape)
        return (self._scale(cache[1]) * (rows - rows.mean(axis=0))).reshape(dy.shape)


class SoftmaxWithoutSum(L.Softmax):
    def backward(self, dy: Array, cache: Array) -> Array:
        return cache * dy


class DropoutUnscaled(L.Dropout):
    def backward(self, dy: Array, cache: Any) -> Array:
        right = super().backward(dy, cache)
        assert right is not None
        return right * (1 - self.rate)


class ConvolutionFlipped(L.Conv2D):
    def backward(self, dy: Array, cache: Any) -> Array | None:
        dx = super().backward(dy, cache)
        self.grads.W[...] = self.grads.W[::-1, ::-1].copy()
        return dx


class DenseMeanOverBatch(L.Dense):
    def backward(self, dy: Array, cache: Any) -> Array | None:
        dx = super().backward(dy, cache)
        self.grads.b[...] /= len(dy)
        return dx


@pytest.mark.parametrize(
    ("make", "shape", "planted"),
    [
        (WithoutMeanTerm, (3, 4, 2), "x"),
        (WithoutVarianceTerm, (3, 4, 2), "x"),
        (WithoutMeanTerm, (5,), "x"),
        (SoftmaxWithoutSum, (6,), "x"),
        (lambda: DropoutUnscaled(0.4), (20,), "x"),
        (lambda: ConvolutionFlipped(2, 3), (5, 5, 1), "W"),
        (lambda: DenseMeanOverBatch(3), (4,), "b"),
    ],
)
def test_a_missing_term_or_a_common_slip_is_found(
    make: Callable[[], Layer], shape: Shape, planted: str, backend: str
) -> None:
    checks = check_layer(make(), shape, backend=backend)
    assert verdicts(checks) == {check.quantity: check.quantity != planted for check in checks}


@pytest.mark.parametrize("factor", [-1.0, 0.5, 1.001, math.nan])
@pytest.mark.parametrize("name", LOSS_CASES)
def test_a_wrong_gradient_of_a_loss_is_found(name: str, factor: float, backend: str) -> None:
    for _, make, data in LOSS_CASES[name]:
        loss = make()
        assert verdicts(check_loss(loss, *data(), backend=backend)) == {"outputs": True}
        right = loss.backward
        loss.backward = lambda cache, right=right: right(cache) * factor  # type: ignore[method-assign, misc]
        assert verdicts(check_loss(loss, *data(), backend=backend)) == {"outputs": False}


def test_a_wrong_layer_deep_in_a_model_spoils_what_lies_before_it(backend: str) -> None:
    wrong = plant(L.Tanh(), negative_of("x"))
    stack = [L.Dense(4), wrong, L.Dense(3)]
    found = verdicts(check_model(stack, (5,), SoftmaxCrossEntropy(), backend=backend))
    assert found == {
        "x": False,
        "dense_1.W": False,
        "dense_1.b": False,
        "dense_2.W": True,
        "dense_2.b": True,
    }


def test_a_forgotten_l2_gradient_is_found(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(verdicts(check_layer(L.Dense(3, l2=0.1), (4,), backend=backend)).values())
    monkeypatch.setattr(Sequential, "regularize", Sequential.penalty)
    found = verdicts(check_layer(L.Dense(3, l2=0.1), (4,), backend=backend))
    assert found == {"x": True, "W": False, "b": True}


# --- a user's own layer -------------------------------------------------------------------------------------
@dataclass(eq=False)
class Parabola(Layer):
    """y = a x²        ∂L/∂a = Σ dy x²        ∂L/∂x = 2 a x dy"""

    factor: float = 2.0

    def build(self, input_shape: Shape) -> Shape:
        self.add_param("a", input_shape, "ones")
        return input_shape

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Array]:
        return self.params.a * x * x, x

    def backward(self, dy: Array, cache: Array) -> Array:
        self.grads.a[...] = (dy * cache * cache).sum(axis=0)
        return self.factor * self.params.a * cache * dy


class FirstBatchKept(L.Dense):
    """The gradient of W is that of the first batch, for ever."""

    first: Any = None

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Any]:
        y, _ = super().forward(x, train=train, key=key)
        self.first = x.copy() if self.first is None else self.first
        return y, self.first


class ReLU6WithoutMask(L.ReLU):
    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Any]:
        y, cache = super().forward(x, train=train, key=key)
        return self.ops.xp.minimum(y, 6.0), cache


@pytest.mark.parametrize(
    "layer", [FirstBatchKept(3), ReLU6WithoutMask()], ids=lambda each: type(each).__name__
)
def test_what_shows_in_another_batch_or_at_large_inputs_only_is_found(layer: Layer) -> None:
    assert not all(check_layer(layer, (4,), backend="numpy"))


class FirstOutputsKept(MeanSquaredError):
    first: Any = None

    def forward(self, outputs: Array, targets: Array, weights: Array | None = None) -> tuple[Any, Any]:
        self.first = (outputs.copy(), targets) if self.first is None else self.first
        return super().forward(outputs, targets)[0], super().forward(*self.first)[1]


class WritesToTargets(MeanSquaredError):
    def forward(self, outputs: Array, targets: Array, weights: Array | None = None) -> tuple[Any, Any]:
        found = super().forward(outputs, targets.copy())
        targets -= outputs
        return found


def test_a_loss_that_keeps_its_first_batch_or_writes_to_its_targets() -> None:
    outputs, targets = np.arange(6.0).reshape(3, 2), np.ones((3, 2))
    [check] = check_loss(FirstOutputsKept(), outputs, targets, backend="numpy")
    assert not check.passed
    with pytest.raises(ConfigError, match="WritesToTargets writes to its targets"):
        check_loss(WritesToTargets(), outputs, targets, backend="numpy")
    np.testing.assert_array_equal(targets, 1.0)


def test_a_users_own_layer_is_checked_alike(backend: str) -> None:
    right = check_layer(Parabola(), (4,), backend=backend)
    assert verdicts(right) == {"x": True, "a": True}
    assert right[0].subject == "Parabola"
    assert verdicts(check_layer(Parabola(factor=1.0), (4,), backend=backend)) == {"x": False, "a": True}


def test_a_verdict_is_one_line_and_a_wrong_one_is_explained_below() -> None:
    right, wrong = check_layer(Parabola(factor=1.0), (4,), backend="numpy", subject="mine")[::-1]
    assert str(right).startswith("mine ")
    assert "∂L/∂a" in str(right)
    assert str(right).endswith("ok")
    assert len(str(right).splitlines()) == 1
    assert (right.worst, right.slip) == (None, None)
    verdict, worst, slip = str(wrong).splitlines()
    assert verdict.endswith("WRONG")
    assert worst.startswith("    worst at [")
    assert slip.startswith("    likely slip: a factor")


# --- kinks and numbers --------------------------------------------------------------------------------------
@pytest.mark.parametrize(("slope", "right"), [(1.0, True), (0.9, False), (0.0, False), (-1.0, False)])
def test_a_smaller_step_passes_a_kink_but_excuses_no_wrong_slope(slope: float, right: bool) -> None:
    """At 3e-6 the first step, 1e-5, straddles the kink of max(x, 0) and measures 0.65."""
    x = np.array([3e-6, 1.0])
    error = gradient_error(
        lambda: float(np.maximum(x, 0).sum()), x, np.array([slope, 1.0]), backends.get("numpy"), seed=0
    )
    assert (error <= 1e-6) == right


def test_the_tensor_is_put_back(backend: str) -> None:
    ops = backends.get(backend)
    for size in (10, 1000):
        x = ops.asarray(tie_free((size,), 0))
        before = np.array(ops.to_host(x))
        error = gradient_error(lambda x=x: float((x * x).sum()), x, 2 * x, ops, seed=0)  # type: ignore[misc]
        assert error <= 1e-6
        np.testing.assert_array_equal(ops.to_host(x), before)


def test_a_function_that_is_not_finite_passes_nothing() -> None:
    x = np.array([1.0, 0.0])

    def f() -> float:
        with np.errstate(invalid="ignore"):
            return float(np.sqrt(x).sum())

    assert math.isnan(gradient_error(f, x, np.array([0.5, 7.0]), backends.get("numpy"), seed=0))
    assert not Check("", "", math.nan).passed


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 5, 5, 3)])
def test_inputs_have_no_ties_and_no_zeros(shape: Shape) -> None:
    x = tie_free(shape, seed=3)
    assert x.shape == shape
    assert len(np.unique(x)) == x.size
    assert np.diff(np.sort(x.ravel())).min() > 1e-4
    assert np.abs(x).min() > 1e-4
    assert np.abs(x).max() < 1
