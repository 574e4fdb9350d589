"""Grad-CAM: what it weighs, which layer it looks at, and where its places lie."""

from __future__ import annotations

import numpy as np
import pytest
from explained import SIZE, convolutional, digit, linear
from hypothesis import given, settings
from hypothesis import strategies as st

from tinynet import layers as L
from tinynet.analysis import grad_cam, gradients
from tinynet.errors import ConfigError
from tinynet.layers.base import Layer
from tinynet.model import Sequential


def test_grad_cam_of_average_pooling_is_the_class_activation_map(backend: str) -> None:
    """There zₖ = Σ_f W[f, k] · mean A_f, so that α_f = W[f, k] / hw (Selvaraju et al., section 3.1)."""
    layers = [L.Rescale(), L.Conv2D(4, 3), L.ReLU(), L.GlobalAveragePool(), L.Dense(3)]
    model = Sequential(layers, SIZE, backend=backend, dtype="float64", seed=1)
    A = gradients.logits(model, digit()[None], keep=(2,))[1][2][0]
    W = model.backend.to_host(model.layers[4].params.W)
    assert grad_cam.cam_position(model) == 2
    cams = [grad_cam.grad_cam(model, digit(), k, 2) for k in range(3)]
    for k, cam in enumerate(cams):
        np.testing.assert_allclose(cam, np.maximum(A @ W[:, k] / (6 * 5), 0), atol=1e-14)
    assert np.max(cams) > 0


def test_grad_cam_weighs_a_channel_by_its_mean_gradient(backend: str) -> None:
    """Behind Flatten and Dense ∂zₖ/∂A[i, j, f] is a weight, and differs from place to place."""
    layers = [L.Conv2D(4, 3), L.ReLU(), L.Flatten(), L.Dense(3)]
    model = Sequential(layers, SIZE, backend=backend, dtype="float64", seed=1)
    A = gradients.logits(model, digit()[None], keep=(1,))[1][1][0]
    W = model.backend.to_host(model.layers[3].params.W).reshape(6, 5, 4, 3)
    for k in range(3):
        expected = np.maximum(A @ W[..., k].mean(axis=(0, 1)), 0)
        np.testing.assert_allclose(grad_cam.grad_cam(model, digit(), k, 1), expected, atol=1e-12)


def test_where_grad_cam_looks(backend: str) -> None:
    model = convolutional(backend)
    assert grad_cam.cam_position(model) == grad_cam.cam_position(model, "relu_2") == 7
    assert grad_cam.cam_position(model, "conv2d_1") == grad_cam.cam_position(model, "batchnorm_1") == 3
    for name, received in (("dense_1", "a layer without"), ("nosuch", "no layer of this model")):
        with pytest.raises(ConfigError, match=f"(?s)expected: .*conv2d_2.*received: {received}"):
            grad_cam.cam_position(model, name)
    assert grad_cam.cam_position(linear(backend)[0]) is None


WINDOWS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.booleans()), min_size=1, max_size=3)


@given(WINDOWS)
@settings(max_examples=40, deadline=None)
def test_a_place_lies_in_the_middle_of_the_pixels_it_sees(windows: list[tuple[int, int, bool]]) -> None:
    """Which pixels those are the gradient tells: of weights above 0 it is 0 nowhere else."""
    layers: list[Layer] = [
        L.Conv2D(1, size, stride=stride, init="ones") if convolves else L.AvgPool2D(size, stride=stride)
        for size, stride, convolves in windows
    ]
    model = Sequential(layers, (41, 41, 1), backend="numpy", dtype="float64")
    height, width, _ = model.output_shape
    left, right, bottom, top = grad_cam.place(model, len(layers) - 1)
    row, column = height // 2, width - 1
    dy = np.zeros((1, height, width, 1))
    dy[0, row, column] = 1
    _, tape = model.forward(np.zeros((1, 41, 41, 1)))
    dx = model.backward(dy, tape, input_gradient=True)
    assert dx is not None
    seen = np.argwhere(dx[0, ..., 0])
    middle = (seen.min(axis=0) + seen.max(axis=0)) / 2
    assert top + (row + 0.5) / height * (bottom - top) == pytest.approx(middle[0])
    assert left + (column + 0.5) / width * (right - left) == pytest.approx(middle[1])


def test_same_padding_keeps_the_place_and_an_unknown_layout_covers_the_image() -> None:
    whole = (-0.5, 6.5, 7.5, -0.5)
    model = Sequential([L.Conv2D(2, 3, padding="same"), L.MaxPool2D((2, 1))], SIZE, backend="numpy")
    assert grad_cam.place(model, 0) == grad_cam.place(model, 1) == whole
    model = Sequential([L.Conv2D(2, 3), L.Reshape((5, 6, 2))], SIZE, backend="numpy")
    assert grad_cam.place(model, 0) == (0.5, 5.5, 6.5, 0.5)
    assert grad_cam.place(model, 1) == whole
