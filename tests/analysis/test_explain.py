"""Explanations: gradients against central differences, maps by hand, the same on every backend."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from explained import CLASSES, SIZE, convolutional, digit, linear, loss_of, single
from PIL import Image

from tinynet import checkpoint
from tinynet import layers as L
from tinynet.analysis import explain, gradients
from tinynet.errors import ConfigError, ShapeError
from tinynet.losses import BinaryCrossEntropy, CrossEntropy
from tinynet.model import Sequential


def test_every_backend_explains_alike() -> None:
    first, second = (
        explain.explain(convolutional(name), loss_of(convolutional(name)), digit(), samples=4)
        for name in ("numpy", "numba")
    )
    for name in ("logits", "probabilities", "saliency", "smooth", "margin", "cam"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-9, atol=1e-12)
    assert [name for name, _ in first.activations] == [name for name, _ in second.activations]
    for (_, ours), (_, theirs) in zip(first.activations, second.activations, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert first.filters is not None
    assert second.filters is not None
    np.testing.assert_array_equal(first.filters[1], second.filters[1])


def test_maps_of_a_linear_net_are_its_weights(backend: str) -> None:
    model, weights = linear(backend)
    np.testing.assert_allclose(gradients.saliency(model, digit(), 1), np.abs(weights[1]))
    np.testing.assert_allclose(gradients.smooth_grad(model, digit(), 1, samples=3), np.abs(weights[1]))
    np.testing.assert_allclose(gradients.margin_gradient(model, digit(), 0, 2), weights[0] - weights[2])
    name, filters = explain.first_filters(model) or ("", np.zeros(0))
    assert name == "dense_1"
    np.testing.assert_allclose(filters / 255, weights)


def test_filters_that_see_no_pixels_are_left_out() -> None:
    model = Sequential([L.MaxPool2D(), L.Flatten(), L.Dense(3)], SIZE, backend="numpy")
    assert explain.first_filters(model) is None
    found = explain.explain(model, loss_of(model), digit())
    assert "There are no filters to draw" in explain.conclusions(found, CLASSES)[3]


def test_explaining_leaves_the_weights_alone(backend: str) -> None:
    model = convolutional(backend)
    before = checkpoint.weights_sha256(model)
    explain.explain(model, loss_of(model), digit(), samples=2)
    assert checkpoint.weights_sha256(model) == before


def test_the_two_best_and_their_lead(backend: str) -> None:
    model = convolutional(backend, end=L.Sigmoid())
    loss = CrossEntropy()
    loss.start(model)
    found = explain.explain(model, loss, digit(), samples=1)
    assert np.argsort(found.logits)[::-1][:2].tolist() == [found.first, found.second]
    scores = 1 / (1 + np.exp(-found.logits))
    np.testing.assert_allclose(found.probabilities, scores / scores.sum())
    said = explain.conclusions(found, CLASSES)
    lead = found.logits[found.first] - found.logits[found.second]
    assert f"the logit of {CLASSES[found.first]} leads by {lead:.2f}" in said[0]
    strongest = np.unravel_index(np.abs(found.margin).argmax(), found.margin.shape)
    assert f"row {strongest[0] + 1}, column {strongest[1] + 1}, counted from 1:" in said[1]
    assert f"{found.margin[strongest]:+.4f}" in said[1]


def test_a_single_logit_is_explained_as_its_two_halves(tmp_path: Path, backend: str) -> None:
    one, two = single(backend), single(backend, outputs=2)
    binary = BinaryCrossEntropy()
    binary.start(one)
    for image in (digit(), 255 - digit()):
        found = explain.explain(one, binary, image, samples=2)
        expected = explain.explain(two, loss_of(two), image, samples=2)
        assert (found.first, found.second) == (expected.first, expected.second)
        for name in ("logits", "probabilities", "saliency", "smooth", "margin", "cam"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-12)
    written = explain.write_explanation(
        tmp_path, found, ["no", "yes"], {"model": "m", "image": "i", "fitted": None}
    )
    [[z]] = one.predict(image[None])
    assert written["lead"] == pytest.approx(abs(z))
    assert written["first"] == ("yes" if z > 0 else "no")


def test_the_folder_has_the_page_the_figures_and_the_pictures_it_links(tmp_path: Path, backend: str) -> None:
    for model, pictures in ((convolutional(backend), 5), (linear(backend)[0], 4)):
        folder = tmp_path / str(pictures)
        found = explain.explain(model, loss_of(model), digit(), samples=2)
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
    model = convolutional("numpy")
    found = explain.explain(model, loss_of(model), np.zeros(SIZE, np.uint8), samples=1)
    explain.write_explanation(tmp_path, found, CLASSES, {"model": "m", "image": "i", "fitted": None})
    assert (tmp_path / "saliency.png").exists()


def test_refuses_what_cannot_be_explained() -> None:
    flat = Sequential([L.Dense(3)], (4,), backend="numpy")
    with pytest.raises(ShapeError, match=r"(?s)expected: .*\(H, W, C\).*received: inputs \(4,\)"):
        explain.explain(flat, loss_of(flat), np.zeros(4))
    model = convolutional("numpy")
    with pytest.raises(ShapeError, match=r"expected: \(8, 7, 1\)"):
        explain.explain(model, loss_of(model), np.zeros((7, 8, 1), np.uint8))
    for wrong in ({"samples": 0}, {"noise": -0.1}, {"noise": float("nan")}):
        with pytest.raises(ConfigError, match="SmoothGrad"):
            explain.explain(model, loss_of(model), digit(), **wrong)


def test_the_shares_of_a_linear_net_of_colours_add_up_to_the_lead() -> None:
    model = Sequential([L.Rescale(), L.Flatten(), L.Dense(3)], (5, 4, 3), backend="numpy", dtype="float64")
    image = np.random.default_rng(3).integers(0, 256, (5, 4, 3), np.uint8)
    found = explain.explain(model, loss_of(model), image, samples=1)
    lead = found.logits[found.first] - found.logits[found.second]  # the biases are 0
    np.testing.assert_allclose(255 * found.margin_times_image.sum(), lead)
    assert "one level more in each of its channels" in explain.conclusions(found, CLASSES)[1]
