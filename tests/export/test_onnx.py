"""Graphs for ONNX Runtime: every layer and every recipe, against the model's own answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import shape_inference

from tinynet import layers as L
from tinynet.checkpoint import weights_sha256
from tinynet.errors import ConfigError
from tinynet.export.onnx import to_onnx
from tinynet.gradcheck.cases import LAYER_CASES
from tinynet.layers import Layer
from tinynet.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.rng import Key, normal, uniform
from tinynet.runs import recipe
from tinynet.types import Array, Shape

CASES = [(name, *case[:3]) for name, cases in LAYER_CASES.items() for case in cases]
ALONE_AND_BEHIND = [(*case, False) for case in CASES] + [
    (*case, True) for case in CASES if len(case[3]) == 3 and case[0] != "Reshape"
]
RECIPES = [(name, reference) for reference in (False, True) for name in recipe.names(reference=reference)]


def settled(layers: Sequence[Layer], shape: Shape, seed: int = 0) -> Sequential:
    """A model whose weights and statistics are none of those they begin with."""
    model = Sequential(layers, shape, backend="numpy", seed=seed)
    for number, (name, view) in enumerate({**model.store.values.views, **model.store.state.views}.items()):
        random = normal(Key(seed + 1, number), view.shape)
        view[...] = np.exp(random / 2) if name.endswith("variance") else view + random / 3
    return model


def computed(file: bytes, x: Array) -> Array:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    [found] = session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})
    return np.asarray(found)


def check(model: Sequential, x: Array, loss: Loss | None = None) -> None:
    """Within 1e-5 for batches of 1 and of 7, of outputs and of what a loss makes of them."""
    outputs = model.predict(x)
    file = to_onnx(model, loss, logits=True)
    shape_inference.infer_shapes(
        onnx.load_from_string(file), check_type=True, strict_mode=True, data_prop=True
    )
    for count in (1, 7):
        assert_near(computed(file, x[:count]), outputs[:count])
    if loss:
        loss.start(model)
        assert_near(computed(to_onnx(model, loss), x), loss.probabilities(outputs))


def assert_near(found: Array, expected: Array) -> None:
    np.testing.assert_allclose(
        found, expected, rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(expected).max()))
    )


@pytest.mark.parametrize(
    ("kind", "detail", "make", "shape", "behind"),
    ALONE_AND_BEHIND,
    ids=[f"{c[0]} {c[1]}{' behind a convolution' * c[4]}" for c in ALONE_AND_BEHIND],
)
def test_every_layer(kind: str, detail: str, make: Callable[[], Layer], shape: Shape, behind: bool) -> None:
    """Behind a convolution it gets images with channels first."""
    layers = [L.Conv2D(4, 3, padding="same"), make()] if behind else [make()]
    check(settled(layers, shape), normal(Key(5, 0), (7, *shape)).astype(np.float32))


@pytest.mark.parametrize(("name", "reference"), RECIPES)
def test_every_recipe(name: str, reference: bool) -> None:
    plan = recipe.load(name, reference=reference)
    model = plan.build_model(backend="numpy", seed=3)
    pixels = (uniform(Key(6, 0), (7, *model.input_shape)) * 256).astype(np.uint8)
    check(model, pixels, plan.training.loss)


def test_flat_values_keep_their_meaning_between_flatten_and_dense() -> None:
    """The order is that of channels first there; batch-norm's channels must follow it."""
    between: list[Layer] = [L.BatchNorm(), L.GELU(), L.Softmax(), L.Dropout(0.5), L.Flatten()]
    layers = [L.Conv2D(5, 3), L.Flatten(), *between, L.Dense(4), L.BatchNorm(), L.Dense(3)]
    check(settled(layers, (6, 7, 2)), normal(Key(5, 1), (7, 6, 7, 2)).astype(np.float32))


