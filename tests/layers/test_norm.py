"""BatchNorm: statistics worked out by hand, in training and in evaluation."""

from __future__ import annotations

import math

import numpy as np
from one_layer import NINE, built, forward

from tinynet import layers as L


def test_batchnorm_uses_the_biased_variance_of_the_batch(backend: str) -> None:
    layer = built(L.BatchNorm(epsilon=0.25), (1,), backend, gamma=2, beta=1)
    y = forward(layer, np.array([[1.0], [3.0]]), train=True)
    s = math.sqrt(1 + 0.25)  # mean 2, biased variance 1
    np.testing.assert_allclose(y, [[1 - 2 / s], [1 + 2 / s]])


def test_batchnorm_averages_the_mean_and_the_unbiased_variance(backend: str) -> None:
    layer = built(L.BatchNorm(momentum=0.9), (1,), backend)
    forward(layer, np.array([[1.0], [3.0]]), train=True)  # mean 2, unbiased variance 2
    np.testing.assert_allclose(layer.ops.to_host(layer.state.mean), [0.2])
    np.testing.assert_allclose(layer.ops.to_host(layer.state.variance), [0.9 + 0.2])
    forward(layer, np.array([[4.0], [4.0]]), train=True)  # mean 4, variance 0
    np.testing.assert_allclose(layer.ops.to_host(layer.state.mean), [0.18 + 0.4])
    np.testing.assert_allclose(layer.ops.to_host(layer.state.variance), [0.99])


def test_batchnorm_on_images_counts_every_pixel_of_a_channel(backend: str) -> None:
    layer = built(L.BatchNorm(momentum=0.0), (2, 2, 2), backend)
    x = np.stack([NINE[0, :2, :2, 0], 10 * NINE[0, :2, :2, 0]], axis=-1)[None]  # 1 2 4 5 and 10 20 40 50
    y = forward(layer, x, train=True)
    np.testing.assert_allclose(layer.ops.to_host(layer.state.mean), [3, 30])
    np.testing.assert_allclose(layer.ops.to_host(layer.state.variance), [10 / 3, 1000 / 3])
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=(0, 1, 2)), 1, rtol=1e-5)


def test_batchnorm_evaluates_with_the_running_statistics_and_keeps_them(backend: str) -> None:
    layer = built(L.BatchNorm(epsilon=1e-5), (1,), backend, gamma=3, beta=1, mean=2, variance=4)
    y = forward(layer, np.array([[4.0], [2.0], [0.0]]))
    np.testing.assert_allclose(y, [[4], [1], [-2]], rtol=1e-5)
    assert layer.state.mean[0] == 2
    assert layer.state.variance[0] == 4


def test_batchnorm_of_one_value_is_finite(backend: str) -> None:
    layer = built(L.BatchNorm(), (2,), backend, beta=5)
    np.testing.assert_allclose(forward(layer, np.array([[3.0, -1.0]]), train=True), [[5, 5]])
    assert np.isfinite(layer.ops.to_host(layer.state.variance)).all()


def test_batchnorm_survives_a_large_mean_in_float32(backend: str) -> None:
    """E[x²] - E[x]² would lose everything here: the variance is computed from centred values."""
    x = (4096 + np.array([[-1], [1], [-1], [1]])).astype(np.float32)
    y = forward(built(L.BatchNorm(), (1,), backend, "float32"), x, train=True)
    np.testing.assert_allclose(y.ravel(), [-1, 1, -1, 1], rtol=1e-3)
