"""A layer's views of its tensors: their names, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tinynet import layers as L
from tinynet.model import Sequential


def small_model() -> Sequential:
    layers = [L.Conv2D(3, 3), L.BatchNorm(), L.ReLU(), L.Flatten(), L.Dense(5, l2=0.1), L.Dense(2)]
    return Sequential(layers, (6, 6, 1), backend="numpy")


def test_a_layer_sees_its_own_tensors() -> None:
    model = small_model()
    dense = model.layers[4]
    assert list(dense.params) == ["W", "b"]
    assert len(dense.grads) == 2
    assert np.shares_memory(dense.params.W, model.store.values.views["dense_1.W"])
    assert np.shares_memory(dense.grads["b"], model.store.grads.views["dense_1.b"])
    assert list(model.layers[1].state) == ["mean", "variance"]


def test_names_that_begin_alike_are_not_confused() -> None:
    model = Sequential([L.Dense(1) for _ in range(11)], (1,), backend="numpy")
    assert list(model.layers[0].params) == ["W", "b"]
    model.layers[10].params.W[...] = 5
    assert model.layers[0].params.W[0, 0] != 5


def test_rebinding_a_view_raises_with_the_fix() -> None:
    dense = small_model().layers[4]
    with pytest.raises(AttributeError, match=r"'W' is a view .* into it: self\.params\.W\[\.\.\.\] = …"):
        dense.params.W = np.zeros((48, 5))
    with pytest.raises(TypeError):
        dense.params["W"] = np.zeros((48, 5))  # type: ignore[operator]


def test_an_unknown_tensor_is_refused_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="no tensor 'weight' here; there are: W, b"):
        _ = small_model().layers[4].params.weight
    with pytest.raises(AttributeError, match="there are: none"):
        _ = L.ReLU().params.W