@pytest.mark.parametrize(
    "layers",
    [
        [L.Conv2D(5, 3), L.Flatten()],
        [L.Conv2D(5, 3), L.Flatten(), L.ReLU(), L.Reshape((5, 4, 5)), L.Conv2D(2, 3), L.Softmax()],
        [L.Conv2D(5, 3), L.Reshape((10, 10)), L.Tanh()],
        [L.Conv2D(5, 3), L.GlobalAveragePool(), L.Dense(2)],
        [L.Conv2D(5, 3), L.Flatten(), L.Residual([L.Dense(100)]), L.Dense(2)],
        [L.Conv2D(5, 3), L.Residual([L.Dense(3)], [L.Conv2D(3, 1)]), L.Residual([L.Softmax()])],
        [L.Conv2D(5, 3), L.Residual([L.Flatten(), L.Dense(5)], [L.GlobalAveragePool()]), L.Dense(2)],
    ],
    ids=["flat at the end", "images again", "a table", "means", "a block of rows", "two orders", "meeting"],
)
def test_values_come_out_in_tinynets_order(layers: list[Layer]) -> None:
    check(settled(layers, (6, 7, 2)), normal(Key(5, 2), (7, 6, 7, 2)).astype(np.float32))


def test_float64_is_written_as_float32() -> None:
    model = Sequential([L.Dense(3)], (4,), backend="numpy", dtype="float64")
    x = normal(Key(5, 3), (7, 4))
    assert computed(to_onnx(model), x).dtype == np.float32
    assert_near(computed(to_onnx(model), x), model.predict(x))


def test_the_lowest_stamp_that_works_and_what_the_file_says_of_itself() -> None:
    def stamp(layer: Layer) -> tuple[int, int, dict[str, str]]:
        model = Sequential([L.Dense(2), layer], (3,), backend="numpy")
        made = onnx.load_from_string(
            to_onnx(model, SoftmaxCrossEntropy(), classes=["yes", "no"], about={"dataset": "mine", "n": 2})
        )
        facts = {each.key: each.value for each in made.metadata_props}
        assert facts["weights_sha256"] == weights_sha256(model)
        return made.opset_import[0].version, made.ir_version, facts

    opset, ir, facts = stamp(L.ReLU())
    assert (opset, ir) == (17, 8)
    assert json.loads(facts["classes"]) == ["yes", "no"]
    assert (facts["dataset"], facts["n"]) == ("mine", "2")
    assert stamp(L.GELU())[:2] == (20, 9)


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (SoftmaxCrossEntropy(), "probabilities"),
        (CrossEntropy(), "probabilities"),
        (BinaryCrossEntropy(), "probabilities"),
        (MeanSquaredError(), "outputs"),
    ],
)
def test_the_output_has_a_name_and_the_batch_none_in_particular(loss: Loss, name: str) -> None:
    model = Sequential([L.Dense(2), L.Sigmoid()], (3,), backend="numpy")
    graph = onnx.load_from_string(to_onnx(model, loss)).graph
    assert [graph.input[0].name, graph.output[0].name] == ["input", name]
    sizes: list[Any] = [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", 3]


def test_the_order_of_small_scores_is_kept() -> None:
    model = Sequential([L.ReLU()], (3,), backend="numpy")
    scores = np.array([[2e-9, 1e-9, 1e-9]], np.float32)
    np.testing.assert_allclose(computed(to_onnx(model, CrossEntropy()), scores), [[0.5, 0.25, 0.25]])


def test_a_layer_of_ones_own_is_refused_by_its_name() -> None:
    class Mine(L.ReLU):
        """Not one of tinynet's."""

    with pytest.raises(ConfigError, match=r"layer mine_1 computes(.|\n)*received: Mine"):
        to_onnx(Sequential([Mine()], (3,), backend="numpy"))


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"ONNX files need onnx(.|\n)*pip install"):
        to_onnx(Sequential([L.ReLU()], (3,), backend="numpy"))
