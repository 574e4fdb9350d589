"""Nets in JavaScript: every recipe as in Python, what they keep, filters switched off, weights of 16 bits."""

from __future__ import annotations

from typing import Any

import node
import numpy as np
import pytest

from tinynet import layers as L
from tinynet.data.datasets import load
from tinynet.io.tables import to_table
from tinynet.layers.stack import walk
from tinynet.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.rng import Key, Stream, normal
from tinynet.runs import recipe
from tinynet.training import Trainer
from tinynet.types import Array

pytestmark = node.NEEDS_NODE

FORWARD = """
  const net = tinynet.load(data.net);
  for (const each of data.off ?? []) net.disabled.add(each);
  return data.pixels.map((pixels) => {
    const { outputs, logits, activations } = net.forward(pixels, { keep: data.keep });
    return { outputs, logits, activations, believed: net.probabilities(outputs) };
  });
"""


def digits(count: int) -> Array:
    return load("sample").test.images[:count]


def rows(images: Array) -> list[list[float]]:
    listed: list[list[float]] = images.reshape(len(images), -1).tolist()
    return listed


def unsettled(model: Sequential) -> Sequential:
    """The net, its weights and statistics off their starting values."""
    for i, flat in enumerate((model.store.values.flat, model.store.state.flat)):
        flat[...] += 0.02 * np.tanh(normal(Key(i, Stream.CHECK), flat.shape))
    return model


@pytest.mark.parametrize("name", recipe.names())
def test_a_recipe_answers_as_in_python(name: str) -> None:
    named = recipe.load(name)
    model, loss = unsettled(named.build_model(backend="numpy", seed=3)), named.training.loss
    loss.start(model)
    expected = model.predict(digits(20))
    net = {**node.table(model), "loss": to_table(loss)}
    found = node.run(FORWARD, {"net": net, "pixels": rows(digits(20))})
    assert node.difference([each["outputs"] for each in found], expected) < 1e-5
    assert node.difference([each["believed"] for each in found], loss.probabilities(expected)) < 1e-5
    assert np.ptp(expected, axis=0).min() > 1e-3, "the digits must not all look the same to this net"


@pytest.mark.parametrize("name", recipe.names())
def test_the_cost_is_counted_as_in_python(name: str) -> None:
    model = recipe.load(name).build_model(backend="numpy")
    cost = node.run("return tinynet.load(data).cost", node.table(model))
    assert cost == sum(layer.multiply_adds() for layer in walk(model.layers))


def small(end: list[L.Layer] | None = None) -> Sequential:
    """A net of every kind of layer that a digit passes, 7 x 8 pixels of two channels."""
    layers: list[L.Layer] = [
        *[L.Rescale(), L.Conv2D(4, 3, padding="same"), L.BatchNorm(), L.ReLU(), L.MaxPool2D(3, 2)],
        *[L.Conv2D(5, 2), L.Tanh(), L.Dropout(0.3), L.AvgPool2D(2, 1), L.Flatten(), L.Dense(6), L.ELU()],
        *[L.Reshape((1, 2, 3)), L.GlobalAveragePool(), L.Dense(3), *(end or [])],
    ]
    return unsettled(Sequential(layers, (7, 8, 2), backend="numpy", seed=4))


def noise(count: int) -> Array:
    return (127 + 127 * np.tanh(normal(Key(5, Stream.CHECK), (count, 7, 8, 2)))).astype(np.uint8)


