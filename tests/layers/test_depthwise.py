"""DepthwiseConv2D: values worked out by hand, and what it is made of."""

from __future__ import annotations

import numpy as np
from one_layer import NINE, built, forward, image

from tinynet import layers as L
from tinynet.rng import Key, normal

KERNEL = np.array([[1, 2], [3, 4]])[:, :, None, None]


def test_one_channel_is_convolved_as_by_any_convolution(backend: str) -> None:
    y = forward(built(L.DepthwiseConv2D(2), (3, 3, 1), backend, W=KERNEL, b=[10]), NINE)
    np.testing.assert_allclose(y, image([[47, 57], [77, 87]]))


def test_channels_are_not_mixed_and_each_has_its_own_kernels(backend: str) -> None:
    W = np.array([2, 3, 10, 100])[None, None, None]
    layer = built(L.DepthwiseConv2D(1, multiplier=2), (1, 2, 2), backend, W=W, b=[0, 1, 0, 0])
    y = forward(layer, np.array([[[[1.0, 2], [3, 5]]]]))
    np.testing.assert_allclose(y, [[[[2, 4, 20, 200], [6, 10, 50, 500]]]])


def test_it_is_a_convolution_whose_kernel_is_0_between_channels(backend: str) -> None:
    C, M = 3, 2
    W = normal(Key(1, 0), (3, 2, 1, C * M))
    full = W * (np.arange(C)[:, None] == np.arange(C * M) // M)
    settings = ((3, 2), (2, 1), ((0, 1), (1, 1)))
    x = normal(Key(2, 0), (4, 6, 5, C))
    own = forward(built(L.DepthwiseConv2D(*settings, M), x.shape[1:], backend, W=W), x)
    same = forward(built(L.Conv2D(C * M, *settings), x.shape[1:], backend, W=full), x)
    np.testing.assert_allclose(own, same, atol=1e-12)


def test_its_initial_weights_go_by_the_values_that_an_output_sees() -> None:
    layer = built(L.DepthwiseConv2D(5, multiplier=4), (8, 8, 64), "numpy")
    assert abs(float(layer.params.W.std()) / (2 / 25) ** 0.5 - 1) < 0.05
