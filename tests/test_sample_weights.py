"""Weights of samples: the losses by hand, and training with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from nets import blobs, mlp, weights

from tinynet import layers as L
from tinynet.errors import ConfigError, DataError, DTypeError, ShapeError
from tinynet.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.optim import SGD
from tinynet.rng import Key, normal, uniform
from tinynet.training import Trainer
from tinynet.types import Array

OUTPUTS = normal(Key(1, 0), (6, 3))
LABELS = np.array([0, 1, 2, 0, 1, 2])
VALUES = uniform(Key(2, 0), (6, 3))
V = np.array([1.0, 2.0, 0.0, 0.5, 3.0, 1.0])
CASES = [
    (SoftmaxCrossEntropy(), OUTPUTS, LABELS),
    (SoftmaxCrossEntropy(0.1), OUTPUTS, LABELS),
    (CrossEntropy(), np.abs(OUTPUTS), LABELS),
    (BinaryCrossEntropy(), OUTPUTS, VALUES),
    (MeanSquaredError(), OUTPUTS, VALUES),
]


@pytest.mark.parametrize(("loss", "outputs", "targets"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_the_weighted_mean_of_each_samples_loss_and_gradient(
    loss: Loss, outputs: Array, targets: Array, dtype: str, backend: str
) -> None:
    loss.start(Sequential([L.Dense(3)], (3,), backend=backend, dtype=dtype))
    outputs = outputs.astype(dtype)

    def of(*given: Array) -> tuple[float, Array]:
        value, cache = loss.forward(*map(loss.ops.asarray, given))
        gradient = loss.backward(cache)
        assert gradient.dtype == dtype
        return float(value), np.array(loss.ops.to_host(gradient))

    found, gradient = of(outputs, targets, V)
    each = [of(outputs[n : n + 1], targets[n : n + 1]) for n in range(6)]
    slack = 1e-12 if dtype == "float64" else 1e-6
    assert found == pytest.approx(np.mean(V * [value for value, _ in each]), rel=slack)
    expected = np.concatenate([v * slope / 6 for v, (_, slope) in zip(V, each, strict=True)])
    np.testing.assert_allclose(gradient, expected, rtol=slack, atol=slack)
    assert not gradient[2].any()


def test_weights_of_one_change_nothing(backend: str) -> None:
    """The same bits."""
    x, y = blobs(50)
    plain, weighted = mlp(backend), mlp(backend)
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 16, "validation_data": (x[:9], y[:9])}
    first = plain.fit(x, y, **settings)
    second = weighted.fit(x, y, sample_weight=np.ones(50), **settings)
    np.testing.assert_array_equal(weights(plain), weights(weighted))
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert first[-1][name] == second[-1][name]


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
    v, table = np.linspace(0.5, 2, 60), np.array([1.0, 2.0, 3.0])
    one.fit(x, y, epochs=2, class_weight=table, sample_weight=v)
    other.fit(x, y, epochs=2, sample_weight=v * table[y])
    np.testing.assert_array_equal(weights(one), weights(other))


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
    with pytest.raises(error, match=said):
        Trainer(mlp(), (x, y), sample_weight=v)


def test_the_training_part_needs_a_weight_above_zero() -> None:
    x, y = blobs(20)
    with pytest.raises(DataError, match="all sample weights are zero"):
        mlp().fit(x, y, sample_weight=np.arange(20) >= 16, validation_split=0.2)
    table = np.where(y[:16] == 0, 0.0, 1.0)
    with pytest.raises(DataError, match="all sample weights are zero"):
        mlp().fit(x[:16], y[:16], class_weight=[1, 0, 0], sample_weight=table)


@dataclass(eq=False)
class Unweighted(SoftmaxCrossEntropy):
    """A loss of a user's own, as they were written before there were weights."""

    def forward(self, outputs: Array, targets: Array) -> tuple[Array, Any]:  # type: ignore[override]
        return super().forward(outputs, targets)


def test_a_loss_that_takes_no_weights_is_named() -> None:
    x, y = blobs(20)
    mlp().fit(x, y, loss=Unweighted(), epochs=1)
    with pytest.raises(ConfigError, match=r"takes no weights for samples(.|\n)*received: Unweighted"):
        mlp().fit(x, y, loss=Unweighted(), sample_weight=np.ones(20))
    with pytest.raises(DataError, match="label is out of range"):
        mlp().fit(x, y + 1, sample_weight=np.ones(20))
