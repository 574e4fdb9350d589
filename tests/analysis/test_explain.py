"""Explanations: gradients against central differences, maps by hand, the same on every backend."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tinynet import checkpoint
from tinynet import layers as L
from tinynet.analysis import blocks, explain, grad_cam, gradients
from tinynet.errors import ConfigError, ShapeError
from tinynet.gradcheck.check import TOLERANCE, gradient_error, tie_free
from tinynet.layers.base import Layer
from tinynet.losses import CrossEntropy, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.rng import Key, Stream, normal, uniform
from tinynet.types import Array

SIZE = (8, 7, 1)
CLASSES = list("abc")


def _cnn(backend: str, *, end: Layer | None = None, dtype: str = "float64") -> Sequential:
    """A small net with everything in it, its statistics and weights off their starting values."""
    layers: list[Layer] = [
        L.Rescale(),
        L.Conv2D(4, 3, init="he_normal"),
        L.BatchNorm(),
        L.ReLU(),
        L.AvgPool2D(),  # behind a ReLU max pooling has kinks: windows of zeros
        L.Conv2D(5, 3, padding="same", init="he_normal"),
        L.ReLU(),
        L.Dropout(0.5),
        L.Flatten(),
        L.Dense(6),
        L.ELU(),
        L.Dense(3),
        *([end] if end else []),
    ]
    model = Sequential(layers, SIZE, backend=backend, dtype=dtype, seed=2)
    for i, flat in enumerate((model.store.values.flat, model.store.state.flat)):
        noise = model.backend.asarray(0.2 * np.tanh(normal(Key(0, Stream.CHECK, layer=i), flat.shape)))
        flat[...] = flat + noise.astype(dtype)
    return model


def _image(dtype: Any = np.uint8) -> Array:
    return (uniform(Key(1, Stream.CHECK), SIZE) * 256).astype(np.uint8).astype(dtype)


def _from(model: Sequential, position: int, values: Array, end: int) -> Array:
    """What the layers after `position` make of its output, evaluation mode, without a tape."""
    for i in range(position + 1, end):
        values, _ = model.layers[i].forward(values, train=False, key=Key(0, Stream.DROPOUT))
    return values


@pytest.mark.parametrize("end", [None, L.Softmax, L.Sigmoid])
def test_gradients_agree_with_central_differences(backend: str, end: type[Layer] | None) -> None:
    """At the input and at the output of every block, of a sum of logits before softmax or sigmoid."""
    model = _cnn(backend, end=end() if end else None)
    ops, weights, last = model.backend, np.array([1.0, -0.5, 2.0]), 12
    ends = [block.stop - 1 for block in blocks.blocks(model)][:-1]
    x = tie_free((2, *SIZE), 3) * 255
    found = gradients.probe(model, x, weights, keep=ends)
    tensors = {-1: (x, found.input_gradient)}
    tensors |= {end: (found.outputs[end], found.gradients[end]) for end in ends}
    for position, (tensor, gradient) in tensors.items():
        values = ops.asarray(tensor.copy())

        def f(position: int = position, values: Array = values) -> float:
            return float((_from(model, position, values, last) * ops.asarray(weights)).sum())

        assert np.abs(gradient).max() > 1e-3
        assert gradient_error(f, values, gradient, ops, seed=0) < TOLERANCE


def test_logits_are_what_the_model_predicts(backend: str) -> None:
    model = _cnn(backend)
    images = np.stack([_image(), 255 - _image()])
    np.testing.assert_allclose(gradients.logits(model, images)[0], model.predict(images), rtol=1e-12)
    squashed = _cnn(backend, end=L.Softmax())
    np.testing.assert_allclose(gradients.logits(squashed, images)[0], model.predict(images), rtol=1e-12)


def test_every_backend_explains_alike() -> None:
    first, second = (
        explain.explain(_cnn(name), _loss(_cnn(name)), _image(), samples=4) for name in ("numpy", "numba")
    )
    for name in ("logits", "probabilities", "saliency", "smooth", "margin", "cam"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-9, atol=1e-12)
    assert [name for name, _ in first.activations] == [name for name, _ in second.activations]
    for (_, ours), (_, theirs) in zip(first.activations, second.activations, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert first.filters is not None
    assert second.filters is not None
    np.testing.assert_array_equal(first.filters[1], second.filters[1])


def _loss(model: Sequential) -> SoftmaxCrossEntropy:
    loss = SoftmaxCrossEntropy()
    loss.start(model)
    return loss


def _linear(backend: str) -> tuple[Sequential, Array]:
    """A linear net and its weights as images (3, 8, 7), per grey level."""
    model = Sequential([L.Rescale(), L.Flatten(), L.Dense(3)], SIZE, backend=backend, dtype="float64")
    W = model.backend.to_host(model.layers[2].params.W)
    return model, W.T.reshape(3, 8, 7) / 255


def test_maps_of_a_linear_net_are_its_weights(backend: str) -> None:
    model, weights = _linear(backend)
    np.testing.assert_allclose(gradients.saliency(model, _image(), 1), np.abs(weights[1]))
    np.testing.assert_allclose(gradients.smooth_grad(model, _image(), 1, samples=3), np.abs(weights[1]))
    np.testing.assert_allclose(gradients.margin_gradient(model, _image(), 0, 2), weights[0] - weights[2])
    name, filters = explain.first_filters(model) or ("", np.zeros(0))
    assert name == "dense_1"
    np.testing.assert_allclose(filters / 255, weights)


def test_smooth_grad_is_the_mean_over_noise_from_the_seed(backend: str) -> None:
    model, image = _cnn(backend), _image()
    np.testing.assert_allclose(
        gradients.smooth_grad(model, image, 0, noise=0, samples=2), gradients.saliency(model, image, 0)
    )
    found = gradients.smooth_grad(model, image, 0, seed=5, samples=2, noise=0.3)
    sigma = 0.3 * (float(image.max()) - float(image.min()))
    noisy = [image + sigma * normal(Key(5, Stream.EXPLAIN, step=i), SIZE) for i in range(2)]
    weights = np.array([1.0, 0, 0])
    mean = gradients.probe(model, np.stack(noisy), weights).input_gradient.mean(axis=0)
    np.testing.assert_allclose(found, np.abs(mean)[..., 0], rtol=1e-9)
    again, other = (gradients.smooth_grad(model, image, 0, seed=s, samples=2, noise=0.3) for s in (5, 6))
    np.testing.assert_array_equal(found, again)
    assert not np.allclose(found, other)


def test_grad_cam_of_average_pooling_is_the_class_activation_map(backend: str) -> None:
    """There zₖ = Σ_f W[f, k] · mean A_f, so that α_f = W[f, k] / hw (Selvaraju et al., section 3.1)."""
    layers = [L.Rescale(), L.Conv2D(4, 3), L.ReLU(), L.GlobalAveragePool(), L.Dense(3)]
    model = Sequential(layers, SIZE, backend=backend, dtype="float64", seed=1)
    A = gradients.logits(model, _image()[None], keep=(2,))[1][2][0]
    W = model.backend.to_host(model.layers[4].params.W)
    assert grad_cam.cam_position(model) == 2
    cams = [grad_cam.grad_cam(model, _image(), k, 2) for k in range(3)]
    for k, cam in enumerate(cams):
        np.testing.assert_allclose(cam, np.maximum(A @ W[:, k] / (6 * 5), 0), atol=1e-14)
    assert np.max(cams) > 0


def test_grad_cam_weighs_a_channel_by_its_mean_gradient(backend: str) -> None:
    """Behind Flatten and Dense ∂zₖ/∂A[i, j, f] is a weight, and differs from place to place."""
    layers = [L.Conv2D(4, 3), L.ReLU(), L.Flatten(), L.Dense(3)]
    model = Sequential(layers, SIZE, backend=backend, dtype="float64", seed=1)
    A = gradients.logits(model, _image()[None], keep=(1,))[1][1][0]
    W = model.backend.to_host(model.layers[3].params.W).reshape(6, 5, 4, 3)
    for k in range(3):
        expected = np.maximum(A @ W[..., k].mean(axis=(0, 1)), 0)
        np.testing.assert_allclose(grad_cam.grad_cam(model, _image(), k, 1), expected, atol=1e-12)


def test_where_grad_cam_looks(backend: str) -> None:
    model = _cnn(backend)
    assert grad_cam.cam_position(model) == grad_cam.cam_position(model, "relu_2") == 7
    assert grad_cam.cam_position(model, "conv2d_1") == grad_cam.cam_position(model, "batchnorm_1") == 3
    for name, received in (("dense_1", "a layer without"), ("nosuch", "no layer of this model")):
        with pytest.raises(ConfigError, match=f"(?s)expected: .*conv2d_2.*received: {received}"):
            grad_cam.cam_position(model, name)
    assert grad_cam.cam_position(_linear(backend)[0]) is None


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


def test_filters_that_see_no_pixels_are_left_out() -> None:
    model = Sequential([L.MaxPool2D(), L.Flatten(), L.Dense(3)], SIZE, backend="numpy")
    assert explain.first_filters(model) is None
    found = explain.explain(model, _loss(model), _image())
    assert "There are no filters to draw" in explain.conclusions(found, CLASSES)[3]


def test_explaining_leaves_the_weights_alone(backend: str) -> None:
    model = _cnn(backend)
    before = checkpoint.weights_sha256(model)
    explain.explain(model, _loss(model), _image(), samples=2)
    assert checkpoint.weights_sha256(model) == before


def test_the_two_best_and_their_lead(backend: str) -> None:
    model = _cnn(backend, end=L.Sigmoid())
    loss = CrossEntropy()
    loss.start(model)
    found = explain.explain(model, loss, _image(), samples=1)
    assert np.argsort(found.logits)[::-1][:2].tolist() == [found.first, found.second]
    scores = 1 / (1 + np.exp(-found.logits))
    np.testing.assert_allclose(found.probabilities, scores / scores.sum())
    said = explain.conclusions(found, CLASSES)
    lead = found.logits[found.first] - found.logits[found.second]
    assert f"the logit of {CLASSES[found.first]} leads by {lead:.2f}" in said[0]
    strongest = np.unravel_index(np.abs(found.margin).argmax(), found.margin.shape)
    assert f"row {strongest[0] + 1}, column {strongest[1] + 1}:" in said[1]
    assert f"{found.margin[strongest]:+.4f}" in said[1]


def test_the_folder_has_the_page_the_figures_and_the_pictures_it_links(tmp_path: Path, backend: str) -> None:
    for model, pictures in ((_cnn(backend), 5), (_linear(backend)[0], 4)):
        folder = tmp_path / str(pictures)
        found = explain.explain(model, _loss(model), _image(), samples=2)
        about = {"model": "a-run", "image": "my.png", "fitted": "inverted"}
        written = explain.write_explanation(folder, found, CLASSES, about)
        text = (folder / "explanation.md").read_text(encoding="utf-8")
        assert json.loads((folder / "explanation.json").read_text(), parse_constant=pytest.fail) == written
        linked = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
        assert len(linked) == pictures
        assert sorted(os.listdir(folder)) == sorted([*linked, "explanation.json", "explanation.md"])
        for name in linked:
            with Image.open(folder / name) as image:
                image.verify()
        assert written["first"] == CLASSES[int(found.logits.argmax())]
        assert "The picture was inverted." in text
        assert ("There is no Grad-CAM: this net has no convolution" in text) == (pictures == 4)


def test_a_blank_image_can_be_explained(tmp_path: Path) -> None:
    model = _cnn("numpy")
    found = explain.explain(model, _loss(model), np.zeros(SIZE, np.uint8), samples=1)
    explain.write_explanation(tmp_path, found, CLASSES, {"model": "m", "image": "i", "fitted": None})
    assert (tmp_path / "saliency.png").exists()


def test_refuses_what_cannot_be_explained() -> None:
    flat = Sequential([L.Dense(3)], (4,), backend="numpy")
    with pytest.raises(ShapeError, match=r"(?s)expected: .*\(H, W, C\).*received: inputs \(4,\)"):
        explain.explain(flat, _loss(flat), np.zeros(4))
    model = _cnn("numpy")
    with pytest.raises(ShapeError, match=r"expected: \(8, 7, 1\)"):
        explain.explain(model, _loss(model), np.zeros((7, 8, 1), np.uint8))
    for wrong in ({"samples": 0}, {"noise": -0.1}, {"noise": float("nan")}):
        with pytest.raises(ConfigError, match="SmoothGrad"):
            explain.explain(model, _loss(model), _image(), **wrong)
