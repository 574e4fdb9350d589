"""The loop: the same run twice, what it records, what it refuses, and that it learns."""

from __future__ import annotations

import copy
import json
import math
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from nets import Samples, StopAt, blobs, cnn, images, mlp, weights
from sklearn.metrics import log_loss

from tinynet import layers as L
from tinynet.errors import ConfigError, DataError, DTypeError, NonFiniteError, ShapeError
from tinynet.losses import Loss, MeanSquaredError
from tinynet.model import Sequential
from tinynet.optim import SGD, Adam
from tinynet.rng import Key, normal
from tinynet.schedules import Constant, Cosine, Step
from tinynet.training import Callback, StepEnd, Trainer
from tinynet.types import Array


def trained(backend: str, seed: int = 0) -> Array:
    model = cnn(backend, seed)
    Trainer(model, images(), validation=images(5), epochs=3, batch_size=8, schedule=Cosine()).run()
    return weights(model)


def test_the_same_seed_gives_the_same_bits(backend: str) -> None:
    np.testing.assert_array_equal(trained(backend), trained(backend))


def test_another_seed_gives_other_weights(backend: str) -> None:
    one, other = trained(backend), trained(backend, seed=1)
    in_use = one != 0  # the rest is padding
    assert (one != other)[in_use].all()


def test_the_seed_decides_the_order_of_the_batches_too(backend: str) -> None:
    found = []
    for seed in (0, 1):
        model = mlp(backend, seed)
        model.store.values.flat[...] = 0.1
        Trainer(model, blobs(), optimizer=SGD(), epochs=1, batch_size=8).run()
        found.append(weights(model))
    assert (found[0] != found[1]).any()


