"""Why a net answers as it does: gradients and Grad-CAM as in Python, and the arithmetic of every unit."""

from __future__ import annotations

from functools import cache
from typing import Any

import node
import numpy as np
import pytest
from explained import SIZE, convolutional, digit, linear, single
from one_layer_cases import CASES, NAMES, built, samples

from tinynet import layers as L
from tinynet.analysis import grad_cam, gradients
from tinynet.data.datasets import load
from tinynet.io.tables import to_table
from tinynet.losses import BinaryCrossEntropy
from tinynet.model import Sequential
from tinynet.runs import recipe
from tinynet.types import Array

pytestmark = node.NEEDS_NODE

WHY = """
  const net = tinynet.load(data.net);
  for (const each of data.off ?? []) net.disabled.add(each);
  return data.pixels.map((pixels) => data.classes.map((k) => ({
    saliency: net.saliency(pixels, k),
    margin: net.margin(pixels, k, data.second),
    cam: net.gradCamMap(pixels, k, data.layer),
    onPixels: net.gradCam(pixels, k, data.layer),
  })));
"""


def share(found: Any, expected: Array) -> float:
    """The largest difference, as a share of the largest number expected."""
    assert np.abs(expected).max() > 0
    return float(np.abs(np.reshape(found, expected.shape) - expected).max() / np.abs(expected).max())


def test_gradients_and_grad_cam_are_those_of_python() -> None:
    for end in (None, L.Softmax(), L.Sigmoid()):
        model = convolutional("numpy", end=end, dtype="float32")
        for layer in (None, "conv2d_1", "avgpool2d_1"):
            data = {"net": node.table(model), "pixels": [digit().ravel().tolist()], "classes": [0, 1, 2]}
            [found] = node.run(WHY, {**data, "second": 1, "layer": layer})
            position = grad_cam.cam_position(model, layer)
            assert position is not None
            for k, each in enumerate(found):
                assert share(each["saliency"], gradients.saliency(model, digit(), k)) < 1e-5
                cam = grad_cam.grad_cam(model, digit(), k, position)
                np.testing.assert_allclose(
                    np.reshape(each["cam"]["data"], cam.shape), cam, rtol=1e-4, atol=1e-6
                )
                left, right, bottom, top = grad_cam.place(model, position)
                assert each["cam"]["place"] == {"left": left, "right": right, "bottom": bottom, "top": top}
                assert each["cam"]["name"] == model.layers[position].name
            assert share(found[0]["margin"], gradients.margin_gradient(model, digit(), 0, 1)) < 1e-5
            assert np.abs(found[1]["margin"]).max() == 0


def test_a_single_logit_is_explained_as_in_python() -> None:
    model, loss = single("numpy"), BinaryCrossEntropy()
    loss.start(model)
    net = {**node.table(model), "loss": to_table(loss)}
    [found] = node.run(
        WHY, {"net": net, "pixels": [digit().ravel().tolist()], "classes": [0, 1], "second": 0}
    )
    position = grad_cam.cam_position(model)
    assert position is not None
    for k, each in enumerate(found):
        assert share(each["saliency"], gradients.saliency(model, digit(), k)) < 1e-5
        cam = grad_cam.grad_cam(model, digit(), k, position)
        np.testing.assert_allclose(each["cam"]["data"], cam.ravel(), rtol=1e-4, atol=1e-6)
    assert np.abs(found[0]["margin"]).max() == 0
    assert share(found[1]["margin"], gradients.margin_gradient(model, digit(), 1, 0)) < 1e-5
    code = """
      const net = tinynet.load(data.net), { outputs, logits } = net.forward(data.pixels);
      return [net.probabilities(outputs), net.scores(logits)];
    """
    believed, scores = node.run(code, {"net": net, "pixels": digit().ravel().tolist()})
    np.testing.assert_allclose(believed, loss.probabilities(model.predict(digit()[None]))[0], rtol=1e-5)
    np.testing.assert_allclose(scores, gradients.logits(model, digit()[None])[0][0], rtol=1e-5)


