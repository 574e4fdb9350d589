"""Binary cross-entropy against scikit-learn and values by hand, and training with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import blobs
from sklearn.metrics import log_loss

from tinynet import backends, checkpoint
from tinynet.errors import ConfigError, DataError, DTypeError, ShapeError
from tinynet.fitting import loss_for
from tinynet.layers import Dense, Dropout, Layer, Sigmoid, Softmax, Tanh
from tinynet.losses import BinaryCrossEntropy
from tinynet.model import Sequential
from tinynet.optim import SGD
from tinynet.rng import Key, normal, uniform
from tinynet.training import Trainer
from tinynet.types import Array

LOGITS = 3.0 * normal(Key(1, 0), (6, 4))
ANSWERS = (uniform(Key(2, 0), (6, 4)) > 0.5).astype(np.int64)


def on(backend: str) -> BinaryCrossEntropy:
    loss = BinaryCrossEntropy()
    loss.ops = backends.get(backend)
    return loss


def evaluate(loss: BinaryCrossEntropy, *given: Any) -> tuple[float, Array]:
    value, cache = loss.forward(*(loss.ops.asarray(np.asarray(each)) for each in given))
    assert value.shape == ()
    assert value.dtype == np.float64
    return float(value), np.array(loss.ops.to_host(loss.backward(cache)))


def test_it_is_the_log_loss_of_scikit_learn(backend: str) -> None:
    value, gradient = evaluate(on(backend), LOGITS, ANSWERS)
    p = 1 / (1 + np.exp(-LOGITS))
    assert value == pytest.approx(log_loss(ANSWERS.reshape(-1), p.reshape(-1)), rel=1e-12)
    np.testing.assert_allclose(gradient, (p - ANSWERS) / 24, atol=1e-15)


def test_by_hand(backend: str) -> None:
    # p = 3/4 and the chance of yes is 1/4: -(log 3/4)/4 - 3 (log 1/4)/4
    value, gradient = evaluate(on(backend), np.log([[3.0]]), [[0.25]])
    assert value == pytest.approx(-np.log(0.75) / 4 - 3 * np.log(0.25) / 4)
    np.testing.assert_allclose(gradient, [[0.5]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_exact_where_probabilities_round_to_0_and_1(dtype: str, backend: str) -> None:
    logits = np.array([[1000, -1000], [1000, -1000]], dtype)
    value, gradient = evaluate(on(backend), logits, [[1, 0], [0, 1]])
    assert value == 500  # (0 + 0 + 1000 + 1000) / 4
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(gradient, [[0, 0], [0.25, -0.25]])


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_answers_of_any_kind_and_in_a_row_count_the_same(kind: type, backend: str) -> None:
    z = LOGITS[:, :1]
    t: Array = ANSWERS[:, 0].astype(kind)
    column, row = evaluate(on(backend), z, t[:, None]), evaluate(on(backend), z, t)
    assert column[0] == row[0] == evaluate(on(backend), z, ANSWERS[:, :1])[0]
    np.testing.assert_array_equal(column[1], row[1])


def test_probabilities(backend: str) -> None:
    loss = on(backend)
    z = loss.ops.asarray(np.log([[3.0], [1.0]]))
    np.testing.assert_allclose(loss.ops.to_host(loss.probabilities(z)), [[0.25, 0.75], [0.5, 0.5]])
    several = loss.ops.asarray(np.log([[3.0, 1.0]]))
    np.testing.assert_allclose(loss.ops.to_host(loss.probabilities(several)), [[0.75, 0.5]])
    assert (loss.classes(1), loss.classes(4)) == (2, 4)


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [((6, 4), (6,)), ((6, 4), (6, 3)), ((6, 1), (5,)), ((6,), (6,)), ((6, 2, 2), (6, 2, 2))],
)
def test_shapes_that_do_not_go_together(outputs: tuple[int, ...], targets: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="binary cross-entropy do not go together") as caught:
        on("numpy").forward(np.zeros(outputs), np.zeros(targets))
    assert f"received: outputs {outputs} and targets {targets}" in str(caught.value)
    with pytest.raises(DTypeError, match="0, 1, or between"):
        on("numpy").forward(np.zeros((6, 1)), np.zeros(6, complex))


@pytest.mark.parametrize(
    ("wrong", "said"), [(2.0, "2.0 at row 3"), (-0.5, "-0.5 at row 3"), (np.nan, "nan at row 3")]
)
def test_targets_that_are_no_probabilities(wrong: float, said: str) -> None:
    x, t = np.ones((5, 2), np.float32), np.zeros((5, 1))
    t[3] = wrong
    with pytest.raises(DataError, match="no probability") as caught:
        Trainer(Sequential([Dense(1)], (2,), backend="numpy"), (x, t), loss=BinaryCrossEntropy())
    assert f"received: {said} (such values: 1 of 5)" in str(caught.value)
    with pytest.raises(DataError, match=r"2 at row 0(.|\n)*SoftmaxCrossEntropy"):
        Sequential([Dense(1)], (2,), backend="numpy").fit(x, np.full(5, 2), loss=BinaryCrossEntropy())


def test_two_classes_are_told_apart_and_the_accuracy_is_said(backend: str, tmp_path: Path) -> None:
    x, y = blobs(90)
    y = (y == 1).astype(np.int64)
    model = Sequential([Dense(8), Tanh(), Dense(1)], (2,), backend=backend, seed=1)
    assert isinstance(loss_for(model, y), BinaryCrossEntropy)
    history = model.fit(x, y, epochs=30, optimizer=SGD(0.5), validation_data=(x[:30], y[:30]))
    right = (model.predict(x)[:, 0] > 0) == y
    assert model.evaluate(x, y)["accuracy"] == model.score(x, y) == pytest.approx(right.mean())
    assert history[-1]["val_accuracy"] == pytest.approx(right[:30].mean())
    assert right.mean() > 0.95
    checkpoint.save_model(tmp_path / "net.safetensors", model, BinaryCrossEntropy())
    assert isinstance(checkpoint.load_model(tmp_path / "net.safetensors").loss, BinaryCrossEntropy)


def test_several_questions_have_the_share_of_right_answers(backend: str) -> None:
    x, y = blobs(60)
    questions = np.stack([y == 0, y == 1], axis=1).astype(np.float32)
    model = Sequential([Dense(2)], (2,), backend=backend, seed=1)
    found = model.evaluate(x, questions, loss=BinaryCrossEntropy())
    assert found["accuracy"] == pytest.approx(((model.predict(x) > 0) == (questions > 0.5)).mean())


@pytest.mark.parametrize("last", [Sigmoid, Softmax])
def test_probabilities_instead_of_logits_are_refused(last: type[Layer]) -> None:
    x, y = blobs(20)
    one = Sequential([Dense(1), last(), Dropout(0.1)], (2,), backend="numpy")
    several = Sequential([Dense(2), last()], (2,), backend="numpy")
    questions = np.stack([y == 0, y == 1], axis=1)
    for ask in (
        lambda: one.fit(x, y % 2, epochs=1),
        lambda: one.evaluate(x, y % 2),
        lambda: one.score(x, y % 2),
        lambda: several.fit(x, questions, loss=BinaryCrossEntropy(), epochs=1),
    ):
        with pytest.raises(ConfigError, match=f"model ends in {last.__name__}(.|\n)*fix: leave"):
            ask()


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(ConfigError):
        Sequential([Dense(2)], (2,), backend="numpy").fit(*blobs(20), loss=BinaryCrossEntropy, epochs=1)