@pytest.mark.parametrize("end", [L.Softmax, L.Sigmoid, None])
def test_what_every_layer_gives_is_kept_when_asked_for(end: type[L.Layer] | None) -> None:
    model, expected = small([end()] if end else []), []
    model.forward(noise(1).astype(np.float32), watch=lambda _, y: expected.append(y.copy()))
    data = {"net": node.table(model), "pixels": rows(noise(1)), "keep": True}
    [found] = node.run(FORWARD, data, bare=True)
    for layer, kept, y in zip(model.layers, found["activations"], expected, strict=True):
        assert (kept["name"], kept["type"]) == (layer.name, type(layer).__name__)
        assert kept["shape"] == list(layer.output_shape)
        assert node.difference(kept["data"], y) < 1e-5
    assert found["outputs"] == found["activations"][-1]["data"]
    assert found["logits"] == found["activations"][-2 if end else -1]["data"]
    [without] = node.run(FORWARD, {**data, "keep": False})
    assert "activations" not in without


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), CrossEntropy(), BinaryCrossEntropy()])
def test_a_table_may_say_by_which_loss_it_was_trained(loss: Loss) -> None:
    for end in (L.Softmax, L.Sigmoid):
        model = small([end()])
        loss.start(model)
        data = {"net": {**node.table(model), "loss": to_table(loss)}, "pixels": rows(noise(2))}
        found = [each["believed"] for each in node.run(FORWARD, data)]
        assert node.difference(found, loss.probabilities(model.predict(noise(2)))) < 1e-5


@pytest.mark.parametrize("end", [L.Softmax, L.Sigmoid])
def test_without_a_loss_scores_at_the_end_are_divided_by_their_sum(end: type[L.Layer]) -> None:
    data = {"net": node.table(small([end()])), "pixels": rows(noise(1))}
    [found] = node.run(FORWARD, data)
    np.testing.assert_allclose(
        found["believed"], np.array(found["outputs"]) / sum(found["outputs"]), rtol=1e-6
    )


# --- filters switched off --------------------------------------------------------------------------------


def test_a_filter_that_is_off_gives_nothing_to_what_is_behind_its_block() -> None:
    """The same as to learn that its block gives 0: by γ = β = 0, or behind a convolution alone W = b = 0."""
    model = small()
    off = {"net": node.table(model), "pixels": rows(noise(2)), "keep": True}
    found = node.run(FORWARD, {**off, "off": ["conv2d_1:2", "conv2d_2:0", "dense_1:5"]})
    views = model.store.values.views
    views["batchnorm_1.gamma"][2] = views["batchnorm_1.beta"][2] = 0
    for name, channel in (("conv2d_2", 0), ("dense_1", 5)):
        views[f"{name}.W"][..., channel] = views[f"{name}.b"][channel] = 0
    assert node.difference([each["outputs"] for each in found], model.predict(noise(2))) < 1e-5
    for each in found:
        shown = {kept["name"]: np.reshape(kept["data"], kept["shape"]) for kept in each["activations"]}
        for name in ("conv2d_1", "batchnorm_1", "relu_1", "maxpool2d_1"):
            assert np.abs(shown[name][..., 2]).max() == 0
            assert np.abs(shown[name][..., 3]).max() > 0


def test_a_filter_can_be_switched_on_again() -> None:
    code = """
      const net = tinynet.load(data.net), before = net.forward(data.pixels).outputs;
      net.disabled.add("relu_1:1");
      const off = net.forward(data.pixels).outputs;
      net.disabled.delete("relu_1:1");
      return [before, off, net.forward(data.pixels).outputs];
    """
    before, off, after = node.run(code, {"net": node.table(small()), "pixels": rows(noise(1))[0]})
    assert before == after != off


# --- weights of 16 bits ----------------------------------------------------------------------------------


def test_each_number_of_16_bits_is_read_as_numpy_reads_it() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    data = node.tensor(every, "float16")
    found = node.run("return Array.from(tinynet.decode(data), String)", data)
    np.testing.assert_array_equal(np.array(found, np.float64), every.astype(np.float64))


