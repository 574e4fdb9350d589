"""Pooling: values worked out by hand, and which pixel gets the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from one_layer import KEY, NINE, SIXTEEN, built, forward, image

from tinynet import layers as L
from tinynet.layers.base import Layer
from tinynet.types import Array


@pytest.mark.parametrize(
    ("layer", "x", "expected"),
    [
        (L.MaxPool2D, SIXTEEN, [[6, 8], [14, 16]]),
        (lambda: L.MaxPool2D(3, 1), SIXTEEN, [[11, 12], [15, 16]]),
        (L.MaxPool2D, NINE, [[5]]),
        (lambda: L.MaxPool2D(padding="same"), -NINE, [[-1, -3], [-7, -9]]),  # padding never wins
        (lambda: L.MaxPool2D((1, 2)), -SIXTEEN, [[-1, -3], [-5, -7], [-9, -11], [-13, -15]]),
        (L.AvgPool2D, SIXTEEN, [[3.5, 5.5], [11.5, 13.5]]),
        (lambda: L.AvgPool2D(3, 1), SIXTEEN, [[6, 7], [10, 11]]),
        (lambda: L.AvgPool2D(padding="same"), NINE, [[3, 4.5], [7.5, 9]]),  # nor counts in a mean
        (lambda: L.AvgPool2D(3, 1, 1), NINE, [[3, 3.5, 4], [4.5, 5, 5.5], [6, 6.5, 7]]),
    ],
)
def test_pooling(layer: Callable[[], Layer], x: Array, expected: list[Any], backend: str) -> None:
    np.testing.assert_allclose(forward(built(layer(), x.shape[1:], backend), x), image(expected))


def test_of_equal_pixels_the_first_wins_the_gradient(backend: str) -> None:
    layer = built(L.MaxPool2D(), (2, 4, 1), backend)
    x = layer.ops.asarray(image([[1, 3, 5, 5], [3, 3, 5, 5]]))
    _, cache = layer.forward(x, train=True, key=KEY)
    dx = layer.backward(layer.ops.asarray(image([[10, 20]])), cache)
    assert dx is not None
    np.testing.assert_array_equal(layer.ops.to_host(dx), image([[0, 10, 20, 0], [0, 0, 0, 0]]))


def test_a_pixel_in_several_windows_gets_the_sum(backend: str) -> None:
    layer = built(L.MaxPool2D(2, 1), (3, 3, 1), backend)
    x = layer.ops.asarray(image([[0, 0, 0], [0, 1, 0], [0, 0, 0]]))
    _, cache = layer.forward(x, train=True, key=KEY)
    dx = layer.backward(layer.ops.asarray(image([[1, 2], [3, 4]])), cache)
    assert dx is not None
    np.testing.assert_array_equal(layer.ops.to_host(dx), image([[0, 0, 0], [0, 10, 0], [0, 0, 0]]))


def test_global_average_pool(backend: str) -> None:
    x = np.array([[[[1.0, 10], [2, 20]], [[3, 30], [4, 40]]]])
    np.testing.assert_allclose(forward(built(L.GlobalAveragePool(), (2, 2, 2), backend), x), [[2.5, 25]])
