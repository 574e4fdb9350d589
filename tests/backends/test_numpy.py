"""The reference is exact: what it sums, and what is finite, it says to the last digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinynet import backends
from tinynet import layers as L
from tinynet.geometry import Window
from tinynet.layers.base import Layer
from tinynet.losses import MeanSquaredError
from tinynet.model import Sequential
from tinynet.rng import Key, Stream, normal
from tinynet.types import Array

KEY = Key(0, Stream.DROPOUT)
TENTH = np.float32(0.1)
IMAGE = (224, 224, 2)


def _output(layer: Layer, x: Array, backend: str, train: bool = False) -> Array:
    Sequential([layer], x.shape[1:], backend=backend)
    y, _ = layer.forward(layer.ops.asarray(x), train=train, key=KEY)
    return np.array(layer.ops.to_host(y))


# --- sums over many rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [L.GlobalAveragePool, lambda: L.AvgPool2D(224), lambda: L.AvgPool2D(3)])
def test_the_mean_of_a_constant_is_the_constant(make: Any, backend: str) -> None:
    y = _output(make(), np.full((2, *IMAGE), TENTH), backend)
    np.testing.assert_array_equal(y, TENTH)


def test_batchnorm_of_a_constant_channel_is_beta(backend: str) -> None:
    layer = L.BatchNorm(momentum=0.0)
    y = _output(layer, np.full((2, *IMAGE), TENTH), backend, train=True)
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_array_equal(layer.ops.to_host(layer.state.mean), TENTH)
    np.testing.assert_array_equal(layer.ops.to_host(layer.state.variance), 0)


def test_the_statistics_of_batchnorm_are_exact_far_from_zero(backend: str) -> None:
    x = (1000 + normal(Key(1, 0), (50_000, 3))).astype(np.float32)
    layer = L.BatchNorm(momentum=0.0)
    y = _output(layer, x, backend, train=True)
    exact = x.astype(float)
    np.testing.assert_allclose(layer.ops.to_host(layer.state.mean), exact.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(layer.ops.to_host(layer.state.variance), exact.var(axis=0, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(y, (exact - exact.mean(axis=0)) / exact.std(axis=0), atol=1e-4)


def test_the_sums_in_gradients_are_exact(backend: str) -> None:
    """Of biases, of β and γ, and of a frozen layer's: 200,704 values a channel, all near 0.1."""
    ops, F = backends.get(backend), 3
    dy = (0.1 + 0.01 * normal(Key(2, 0), (4, 224, 224, F))).astype(np.float32)
    x = normal(Key(3, 0), (4, 224, 224, 1)).astype(np.float32)
    there, rows = ops.asarray(dy), ops.asarray(dy.reshape(-1, F))
    expected = dy.astype(float).reshape(-1, F).sum(axis=0)

    W, b = ops.asarray(np.ones((1, 1, 1, F), np.float32)), ops.asarray(np.zeros(F, np.float32))
    db, dW = ops.asarray(np.zeros(F, np.float32)), ops.asarray(np.zeros(W.shape, np.float32))
    window = Window((1, 1))
    saved = ops.conv2d(ops.asarray(x), W, b, window)[1]
    ops.conv2d_backward(there, saved, W, dW, db, window, False)
    np.testing.assert_allclose(ops.to_host(db), expected, rtol=1e-7)

    columns = ops.asarray(x.reshape(-1, 1))
    ops.dense_backward(rows, columns, W[0, 0], dW[0, 0], db, False)
    np.testing.assert_allclose(ops.to_host(db), expected, rtol=1e-7)

    for freeze in ((), "batchnorm_1"):
        layer = L.BatchNorm()
        model = Sequential([L.Dense(F), layer], (F,), backend=ops, freeze=freeze)
        _, tape = model.forward(rows, train=True)
        model.backward(rows, tape, input_gradient=True)
        np.testing.assert_allclose(ops.to_host(layer.grads.beta), expected, rtol=1e-7)


def test_the_loss_of_large_errors_is_finite(backend: str) -> None:
    model = Sequential([L.Dense(1)], (1,), backend=backend)
    loss = MeanSquaredError()
    loss.start(model)
    outputs, targets = (model.backend.asarray(np.full((2, 1), z, np.float32)) for z in (1e20, 0.0))
    assert float(loss.forward(outputs, targets)[0]) == pytest.approx(1e40)
