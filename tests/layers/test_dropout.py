"""Dropout: the share it drops, and what decides the mask."""

from __future__ import annotations

import math

import numpy as np
import pytest
from one_layer import KEY, built, forward

from tinynet import layers as L
from tinynet.model import Sequential
from tinynet.rng import Key
from tinynet.types import Array


def dropped(backend: str, key: Key, rate: float = 0.3, n: int = 100_000) -> Array:
    return forward(built(L.Dropout(rate), (n,), backend), np.ones((1, n)), train=True, key=key)[0]


def test_dropout_keeps_the_mean(backend: str) -> None:
    y = dropped(backend, KEY)
    values = np.unique(y)
    np.testing.assert_allclose(values, [0, 1 / 0.7])
    assert abs(y.mean() - 1) < 5 * math.sqrt(0.3 / 0.7 / y.size)


def test_the_key_of_dropout_decides_the_mask(backend: str) -> None:
    y = dropped(backend, KEY)
    np.testing.assert_array_equal(y, dropped(backend, KEY))
    np.testing.assert_array_equal(y, dropped("numpy", KEY))
    for other in (KEY._replace(step=1), KEY._replace(layer=1), KEY._replace(seed=1)):
        # two masks agree by chance on a share 0.7² + 0.3² = 0.58
        assert abs((y == dropped(backend, other)).mean() - 0.58) < 0.01


def test_dropout_drops_the_same_of_the_gradient(backend: str) -> None:
    layer = built(L.Dropout(0.5), (1000,), backend)
    y, cache = layer.forward(layer.ops.asarray(np.ones((1, 1000))), train=True, key=KEY)
    y = np.array(layer.ops.to_host(y))
    dx = layer.backward(layer.ops.asarray(np.full((1, 1000), 3.0)), cache)
    assert dx is not None
    np.testing.assert_array_equal(layer.ops.to_host(dx), 3 * y)


@pytest.mark.parametrize(("rate", "train"), [(0.5, False), (0.0, True), (0.0, False)])
def test_dropout_is_the_identity_in_evaluation_and_at_rate_0(rate: float, train: bool, backend: str) -> None:
    x = np.array([[1.0, -2.0, 0.0]])
    np.testing.assert_array_equal(forward(built(L.Dropout(rate), (3,), backend), x, train=train), x)


def test_a_model_draws_another_mask_at_each_step_and_layer(backend: str) -> None:
    model = Sequential([L.Dropout(0.5), L.Dropout(0.5)], (1000,), backend=backend, dtype="float64")
    x = model.backend.asarray(np.ones((1, 1000)))

    def kept(step: int) -> float:
        return float((model.backend.to_host(model.forward(x, train=True, step=step)[0]) > 0).mean())

    assert abs(kept(0) - 0.25) < 0.1  # two masks alike would keep a half
    first = np.array(model.backend.to_host(model.forward(x, train=True, step=0)[0]))
    again = np.array(model.backend.to_host(model.forward(x, train=True, step=0)[0]))
    second = np.array(model.backend.to_host(model.forward(x, train=True, step=1)[0]))
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()


def test_dropout_passes_on_the_nans_it_keeps(backend: str) -> None:
    x = np.full((1, 100), math.nan)
    layer = built(L.Dropout(0.5), (100,), backend)
    assert np.isnan(forward(layer, x, train=True)).sum() >= 20