@pytest.mark.parametrize("step", [1, 3, 4, 7])
def test_a_run_that_stopped_and_goes_on_is_the_same_run(step: int, backend: str) -> None:
    """23 samples in batches of 8: three steps an epoch, so 3 stops at an epoch's last batch."""
    whole = cnn(backend)
    expected = Trainer(whole, images(), epochs=3, batch_size=8).run()
    model = cnn(backend)
    trainer = Trainer(model, images(), epochs=3, batch_size=8)
    trainer.run([StopAt(step)])
    assert trainer.state.step == step
    trainer.state.stopped = None
    history = trainer.run()
    np.testing.assert_array_equal(weights(model), weights(whole))
    for ours, theirs in zip(history, expected, strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


def test_validation_does_not_disturb_training(backend: str) -> None:
    found = []
    for validation in (None, images(11)):
        model = cnn(backend)
        Trainer(model, images(), validation=validation, epochs=2, batch_size=8).run()
        found.append(weights(model))
    np.testing.assert_array_equal(found[0], found[1])


def test_events_come_in_order() -> None:
    trainer = Trainer(mlp(), blobs(50), epochs=2, batch_size=20)
    events = list(trainer.events())
    assert [type(event).__name__ for event in events] == [*["StepEnd"] * 3, "EpochEnd"] * 2
    steps = [event for event in events if isinstance(event, StepEnd)]
    assert [event.step for event in steps] == [1, 2, 3, 4, 5, 6]
    assert [event.epoch for event in steps] == [0, 0, 0, 1, 1, 1]


def test_every_sample_is_seen_once_an_epoch() -> None:
    x = np.arange(23, dtype=np.float32)[:, None]
    trainer = Trainer(Sequential([L.Dense(23)], (1,), backend="numpy"), (x, np.arange(23)), batch_size=8)
    orders = []
    for epoch in range(2):
        batches = list(trainer.train.epoch(0, epoch))
        assert [len(batch) for batch, _ in batches] == [8, 8, 7]
        for batch, targets in batches:
            np.testing.assert_array_equal(batch[:, 0], targets)
        orders.append(np.concatenate([targets for _, targets in batches]))
        assert sorted(orders[-1]) == list(range(23))
    assert (orders[0] != orders[1]).any()


def test_the_history_holds_what_a_frozen_model_scores(backend: str) -> None:
    """With a learning rate of 0 the figures of an epoch are those of one fixed model: scikit-learn's."""
    model = mlp(backend, l2=0.5)
    train, validation = blobs(50), blobs(30, seed=1)
    trainer = Trainer(
        model, train, validation=validation, optimizer=SGD(learning_rate=0.0), epochs=2, batch_size=16
    )
    history = trainer.run()
    assert [record["epoch"] for record in history] == [1, 2]
    assert [record["step"] for record in history] == [4, 8]
    penalty = 0.5 * float((model.backend.to_host(model.layers[0].params.W).astype(float) ** 2).sum())
    for prefix, (x, labels) in (("", train), ("val_", validation)):
        logits = model.predict(x).astype(float)
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        expected = log_loss(labels, p, labels=range(3)) + penalty
        for record in history:
            assert record[f"{prefix}loss"] == pytest.approx(expected, rel=1e-5)
            assert record[f"{prefix}accuracy"] == (logits.argmax(axis=1) == labels).mean()
    assert set(history[0]) == {
        *("epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
    }
    assert all(record["seconds"] > 0 for record in history)
    json.dumps(history)


def test_without_validation_there_are_no_such_figures_and_of_values_others() -> None:
    model = Sequential([L.Dense(1)], (2,), backend="numpy")
    x, labels = blobs()
    history = Trainer(model, (x, labels[:, None].astype(float)), loss=MeanSquaredError(), epochs=1).run()
    assert set(history[0]) == {*("epoch", "step", "loss", "mae", "rmse", "r2"), "learning_rate", "seconds"}


def test_the_learning_rate_follows_the_schedule_within_an_epoch() -> None:
    trainer = Trainer(
        mlp(),
        blobs(40),
        optimizer=SGD(learning_rate=0.2),
        schedule=Constant(warmup=2.0),
        epochs=3,
        batch_size=10,
    )
    rates = [event.learning_rate for event in trainer.events() if isinstance(event, StepEnd)]
    np.testing.assert_allclose(rates, 0.2 * np.minimum(np.arange(12) / 8, 1))
    np.testing.assert_allclose([r["learning_rate"] for r in trainer.state.history], [0.075, 0.175, 0.2])


def test_no_epochs_train_nothing() -> None:
    model = mlp()
    before = weights(model).copy()
    assert Trainer(model, blobs(), epochs=0).run() == []
    np.testing.assert_array_equal(weights(model), before)


def test_the_state_is_plain_values() -> None:
    trainer = Trainer(mlp(), blobs(50), epochs=2, batch_size=20)
    trainer.run([StopAt(4)])
    state = json.loads(json.dumps(trainer.state.as_dict()))
    assert (state["epoch"], state["batch"], state["step"], state["seen"]) == (1, 1, 4, 20)
    assert state["stopped"] == "interrupted"
    assert len(state["history"]) == 1


def test_a_run_that_diverges_stops_and_says_where(backend: str) -> None:
    trainer = Trainer(mlp(backend), blobs(), optimizer=SGD(learning_rate=1e30), batch_size=10)
    with (
        np.errstate(all="ignore"),
        pytest.raises(
            NonFiniteError,
            match=r"the loss is (nan|inf) at step \d+\n  expected: a finite loss\n"
            r"  received: the first NaN or infinity is in the (parameter|output of) .*dense_\d.*\n"
            r"  fix: a smaller learning rate, or gradient clipping",
        ),
    ):
        trainer.run()


def test_a_poisoned_parameter_is_named_with_the_step(backend: str) -> None:
    trainer = Trainer(mlp(backend), blobs(), batch_size=10)
    trainer.model.backend.loss_check_every = 1

    class Poison(Callback):
        def on_step(self, trainer: Trainer, event: StepEnd) -> None:
            if event.step == 2:
                trainer.model.store.values.views["dense_2.b"][1] = math.nan

    with (
        np.errstate(all="ignore"),
        pytest.raises(NonFiniteError, match=r"the loss is nan at step 2\n.*\n.*in the parameter dense_2\.b"),
    ):
        trainer.run([Poison()])
    assert trainer.state.step == 2


def test_an_output_that_overflows_is_named(backend: str) -> None:
    model = mlp(backend)
    model.store.values.views["dense_1.W"][...] = 1e25
    model.store.values.views["dense_2.W"][...] = 1e25
    with (
        np.errstate(all="ignore"),
        pytest.raises(NonFiniteError, match=r"at step 0\n.*\n.*in the output of Dense 'dense_2'"),
    ):
        Trainer(model, blobs()).run()


@pytest.mark.parametrize("validation", [None, blobs(10)], ids=["alone", "with validation"])
def test_a_last_step_that_blows_up_does_not_pass_for_a_success(
    validation: Samples | None, backend: str
) -> None:
    optimizer = SGD(learning_rate=1e39)
    trainer = Trainer(
        mlp(backend), blobs(10), validation=validation, optimizer=optimizer, epochs=1, batch_size=10
    )
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="in the parameter dense_"):
        trainer.run()
    assert trainer.state.history == []


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"optimizer": "adam"}, r"'adam' is no optimizer\n  expected: one, such as Adam\(\)"),
        ({"loss": L.Dense}, r"Dense.* is no loss\n  expected: one, such as SoftmaxCrossEntropy\(\)"),
    ],
)
def test_what_is_no_optimizer_or_no_loss_is_refused(part: dict[str, Any], says: str) -> None:
    model = Sequential([L.Dense(2)], (3,), backend="numpy")
    with pytest.raises(ConfigError, match=says):
        Trainer(model, (np.zeros((4, 3)), np.zeros(4, int)), **part)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["train", "validation"])
