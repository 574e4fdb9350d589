"""The activations: values worked out by hand, and no overflow."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from one_layer import KEY, built, forward

from tinynet import layers as L
from tinynet.errors import ConfigError
from tinynet.layers.base import Layer


@pytest.mark.parametrize(
    ("layer", "x", "expected"),
    [
        (L.ReLU, [-2, 0, 3], [0, 0, 3]),
        (lambda: L.LeakyReLU(0.1), [-2, 0, 3], [-0.2, 0, 3]),
        (lambda: L.ELU(0.5), [-math.log(2), 0, 3], [-0.25, 0, 3]),
        (L.GELU, [-20, 0, 20], [0, 0, 20]),
        (L.GELU, [-1, 1, 2], [z * (1 + math.erf(z / math.sqrt(2))) / 2 for z in (-1, 1, 2)]),
        (lambda: L.GELU("tanh"), [-1, 1, 2], [-0.15880800939, 0.84119199061, 1.95459769409]),  # its authors'
        (L.Sigmoid, [0, math.log(3), -math.log(3)], [0.5, 0.75, 0.25]),
        (L.Sigmoid, [-1000, 1000], [0, 1]),
        (L.Tanh, [0, math.log(2), -math.log(3)], [0, 0.6, -0.8]),
        (L.Softmax, [0, math.log(2), math.log(5)], [1 / 8, 2 / 8, 5 / 8]),
        (L.Softmax, [1000, 1000, -1000], [0.5, 0.5, 0]),
    ],
)
def test_activations(layer: Callable[[], Layer], x: list[float], expected: list[float], backend: str) -> None:
    y = forward(built(layer(), (len(x),), backend), np.array([x], float))
    np.testing.assert_allclose(y, [expected], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("x", [-1e4, -90.0, 90.0, 1e4])
@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "ELU", "GELU", "Sigmoid", "Tanh", "Softmax"])
def test_activations_do_not_overflow_in_float32(name: str, x: float, backend: str) -> None:
    layer = built(L.LAYERS[name](), (2,), backend, "float32")
    y, cache = layer.forward(layer.ops.asarray(np.array([[x, 0]], np.float32)), train=True, key=KEY)
    assert np.isfinite(layer.ops.to_host(y)).all()
    dx = layer.backward(layer.ops.xp.ones_like(y), cache)
    assert dx is not None
    assert np.isfinite(layer.ops.to_host(dx)).all()


def test_softmax_works_along_the_last_axis_of_any_shape(backend: str) -> None:
    y = forward(built(L.Softmax(), (2, 3), backend), np.log([[[1.0, 2, 5], [3.0, 3, 2]]]))
    np.testing.assert_allclose(y, [[[1 / 8, 2 / 8, 5 / 8], [3 / 8, 3 / 8, 2 / 8]]])


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-15), ("float32", 2e-6)])
def test_the_exact_gelu_is_that_of_the_error_function(dtype: str, tolerance: float, backend: str) -> None:
    x = np.linspace(-12, 12, 4801).astype(dtype)
    below = [math.erfc(-z / math.sqrt(2)) / 2 for z in x.tolist()]
    density = np.exp(-0.5 * x.astype(float) ** 2) / math.sqrt(2 * math.pi)
    layer = built(L.GELU(), x.shape, backend, dtype)
    y, cache = layer.forward(layer.ops.asarray(x[None]), train=True, key=KEY)
    dx = layer.backward(layer.ops.xp.ones_like(y), cache)
    assert dx is not None
    np.testing.assert_allclose(layer.ops.to_host(y)[0], x * below, rtol=0, atol=12 * tolerance)
    np.testing.assert_allclose(layer.ops.to_host(dx)[0], below + x * density, rtol=0, atol=3 * tolerance)


def test_the_tanh_form_of_gelu_is_close_to_the_exact_one(backend: str) -> None:
    x = np.linspace(-6, 6, 2401)
    exact, tanh = (forward(built(layer, x.shape, backend), x[None]) for layer in (L.GELU(), L.GELU("tanh")))
    assert 0.0004 < np.abs(exact - tanh).max() < 0.0005


def test_an_unknown_approximation_of_gelu_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r'this value for approximate\n  expected: "none" or "tanh"\n.*approximate=\'erf\''
    ):
        L.GELU("erf")