def test_few_answers_change_through_weights_of_16_bits() -> None:
    """A thousand digits that the net has not seen, and the default net after one epoch of 4,000."""
    data, named = load("sample"), recipe.load("cnn")
    model = named.build_model(seed=0)
    Trainer(model, (data.train.images, data.train.labels), epochs=1, optimizer=named.training.optimizer).run()
    code = """
      const best = (outputs) => outputs.indexOf(Math.max(...outputs));
      const nets = [data.whole, data.half].map(tinynet.load);
      return nets.map((net) => data.pixels.map((pixels) => best(net.forward(pixels).outputs)));
    """
    tables = {"whole": node.table(model), "half": node.table(model, "float16")}
    whole, half = np.array(node.run(code, {**tables, "pixels": rows(data.test.images)}))
    np.testing.assert_array_equal(whole, model.predict(data.test.images).argmax(axis=1))
    assert (whole == data.test.labels).mean() > 0.9
    changed = int((whole != half).sum())
    print(f"{changed} of {len(whole)} answers change through weights of 16 bits")
    assert changed <= 3


# --- what cannot be a net --------------------------------------------------------------------------------


def table() -> dict[str, Any]:
    return node.table(Sequential([L.Dense(2)], (3,), backend="numpy"))


def without_weights() -> dict[str, Any]:
    return {**table(), "weights": {}}


def of_another_shape() -> dict[str, Any]:
    return {**table(), "weights": node.table(Sequential([L.Dense(1)], (3,), backend="numpy"))["weights"]}


def of_another_dtype() -> dict[str, Any]:
    made = table()
    made["weights"]["dense_1.W"]["dtype"] = "bfloat16"
    return made


def of_layer(name: str, *shape: int) -> dict[str, Any]:
    return {"config": {"input_shape": shape or [3], "layers": [{"type": name}]}, "weights": {}}


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (without_weights(), "dense_1.W: expected 3 x 2 numbers, received 0"),
        (of_another_shape(), "dense_1.W: expected 3 x 2 numbers, received 3"),
        (of_another_dtype(), "unknown dtype bfloat16; known: float32, float16"),
        (of_layer("LSTM"), "unknown layer LSTM; known: Dense, Conv2D,"),
        (of_layer("toString"), "unknown layer toString; known: Dense, Conv2D,"),
        (of_layer("MaxPool2D", 1, 5, 1), "maxpool2d_1: no window fits into an input of 1 x 5 x 1"),
        (of_layer("MaxPool2D"), "maxpool2d_1: no window fits into an input of 3"),
    ],
    ids=["no weights", "other shape", "other dtype", "other layer", "of every object", "small", "no image"],
)
def test_what_is_no_net_is_refused(made: dict[str, Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        node.run("return tinynet.load(data).cost", made)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("net.forward([1, 2])", "expected 3 numbers, received 2"),
        ("net.disabled.add('conv2d_1:0'); net.forward([1, 2, 3])", "no layer is called conv2d_1"),
        ("net.disabled.add('dense_1:2'); net.forward([1, 2, 3])", "dense_1 has channels 0 to 1, not 2"),
        ("net.disabled.add('dense_1'); net.forward([1, 2, 3])", "dense_1 has channels 0 to 1, not undefined"),
        ("net.explainUnit(0, [0])", "the last forward: there was none"),
        ("net.forward([1, 2, 3]); net.explainUnit(0, [2])", "no unit 2 in an output of 2"),
        ("net.forward([1, 2, 3]); net.explainUnit(0, [0, 0])", "no unit 0,0 in an output of 2"),
        ("net.gradCam([1, 2, 3], 0, 'dense_1')", "Grad-CAM cannot look at dense_1"),
        ("net.gradCam([1, 2, 3], 0, 'relu_7')", "no layer is called relu_7"),
    ],
)
def test_what_a_net_cannot_answer_is_refused(code: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        node.run(f"const net = tinynet.load(data); {code}", table())


def test_the_order_of_small_scores_is_kept() -> None:
    made = {**table(), "loss": to_table(CrossEntropy())}
    assert node.run("return tinynet.load(data).probabilities([2e-9, 1e-9, 1e-9])", made) == [0.5, 0.25, 0.25]


def test_a_loss_without_classes_has_no_probabilities() -> None:
    made = {**table(), "loss": to_table(MeanSquaredError())}
    with pytest.raises(AssertionError, match="MeanSquaredError has no class probabilities"):
        node.run("tinynet.load(data).probabilities([1, 2])", made)
