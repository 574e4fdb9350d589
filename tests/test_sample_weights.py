"""Weights of samples: the losses by central differences and by hand, and training with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nets import blobs, mlp, weights

from tinynet import layers as L
from tinynet.errors import ConfigError, DataError, DTypeError, ShapeError
from tinynet.losses import CrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy, WeightedCrossEntropy
from tinynet.model import Sequential
from tinynet.optim import SGD
from tinynet.rng import Key, normal
from tinynet.sample_weights import sample_weighted, with_weights
from tinynet.types import Array

OUTPUTS = normal(Key(1, 0), (6, 3))
LABELS = np.array([0, 1, 2, 0, 1, 2])
VALUES = normal(Key(2, 0), (6, 3))
V = np.array([1.0, 2.0, 0.0, 0.5, 3.0, 1.0])
CASES = [
    (SoftmaxCrossEntropy(), LABELS),
    (SoftmaxCrossEntropy(0.1), LABELS),
    (WeightedCrossEntropy(0.1, (1.0, 4.0, 0.5)), LABELS),
    (MeanSquaredError(), VALUES),
]


def on(loss: Loss, backend: str, dtype: str = "float64") -> Loss:
    loss.start(Sequential([L.Dense(3)], (3,), backend=backend, dtype=dtype))
    return loss


def value(loss: Loss, outputs: Array, targets: Array) -> float:
    return float(loss.forward(loss.ops.asarray(outputs), loss.ops.asarray(targets))[0])


@pytest.mark.parametrize(("loss", "targets"), CASES)
def test_it_is_the_weighted_mean_of_each_samples_loss(loss: Loss, targets: Array, backend: str) -> None:
    found = value(on(sample_weighted(loss, 3), backend), OUTPUTS, with_weights(targets, V))
    each = [value(on(loss, backend), OUTPUTS[n : n + 1], targets[n : n + 1]) for n in range(6)]
    assert found == pytest.approx(np.mean(V * each), rel=1e-12)


@pytest.mark.parametrize(("loss", "targets"), CASES)
def test_gradients_by_central_differences(loss: Loss, targets: Array, backend: str) -> None:
    weighted, packed = on(sample_weighted(loss, 3), backend), with_weights(targets, V)
    _, cache = weighted.forward(weighted.ops.asarray(OUTPUTS), weighted.ops.asarray(packed))
    gradient = weighted.ops.to_host(weighted.backward(cache))
    for place in np.ndindex(OUTPUTS.shape):
        step = np.zeros(OUTPUTS.shape)
        step[place] = 1e-5
        difference = (
            value(weighted, OUTPUTS + step, packed) - value(weighted, OUTPUTS - step, packed)
        ) / 2e-5
        assert gradient[place] == pytest.approx(difference, rel=1e-6, abs=1e-9)


def test_weights_of_one_change_nothing(backend: str) -> None:
    x, y = blobs(50)
    plain, weighted = mlp(backend), mlp(backend)
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 16, "validation_data": (x[:9], y[:9])}
    first = plain.fit(x, y, **settings)
    second = weighted.fit(x, y, sample_weight=np.ones(50), **settings)
    np.testing.assert_allclose(weights(plain), weights(weighted), atol=1e-5)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert first[-1][name] == pytest.approx(second[-1][name], rel=1e-4)


def test_a_weight_of_zero_takes_wrong_labels_away() -> None:
    x, y = blobs(90)
    wrong = np.arange(90) % 2 == 0
    labels = np.where(wrong, (y + 1) % 3, y)
    model = mlp()
    model.fit(x, labels, epochs=30, optimizer=SGD(0.5), sample_weight=~wrong)
    assert model.score(x, y) > 0.9
    misled = mlp()
    misled.fit(x, labels, epochs=30, optimizer=SGD(0.5))
    assert misled.score(x, y) < 0.9


def test_values_and_both_kinds_of_weights() -> None:
    x, y = blobs(60)
    line = Sequential([L.Dense(1)], (2,), backend="numpy", seed=1)
    values = x @ np.array([2.0, -1.0])
    values[:20] = 100.0
    counted = np.arange(60) >= 20
    line.fit(x, values, epochs=300, optimizer=SGD(0.1), sample_weight=counted)
    assert line.score(x[20:], values[20:]) > 0.99
    one, other = mlp(), mlp()
    one.fit(x, y, epochs=2, class_weight=[1, 2, 3], sample_weight=np.ones(60))
    other.fit(x, y, epochs=2, class_weight=[1, 2, 3])
    np.testing.assert_allclose(weights(one), weights(other), atol=1e-5)


def test_the_last_samples_validate_without_weights() -> None:
    x, y = blobs(50)
    v = np.linspace(0.5, 2, 50)
    one, other = mlp(), mlp()
    found = one.fit(x, y, epochs=2, validation_split=0.2, sample_weight=v)
    same = other.fit(x[:40], y[:40], epochs=2, validation_data=(x[40:], y[40:]), sample_weight=v[:40])
    assert found[-1]["val_loss"] == same[-1]["val_loss"]
    assert found[-1]["val_loss"] == pytest.approx(one.evaluate(x[40:], y[40:])["loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("v", "error", "said"),
    [
        (-np.ones(20), DataError, "negative or no finite"),
        (np.full(20, np.nan), DataError, "nan at row 0"),
        (np.full(20, np.inf), DataError, "inf at row 0"),
        (np.zeros(20), DataError, "all sample weights are zero"),
        (np.ones(19), ShapeError, "not one weight for each sample"),
        (np.ones((20, 1)), ShapeError, "not one weight for each sample"),
        (["a"] * 20, DataError, "no numbers"),
        (np.array(["a"] * 20), DTypeError, "no numbers"),
    ],
)
def test_weights_that_are_none(v: Any, error: type[Exception], said: str) -> None:
    x, y = blobs(20)
    with pytest.raises(error, match=said):
        mlp().fit(x, y, sample_weight=v)


def test_targets_that_take_no_weights() -> None:
    x, y = blobs(20)
    with pytest.raises(ConfigError, match="takes no weights for samples"):
        mlp().fit(x, y, loss=CrossEntropy(), sample_weight=np.ones(20))
    with pytest.raises(ShapeError, match="need targets in columns"):
        with_weights(np.zeros((4, 2, 2)), np.ones(4))
    loss = on(sample_weighted(SoftmaxCrossEntropy(), 3), "numpy")
    with pytest.raises(ShapeError, match="last column of the targets is the weight"):
        loss.forward(OUTPUTS, LABELS)
    with pytest.raises(DataError, match="label is out of range"):
        mlp().fit(x, y + 1, sample_weight=np.ones(20))