def test_data_that_are_not_finite_are_refused_with_the_row(where: str, value: float) -> None:
    sets = {"train": blobs(), "validation": blobs()}
    sets[where][0][17, 1] = value
    with pytest.raises(NonFiniteError, match=r"inputs hold a NaN or an infinity\n.*\n.*row 17\n  fix: clean"):
        Trainer(mlp(), sets["train"], validation=sets["validation"])


def test_targets_that_are_not_finite_are_refused() -> None:
    x, _ = blobs()
    targets = np.zeros((50, 1))
    targets[3] = math.nan
    model = Sequential([L.Dense(1)], (2,), backend="numpy")
    with pytest.raises(NonFiniteError, match=r"targets hold .*\n.*\n.*row 3"):
        Trainer(model, (x, targets), loss=MeanSquaredError())


@pytest.mark.parametrize("where", ["train", "validation"])
@pytest.mark.parametrize("label", [-1, 3, 255])
def test_labels_out_of_range_are_refused_with_the_row(label: int, where: str) -> None:
    sets = {"train": blobs(), "validation": blobs()}
    sets[where][1][5] = label
    with pytest.raises(DataError, match=rf"out of range\n  expected: 0 … 2.*\n  received: {label} at row 5"):
        Trainer(mlp(), sets["train"], validation=sets["validation"])


def test_data_that_do_not_fit_are_refused() -> None:
    x, labels = blobs()
    with pytest.raises(ShapeError, match=r"samples of \(2,\)\n  received: \(3,\)\n"):
        Trainer(mlp(), (np.zeros((50, 3), np.float32), labels))
    with pytest.raises(ShapeError, match=r"each sample needs one target\n  expected: 50.*\n  received: 49"):
        Trainer(mlp(), (x, labels[:49]))
    with pytest.raises(DataError, match="the data set is empty"):
        Trainer(mlp(), (x[:0], labels[:0]))
    with pytest.raises(ShapeError, match=r"do not go together\n.*\n.* labels \(50, 3\)\n.*not one-hot"):
        Trainer(mlp(), (x, np.eye(3, dtype=int)[labels]))
    with pytest.raises(DTypeError, match="class numbers"):
        Trainer(mlp(), (x, labels.astype(float)))
    with pytest.raises(ShapeError, match=r"arrays of one shape\n  expected: targets \(50, 3\)"):
        Trainer(mlp(), (x, labels), loss=MeanSquaredError())
    images = Sequential([L.Conv2D(3, 1)], (1, 2, 1), backend="numpy")
    with pytest.raises(ShapeError, match=r"received: outputs \(50, 1, 2, 3\)"):
        Trainer(images, (x.reshape(50, 1, 2, 1), labels))


