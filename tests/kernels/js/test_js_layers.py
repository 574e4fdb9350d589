"""The forward and the backward of every layer in JavaScript, against NumPy's, on shapes of every kind."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import node
import numpy as np
import pytest
from one_layer_cases import CASES, NAMES, built, samples

from tinynet import layers as L
from tinynet.gradcheck.cases import MakeLayer
from tinynet.layers import LAYERS
from tinynet.model import Sequential

pytestmark = node.NEEDS_NODE


@cache
def answers() -> dict[str, Any]:
    """What JavaScript makes of every case: y and ∂s/∂x of each sample, s = Σ dy · y."""
    data = {}
    for name, (make, shape) in zip(NAMES, CASES, strict=True):
        model = built(make, shape)
        data[name] = {
            "net": node.table(model),
            "x": samples(shape, 0).reshape(3, -1).tolist(),
            "dy": samples(model.output_shape, 1).reshape(3, -1).tolist(),
        }
    code = """
      const answer = ({ net, x, dy }) => {
        const { layers: [layer] } = tinynet.load(net), kind = layer.type.toLowerCase();
        const inputs = x.map((each) => Float32Array.from(each));
        const y = inputs.map((each) => tinynet[kind](each, layer));
        const back = (each, n) => tinynet[`${kind}Backward`](Float32Array.from(each), inputs[n], y[n], layer);
        return { shape: layer.shape, y, dx: dy.map(back), dtypes: y.map((each) => each.constructor.name) };
      };
      return Object.fromEntries(Object.entries(data).map(([name, each]) => [name, answer(each)]));
    """
    found: dict[str, Any] = node.run(code, data, bare=True)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_computes_what_numpy_does(name: str) -> None:
    make, shape = CASES[NAMES.index(name)]
    model, found = built(make, shape), answers()[name]
    y, tape = model.forward(samples(shape, 0))
    assert found["shape"] == list(model.output_shape)
    assert node.difference(found["y"], y) < 1e-5
    assert set(found["dtypes"]) == {"Float32Array"}
    dx = model.backward(samples(model.output_shape, 1), tape, input_gradient=True)
    assert dx is not None
    assert node.difference(found["dx"], dx) < 1e-5


def test_every_public_layer_is_among_the_cases() -> None:
    assert {type(make()).__name__ for make, _ in CASES} == set(LAYERS)


EXTREMES = [3e38, 1e4, 88.8, 20.0, 0.0, -20.0, -88.8, -1e4, -3e38]


@pytest.mark.parametrize(
    "make", [L.ReLU, L.LeakyReLU, L.ELU, L.GELU, partial(L.GELU, "tanh"), L.Sigmoid, L.Tanh, L.Softmax]
)
def test_activations_of_extreme_numbers(make: MakeLayer) -> None:
    x = np.array([EXTREMES], np.float32)
    model = Sequential([make()], (len(EXTREMES),), backend="numpy")
    y, tape = model.forward(x)
    dx = model.backward(np.ones_like(y), tape, input_gradient=True)
    assert dx is not None
    code = """
      const { layers: [layer] } = tinynet.load(data.net), kind = layer.type.toLowerCase();
      const x = Float32Array.from(data.x), y = tinynet[kind](x, layer);
      return [y, tinynet[`${kind}Backward`](new Float32Array(x.length).fill(1), x, y, layer)];
    """
    found = np.array(node.run(code, {"net": node.table(model), "x": EXTREMES}), float)
    np.testing.assert_allclose(found, np.concatenate([y, dx]), rtol=1e-5, atol=1e-6)


def test_what_is_no_number_stays_so() -> None:
    """The largest of a window with NaN in it is NaN, wherever it stands: JSON has null for it."""
    code = """
      const layer = tinynet.build({ type: "MaxPool2D" }, "maxpool2d_1", [2, 2, 1]);
      const windows = [0, 1, 2, 3].map((n) => Float32Array.from([1, 2, 3, 4].fill(NaN, n, n + 1)));
      return windows.map((x) => tinynet.maxpool2d(x, layer)[0]);
    """
    assert node.run(code) == [None] * 4