@pytest.mark.parametrize("name", recipe.names())
def test_a_recipe_is_explained_as_in_python(name: str) -> None:
    """In float64: where two pixels of a window are equal but for rounding, in float32 either may win it."""
    model = recipe.load(name).build_model(backend="numpy", seed=1)
    exact = recipe.load(name).build_model(backend="numpy", dtype="float64")
    exact.store.values.flat[...] = model.store.values.flat
    images, position = load("sample").test.images[:3], grad_cam.cam_position(model)
    data = {"net": node.table(model), "pixels": [each.ravel().tolist() for each in images], "classes": [4]}
    strongest = 0.0
    for image, [found] in zip(images, node.run(WHY, {**data, "second": 9}), strict=True):
        assert share(found["saliency"], gradients.saliency(exact, image, 4)) < 1e-5
        assert share(found["margin"], gradients.margin_gradient(exact, image, 4, 9)) < 1e-5
        if position is None:
            assert found["cam"] is found["onPixels"] is None
        else:
            cam = grad_cam.grad_cam(exact, image, 4, position)
            np.testing.assert_allclose(found["cam"]["data"], cam.ravel(), atol=1e-5 * cam.max())
            strongest = max(strongest, cam.max())
    assert position is None or strongest > 0


def test_a_colour_image_has_one_number_a_pixel() -> None:
    model = Sequential(
        [L.Conv2D(3, 2), L.GELU(), L.Flatten(), L.Dense(2)], (4, 5, 3), backend="numpy", seed=1
    )
    image = samples((4, 5, 3), 3)[0]
    data = {"net": node.table(model), "pixels": [image.ravel().tolist()], "classes": [1], "second": 0}
    [[found]] = node.run(WHY, data)
    assert share(found["saliency"], gradients.saliency(model, image, 1)) < 1e-5
    assert share(found["margin"], gradients.margin_gradient(model, image, 1, 0)) < 1e-5


