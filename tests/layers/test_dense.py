"""Dense: values worked out by hand."""

from __future__ import annotations

import numpy as np
from one_layer import KEY, built, forward

from tinynet import layers as L


def test_dense(backend: str) -> None:
    layer = built(L.Dense(2), (3,), backend, W=[[1, 2], [3, 4], [5, 6]], b=[0.5, -0.5])
    y = forward(layer, np.array([[1.0, 0, -1], [2, 1, 0]]))
    np.testing.assert_allclose(y, [[1 - 5 + 0.5, 2 - 6 - 0.5], [2 + 3 + 0.5, 4 + 4 - 0.5]])


def test_dense_acts_on_the_last_axis_and_its_gradients_sum_over_the_others(backend: str) -> None:
    layer = built(L.Dense(2), (2, 3), backend, W=[[1, 2], [3, 4], [5, 6]], b=[0.5, -0.5])
    x = np.array([[[1.0, 0, -1], [2, 1, 0]]])
    assert layer.output_shape == (2, 2)
    y, cache = layer.forward(layer.ops.asarray(x), train=True, key=KEY)
    np.testing.assert_allclose(layer.ops.to_host(y), [[[-3.5, -4.5], [5.5, 7.5]]])
    dx = layer.backward(layer.ops.asarray(np.array([[[1.0, 0], [0, 10]]])), cache)
    np.testing.assert_allclose(layer.ops.to_host(layer.grads.W), [[1, 20], [0, 10], [-1, 0]])
    np.testing.assert_allclose(layer.ops.to_host(layer.grads.b), [1, 10])
    assert dx is not None
    np.testing.assert_allclose(layer.ops.to_host(dx), [[[1, 3, 5], [20, 40, 60]]])
