"""One step of training, against the same step by hand."""

from __future__ import annotations

import numpy as np
from nets import blobs, mlp, weights

from tinynet import layers as L
from tinynet.averaging import Average
from tinynet.distributed.group import ALONE
from tinynet.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.losses.measures import Accuracy, Measure
from tinynet.model import Sequential
from tinynet.optim import SGD
from tinynet.step import Step, StepNumbers

FIRST = StepNumbers(step=0, update=1, rate=0.1, gain=0.0)


def step_of(model: Sequential, loss: Loss, measure: Measure) -> Step:
    optimizer = SGD()
    loss.start(model)
    optimizer.start(model)
    return Step(model, loss, optimizer, Average(), ALONE, measure)


def test_a_linear_step_by_hand(backend: str) -> None:
    """y = 2·3 + 1 = 7, so L = (7 - 5)² + 0.5·2² = 6; ∂L/∂W = 2·2·3 + 2·0.5·2 = 14 and ∂L/∂b = 4."""
    model = Sequential([L.Dense(1, l2=0.5)], (1,), backend=backend, dtype="float64")
    views, host = model.store.values.views, model.backend.to_host
    views["dense_1.W"][...], views["dense_1.b"][...] = 2.0, 1.0
    x, targets = (model.backend.asarray(np.array([[number]])) for number in (3.0, 5.0))
    looked_at: list[float] = []
    loss, correct = step_of(model, MeanSquaredError(), Measure())(
        (x, targets), FIRST, check=lambda value: looked_at.append(float(value))
    )
    assert float(loss) == looked_at[0] == 4 + 0.5 * 2**2
    assert correct == 0
    np.testing.assert_allclose(host(views["dense_1.W"]), 2 - 0.1 * 14)
    np.testing.assert_allclose(host(views["dense_1.b"]), 1 - 0.1 * 4)


def test_loss_and_correct_answers_are_of_the_weights_before_the_update(backend: str) -> None:
    model = mlp(backend)
    x, labels = blobs(20)
    logits, before = model.predict(x).astype(float), weights(model)
    step = step_of(model, SoftmaxCrossEntropy(), Accuracy())
    loss, correct = step((model.backend.asarray(x), model.backend.asarray(labels)), FIRST)
    right = np.exp(logits)[np.arange(20), labels] / np.exp(logits).sum(axis=1)
    np.testing.assert_allclose(float(loss), -np.log(right).mean(), rtol=1e-5)
    assert int(correct) == (logits.argmax(axis=1) == labels).sum()
    assert (weights(model) != before).any()


def test_a_check_that_raises_leaves_the_weights_alone(backend: str) -> None:
    model = mlp(backend)
    x, labels = (model.backend.asarray(array) for array in blobs(20))
    before = weights(model)

    def refuse(loss: object) -> None:
        raise ArithmeticError("seen")

    step = step_of(model, SoftmaxCrossEntropy(), Accuracy())
    with np.testing.assert_raises(ArithmeticError):
        step((x, labels), FIRST, check=refuse)
    np.testing.assert_array_equal(weights(model), before)