def test_grad_cam_on_pixels_takes_the_place_whose_middle_is_nearest() -> None:
    model = convolutional("numpy", dtype="float32")
    data = {"net": node.table(model), "pixels": [digit().ravel().tolist()], "second": 0}
    [found] = node.run(WHY, {**data, "classes": [0, 1, 2]})
    position = grad_cam.cam_position(model)
    assert position is not None
    left, right, bottom, top = grad_cam.place(model, position)
    seen = 0
    for each in found:
        cam = np.reshape(each["cam"]["data"], each["cam"]["shape"])
        height, width = (bottom - top) / len(cam), (right - left) / cam.shape[1]
        for pixel, value in enumerate(each["onPixels"]):
            row, column = (pixel // SIZE[1] - top) / height - 0.5, (pixel % SIZE[1] - left) / width - 0.5
            i, j = round(row), round(column)
            if abs(row - i) == 0.5 or abs(column - j) == 0.5:
                continue  # as near to one as to the other
            inside = 0 <= i < cam.shape[0] and 0 <= j < cam.shape[1]
            assert value == (cam[i, j] if inside else 0)
            seen += inside
    assert seen > 20


def test_what_is_switched_off_explains_nothing() -> None:
    model = convolutional("numpy", dtype="float32")
    data = {"net": node.table(model), "pixels": [digit().ravel().tolist()], "classes": [2], "second": 0}
    [[found]] = node.run(WHY, {**data, "off": ["conv2d_1:0", "relu_2:3", "dense_1:1"]})
    views = model.store.values.views
    views["batchnorm_1.gamma"][0] = views["batchnorm_1.beta"][0] = 0
    for name, channel in (("conv2d_2", 3), ("dense_1", 1)):
        views[f"{name}.W"][..., channel] = views[f"{name}.b"][channel] = 0
    assert share(found["saliency"], gradients.saliency(model, digit(), 2)) < 1e-5


def test_a_net_without_convolution_has_no_grad_cam() -> None:
    data = {"net": node.table(linear("numpy")[0]), "pixels": [digit().ravel().tolist()], "classes": [0]}
    [[found]] = node.run(WHY, {**data, "second": 1})
    assert found["cam"] is found["onPixels"] is None


# --- the arithmetic of one unit --------------------------------------------------------------------------

ACTIVATIONS = {"ReLU", "LeakyReLU", "ELU", "GELU", "Sigmoid", "Tanh", "Softmax"}


@cache
def units() -> dict[str, Any]:
    """What every unit of every case says of the first sample."""
    tables = {
        name: {"net": node.table(built(make, shape)), "x": samples(shape, 0)[0].ravel().tolist()}
        for name, (make, shape) in zip(NAMES, CASES, strict=True)
    }
    code = """
      const all = ({ net, x }) => {
        const built = tinynet.load(net), { shape } = built.layers[0];
        built.forward(x);
        const longer = (place, n) => Array.from({ length: n }, (_, i) => [...place, i]);
        const places = shape.reduce((some, n) => some.flatMap((place) => longer(place, n)), [[]]);
        return places.map((place) => built.explainUnit(0, place));
      };
      return Object.fromEntries(Object.entries(data).map(([name, each]) => [name, all(each)]));
    """
    found: dict[str, Any] = node.run(code, tables)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_arithmetic_of_every_unit_gives_its_output(name: str) -> None:
    make, shape = CASES[NAMES.index(name)]
    x, told = samples(shape, 0)[:1], units()[name]
    y = built(make, shape).predict(x).ravel()
    assert len(told) == len(y)
    for n, each in enumerate(told):
        sources = np.array(each["sources"])
        np.testing.assert_array_equal(each["window"], np.where(sources < 0, 0, x.ravel()[sources]))
        assert len(sources) == np.prod(each["size"])
        assert each["sum"] == pytest.approx(sum(each["products"]))
        assert each["after"] == pytest.approx(y[n], rel=1e-5, abs=1e-5)
        if each["kind"] in ACTIVATIONS:
            assert each["before"] == x.ravel()[n]
        else:
            if each["kernel"] is not None:  # those of a Residual come from its branches
                np.testing.assert_allclose(
                    each["products"], np.multiply(each["window"], each["kernel"]), rtol=1e-6
                )
            assert each["before"] == pytest.approx(each["sum"] + each["bias"])
            assert each["before"] == pytest.approx(y[n], rel=1e-5, abs=1e-5)
        assert not each["off"]


def test_a_unit_tells_what_the_rest_of_its_block_makes_of_it() -> None:
    layers = [L.Conv2D(3, 3), L.BatchNorm(), L.ReLU(), L.MaxPool2D(), L.Flatten(), L.Dense(2), L.Softmax()]
    model = Sequential(layers, SIZE, backend="numpy", seed=2)
    model.store.state.views["batchnorm_1.mean"][...] = 3
    outputs: list[Array] = []
    model.forward(digit()[None].astype(np.float32), watch=lambda _, y: outputs.append(y.copy()))
    code = """
      const net = tinynet.load(data.net);
      net.disabled.add("conv2d_1:0");
      net.forward(data.pixels);
      const units = [[0, [1, 2, 1]], [3, [0, 1, 2]], [5, [1]], [0, [1, 2, 0]]];
      return units.map(([n, unit]) => net.explainUnit(n, unit));
    """
    data = {"net": node.table(model), "pixels": digit().ravel().tolist()}
    convolution, pool, dense, off = node.run(code, data)
    assert [each["name"] for each in convolution["steps"]] == ["batchnorm_1", "relu_1"]
    values = [float(outputs[n][0, 1, 2, 1]) for n in range(3)]
    assert convolution["before"] == pytest.approx(values[0], rel=1e-5)
    assert [each["value"] for each in convolution["steps"]] == pytest.approx(values[1:], rel=1e-5)
    assert convolution["after"] == convolution["steps"][-1]["value"]
    assert (pool["steps"], pool["size"]) == ([], [2, 2, 1])
    assert [each["type"] for each in dense["steps"]] == ["Softmax"]
    assert off["off"]
    assert off["after"] == 0 != off["before"]


def test_the_winner_of_a_window_is_marked() -> None:
    model = Sequential([L.MaxPool2D()], (2, 2, 1), backend="numpy")
    code = "const net = tinynet.load(data); net.forward([3, 7, 7, 1]); return net.explainUnit(0, [0, 0, 0])"
    told = node.run(code, node.table(model))
    assert told["kernel"] == [0, 1, 0, 0]
    assert told["after"] == 7