@dataclass(eq=False)
class MeanAbsoluteError(Loss):
    """A user's loss."""

    def forward(self, outputs: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Any]:
        error = outputs - targets
        return self.ops.xp.abs(error).mean(dtype="float64"), error

    def backward(self, cache: Array) -> Array:
        return self.ops.xp.sign(cache) / cache.size


def test_accuracy_is_of_classes_alone(backend: str) -> None:
    x, labels = blobs()
    model = Sequential([L.Dense(3)], (2,), backend=backend, dtype="float64")
    trainer = Trainer(
        model, (x, np.eye(3)[labels]), validation=(x, np.eye(3)[labels]), loss=MeanAbsoluteError()
    )
    assert "accuracy" not in trainer.run()[-1]
    assert trainer.state.history[-1]["loss"] < trainer.state.history[0]["loss"]


def test_a_trainer_is_not_copied() -> None:
    with pytest.raises(TypeError, match="copy its model"):
        copy.deepcopy(Trainer(mlp(), blobs()))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"epochs\n  expected: .* at least 0\n  received: epochs=-1"):
        Trainer(mlp(), blobs(), epochs=-1)
    with pytest.raises(ConfigError, match="at least 1"):
        Trainer(mlp(), blobs(), batch_size=0)


def test_training_works_in_a_thread() -> None:
    trainer = Trainer(mlp(), blobs(), epochs=1)
    thread = threading.Thread(target=trainer.run)
    thread.start()
    thread.join()
    assert len(trainer.state.history) == 1


def test_xor_is_learned(backend: str) -> None:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    labels = np.array([0, 1, 1, 0])
    model = Sequential([L.Dense(8), L.Tanh(), L.Dense(2)], (2,), backend=backend)
    history = Trainer(model, (x, labels), optimizer=Adam(0.05), epochs=150, batch_size=4).run()
    assert model.predict(x).argmax(axis=1).tolist() == labels.tolist()
    assert history[-1]["loss"] < 0.05
    assert history[-1]["accuracy"] == 1


def test_two_moons_are_told_apart(backend: str) -> None:
    def moons(n: int, seed: int) -> Samples:
        generator = np.random.default_rng(seed)
        angle, labels = np.pi * generator.random(n), np.arange(n) % 2
        x = np.where(labels, 1 - np.cos(angle), np.cos(angle))
        y = np.where(labels, 0.5 - np.sin(angle), np.sin(angle))
        return (np.stack([x, y], 1) + 0.1 * generator.normal(size=(n, 2))).astype(np.float32), labels

    model = Sequential([L.Dense(16), L.ReLU(), L.Dense(16), L.ReLU(), L.Dense(2)], (2,), backend=backend)
    trainer = Trainer(
        model, moons(400, 0), validation=moons(400, 1), optimizer=Adam(0.01), epochs=40, batch_size=20
    )
    assert trainer.run()[-1]["val_accuracy"] >= 0.98  # a straight line reaches 0.88


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_a_linear_model_finds_the_solution_of_least_squares_and_of_ridge(l2: float, backend: str) -> None:
    x = normal(Key(1, 0), (60, 3))
    t = x @ np.array([[1.0], [-2.0], [0.5]]) + 3 + 0.5 * normal(Key(2, 0), (60, 1))
    model = Sequential([L.Dense(1, l2=l2)], (3,), backend=backend, dtype="float64")
    Trainer(model, (x, t), loss=MeanSquaredError(), optimizer=SGD(0.1), epochs=400, batch_size=60).run()
    centred = x - x.mean(axis=0)
    W = np.linalg.solve(centred.T @ centred / 60 + l2 * np.eye(3), centred.T @ (t - t.mean()) / 60)
    np.testing.assert_allclose(model.backend.to_host(model.layers[0].params.W), W, rtol=1e-8)
    b = t.mean() - x.mean(axis=0) @ W
    np.testing.assert_allclose(model.backend.to_host(model.layers[0].params.b), b, rtol=1e-8)


def test_step_schedules_reach_the_optimiser() -> None:
    trainer = Trainer(mlp(), blobs(), optimizer=SGD(0.1), schedule=Step(every=1.0, factor=0.5), epochs=3)
    np.testing.assert_allclose([record["learning_rate"] for record in trainer.run()], [0.1, 0.05, 0.025])
