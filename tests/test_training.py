"""The loop and its listeners: the same run twice, what stops it, what it records, and that it learns."""

from __future__ import annotations

import copy
import json
import math
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss

from tinynet import layers as L
from tinynet.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from tinynet.callbacks.log import JsonLog, read_log
from tinynet.callbacks.monitors import EarlyStopping, Monitor, ReduceOnPlateau
from tinynet.checkpoint import load_model, load_training, weights_sha256
from tinynet.errors import ConfigError, DataError, DTypeError, NonFiniteError, ShapeError
from tinynet.layers.base import Layer
from tinynet.losses import Loss, MeanSquaredError
from tinynet.model import Sequential
from tinynet.optim import SGD, Adam
from tinynet.rng import Key, normal, uniform
from tinynet.schedules import Constant, Cosine, Step
from tinynet.training import Callback, EpochEnd, StepEnd, Trainer
from tinynet.types import Array

Samples = tuple[Array, Array]


def _blobs(n: int = 50, seed: int = 0) -> Samples:
    """Three well separated clouds in the plane."""
    labels = np.arange(n) % 3
    centres = np.array([[0.0, 2.0], [2.0, -1.0], [-2.0, -1.0]])
    return (centres[labels] + 0.3 * normal(Key(seed, 0), (n, 2))).astype(np.float32), labels


def _images(n: int = 23) -> Samples:
    x = (uniform(Key(9, 0), (n, 6, 6, 1)) * 256).astype(np.uint8)
    return x, np.arange(n) % 4


def _mlp(backend: str = "numpy", seed: int = 0, l2: float = 0.0) -> Sequential:
    return Sequential([L.Dense(8, l2=l2), L.ReLU(), L.Dense(3)], (2,), backend=backend, seed=seed)


def _cnn(backend: str, seed: int = 0) -> Sequential:
    layers: list[Layer] = [
        *[L.Rescale(), L.Conv2D(4, 3, padding="same"), L.BatchNorm(), L.ReLU(), L.MaxPool2D()],
        *[L.Dropout(0.3), L.Flatten(), L.Dense(16, l2=0.01), L.GELU(), L.Dropout(0.3), L.Dense(4)],
    ]
    return Sequential(layers, (6, 6, 1), backend=backend, seed=seed)


def _weights(model: Sequential) -> Array:
    store = model.store
    return np.concatenate([model.backend.to_host(flat) for flat in (store.values.flat, store.state.flat)])


class StopAt(Callback):
    """Stops training after step number `step`."""

    def __init__(self, step: int, reason: str = "interrupted") -> None:
        self.step, self.reason = step, reason

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        if event.step == self.step:
            trainer.stop(self.reason)


# --- the same run -------------------------------------------------------------------------------------------


def _trained(backend: str, seed: int = 0) -> Array:
    model = _cnn(backend, seed)
    Trainer(model, _images(), validation=_images(5), epochs=3, batch_size=8, schedule=Cosine()).run()
    return _weights(model)


def test_the_same_seed_gives_the_same_bits(backend: str) -> None:
    np.testing.assert_array_equal(_trained(backend), _trained(backend))


def test_another_seed_gives_other_weights(backend: str) -> None:
    one, other = _trained(backend), _trained(backend, seed=1)
    in_use = one != 0  # the rest is padding
    assert (one != other)[in_use].all()


def test_the_seed_decides_the_order_of_the_batches_too(backend: str) -> None:
    weights = []
    for seed in (0, 1):
        model = _mlp(backend, seed)
        model.store.values.flat[...] = 0.1
        Trainer(model, _blobs(), optimizer=SGD(), epochs=1, batch_size=8).run()
        weights.append(_weights(model))
    assert (weights[0] != weights[1]).any()


@pytest.mark.parametrize("step", [1, 3, 4, 7])
def test_a_run_that_stopped_and_goes_on_is_the_same_run(step: int, backend: str) -> None:
    """23 samples in batches of 8: three steps an epoch, so 3 stops at an epoch's last batch."""
    whole = _cnn(backend)
    expected = Trainer(whole, _images(), epochs=3, batch_size=8).run()
    model = _cnn(backend)
    trainer = Trainer(model, _images(), epochs=3, batch_size=8)
    trainer.run([StopAt(step)])
    assert trainer.state.step == step
    trainer.state.stopped = None
    history = trainer.run()
    np.testing.assert_array_equal(_weights(model), _weights(whole))
    for ours, theirs in zip(history, expected, strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


def test_validation_does_not_disturb_training(backend: str) -> None:
    weights = []
    for validation in (None, _images(11)):
        model = _cnn(backend)
        Trainer(model, _images(), validation=validation, epochs=2, batch_size=8).run()
        weights.append(_weights(model))
    np.testing.assert_array_equal(*weights)


# --- events and history -------------------------------------------------------------------------------------


def test_events_come_in_order() -> None:
    trainer = Trainer(_mlp(), _blobs(50), epochs=2, batch_size=20)
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
    model = _mlp(backend, l2=0.5)
    train, validation = _blobs(50), _blobs(30, seed=1)
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


def test_without_validation_or_classes_there_are_no_such_figures() -> None:
    model = Sequential([L.Dense(1)], (2,), backend="numpy")
    x, labels = _blobs()
    history = Trainer(model, (x, labels[:, None].astype(float)), loss=MeanSquaredError(), epochs=1).run()
    assert set(history[0]) == {"epoch", "step", "loss", "learning_rate", "seconds"}


def test_the_learning_rate_follows_the_schedule_within_an_epoch() -> None:
    trainer = Trainer(
        _mlp(),
        _blobs(40),
        optimizer=SGD(learning_rate=0.2),
        schedule=Constant(warmup=2.0),
        epochs=3,
        batch_size=10,
    )
    rates = [event.learning_rate for event in trainer.events() if isinstance(event, StepEnd)]
    np.testing.assert_allclose(rates, 0.2 * np.minimum(np.arange(12) / 8, 1))
    np.testing.assert_allclose([r["learning_rate"] for r in trainer.state.history], [0.075, 0.175, 0.2])


def test_no_epochs_train_nothing() -> None:
    model = _mlp()
    before = _weights(model).copy()
    assert Trainer(model, _blobs(), epochs=0).run() == []
    np.testing.assert_array_equal(_weights(model), before)


def test_the_state_is_plain_values() -> None:
    trainer = Trainer(_mlp(), _blobs(50), epochs=2, batch_size=20)
    trainer.run([StopAt(4)])
    state = json.loads(json.dumps(trainer.state.as_dict()))
    assert (state["epoch"], state["batch"], state["step"], state["seen"]) == (1, 1, 4, 20)
    assert state["stopped"] == "interrupted"
    assert len(state["history"]) == 1


# --- what stops it ------------------------------------------------------------------------------------------


def test_a_run_that_diverges_stops_and_says_where(backend: str) -> None:
    trainer = Trainer(_mlp(backend), _blobs(), optimizer=SGD(learning_rate=1e30), batch_size=10)
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
    trainer = Trainer(_mlp(backend), _blobs(), batch_size=10)
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
    model = _mlp(backend)
    model.store.values.views["dense_1.W"][...] = 1e25
    model.store.values.views["dense_2.W"][...] = 1e25
    with (
        np.errstate(all="ignore"),
        pytest.raises(NonFiniteError, match=r"at step 0\n.*\n.*in the output of Dense 'dense_2'"),
    ):
        Trainer(model, _blobs()).run()


@pytest.mark.parametrize("validation", [None, _blobs(10)], ids=["alone", "with validation"])
def test_a_last_step_that_blows_up_does_not_pass_for_a_success(
    validation: Samples | None, backend: str
) -> None:
    optimizer = SGD(learning_rate=1e39)
    trainer = Trainer(
        _mlp(backend), _blobs(10), validation=validation, optimizer=optimizer, epochs=1, batch_size=10
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
    sets = {"train": _blobs(), "validation": _blobs()}
    sets[where][0][17, 1] = value
    with pytest.raises(NonFiniteError, match=r"inputs hold a NaN or an infinity\n.*\n.*row 17\n  fix: clean"):
        Trainer(_mlp(), sets["train"], validation=sets["validation"])


def test_targets_that_are_not_finite_are_refused() -> None:
    x, _ = _blobs()
    targets = np.zeros((50, 1))
    targets[3] = math.nan
    model = Sequential([L.Dense(1)], (2,), backend="numpy")
    with pytest.raises(NonFiniteError, match=r"targets hold .*\n.*\n.*row 3"):
        Trainer(model, (x, targets), loss=MeanSquaredError())


@pytest.mark.parametrize("where", ["train", "validation"])
@pytest.mark.parametrize("label", [-1, 3, 255])
def test_labels_out_of_range_are_refused_with_the_row(label: int, where: str) -> None:
    sets = {"train": _blobs(), "validation": _blobs()}
    sets[where][1][5] = label
    with pytest.raises(DataError, match=rf"out of range\n  expected: 0 … 2.*\n  received: {label} at row 5"):
        Trainer(_mlp(), sets["train"], validation=sets["validation"])


def test_data_that_do_not_fit_are_refused() -> None:
    x, labels = _blobs()
    with pytest.raises(ShapeError, match=r"samples of \(2,\)\n  received: \(3,\)\n"):
        Trainer(_mlp(), (np.zeros((50, 3), np.float32), labels))
    with pytest.raises(ShapeError, match=r"each sample needs one target\n  expected: 50.*\n  received: 49"):
        Trainer(_mlp(), (x, labels[:49]))
    with pytest.raises(DataError, match="the data set is empty"):
        Trainer(_mlp(), (x[:0], labels[:0]))
    with pytest.raises(ShapeError, match=r"do not go together\n.*\n.* labels \(50, 3\)\n.*not one-hot"):
        Trainer(_mlp(), (x, np.eye(3, dtype=int)[labels]))
    with pytest.raises(DTypeError, match="class numbers"):
        Trainer(_mlp(), (x, labels.astype(float)))
    with pytest.raises(ShapeError, match=r"arrays of one shape\n  expected: targets \(50, 3\)"):
        Trainer(_mlp(), (x, labels), loss=MeanSquaredError())
    images = Sequential([L.Conv2D(3, 1)], (1, 2, 1), backend="numpy")
    with pytest.raises(ShapeError, match=r"received: outputs \(50, 1, 2, 3\)"):
        Trainer(images, (x.reshape(50, 1, 2, 1), labels))


@dataclass(eq=False)
class MeanAbsoluteError(Loss):
    """A user's loss."""

    def forward(self, outputs: Array, targets: Array) -> tuple[Array, Any]:
        error = outputs - targets
        return self.ops.xp.abs(error).mean(dtype="float64"), error

    def backward(self, cache: Array) -> Array:
        return self.ops.xp.sign(cache) / cache.size


def test_accuracy_is_of_classes_alone(backend: str) -> None:
    x, labels = _blobs()
    model = Sequential([L.Dense(3)], (2,), backend=backend, dtype="float64")
    trainer = Trainer(
        model, (x, np.eye(3)[labels]), validation=(x, np.eye(3)[labels]), loss=MeanAbsoluteError()
    )
    assert "accuracy" not in trainer.run()[-1]
    assert trainer.state.history[-1]["loss"] < trainer.state.history[0]["loss"]


def test_a_trainer_is_not_copied() -> None:
    with pytest.raises(TypeError, match="copy its model"):
        copy.deepcopy(Trainer(_mlp(), _blobs()))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"epochs\n  expected: 0 or more\n  received: -1"):
        Trainer(_mlp(), _blobs(), epochs=-1)
    with pytest.raises(DataError, match="at least 1 sample"):
        Trainer(_mlp(), _blobs(), batch_size=0)


# --- early stopping and plateaus ----------------------------------------------------------------------------


def _hear(callback: Callback, figures: list[float], name: str = "val_loss") -> tuple[Trainer, list[int]]:
    """Tell `callback` of epochs with these figures until it stops; weights are the epoch's number."""
    trainer = Trainer(_mlp(), _blobs())
    stopped = []
    for epoch, figure in enumerate(figures, start=1):
        trainer.model.store.values.flat[...] = epoch
        callback.on_epoch(trainer, EpochEnd({"epoch": epoch, name: figure}))
        if trainer.state.stopped:
            stopped.append(epoch)
            break
    return trainer, stopped


@pytest.mark.parametrize(
    ("settings", "figures", "stopped", "best"),
    [
        ({"patience": 2}, [3, 2, 1, 0.5], [], 4),
        ({"patience": 2}, [3, 1, 2, 3, 0], [4], 2),
        ({"patience": 1}, [3, 3], [2], 1),
        ({"patience": 3}, [3, 4, 4, 2, 4, 4, 4], [7], 4),
        ({"patience": 2, "min_delta": 0.5}, [3, 2.6, 2.4, 2.2, 2.0], [5], 3),
        ({"patience": 2, "min_delta": 0.0}, [3, 2.6, 2.4, 2.2, 2.0], [], 5),
        ({"patience": 2, "monitor": "val_accuracy"}, [0.5, 0.9, 0.8, 0.7], [4], 2),
        ({"patience": 2}, [3, math.nan, math.nan], [3], 1),
    ],
)
def test_early_stopping(
    settings: dict[str, Any], figures: list[float], stopped: list[int], best: int
) -> None:
    callback = EarlyStopping(**settings)
    trainer, stopped_at = _hear(callback, figures, settings.get("monitor", "val_loss"))
    assert stopped_at == stopped
    assert callback.best_epoch == best
    if stopped:
        assert f"(epoch {best})" in str(trainer.state.stopped)
        assert f"{figures[best - 1]:.4f}" in str(trainer.state.stopped)
    callback.on_end(trainer)
    np.testing.assert_array_equal(trainer.model.store.values.flat, best)


def test_without_restore_best_the_last_weights_stay() -> None:
    callback = EarlyStopping(patience=2, restore_best=False)
    trainer, _ = _hear(callback, [1, 2, 3])
    callback.on_end(trainer)
    np.testing.assert_array_equal(trainer.model.store.values.flat, 3)


def test_an_interrupted_run_keeps_the_weights_it_will_go_on_from() -> None:
    callback = EarlyStopping(patience=5)
    trainer, _ = _hear(callback, [1, 2, 3])
    trainer.stop("interrupted")
    callback.on_end(trainer)
    np.testing.assert_array_equal(trainer.model.store.values.flat, 3)


def test_early_stopping_ends_a_real_run_and_restores_the_running_statistics_too() -> None:
    model = Sequential([L.BatchNorm(), L.Dense(3)], (2,), backend="numpy")
    trainer = Trainer(model, _blobs(), validation=_blobs(20, 1), epochs=50, optimizer=SGD(learning_rate=0.0))
    kept: list[Array] = []

    class Keep(Callback):
        def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
            kept.append(_weights(trainer.model))

    stopping = EarlyStopping(patience=3, min_delta=1e9)  # nothing after the first can improve by so much
    trainer.run([stopping, Keep()])
    assert len(trainer.state.history) == 4
    np.testing.assert_array_equal(_weights(model), kept[0])
    assert (kept[0] != kept[-1]).any()  # the running statistics had moved on


@pytest.mark.parametrize(
    ("settings", "figures", "scale"),
    [
        ({"patience": 2, "factor": 0.5}, [3, 2, 1], 1),
        ({"patience": 2, "factor": 0.5}, [3, 3], 1),
        ({"patience": 2, "factor": 0.5}, [3, 3, 3], 0.5),
        ({"patience": 2, "factor": 0.5}, [3, 3, 3, 3], 0.5),
        ({"patience": 2, "factor": 0.5}, [3, 3, 3, 3, 3], 0.25),
        ({"patience": 1, "factor": 0.1, "min_scale": 0.05}, [3, 3, 3, 3], 0.05),
        ({"patience": 1, "factor": 0.1, "min_delta": 1.0}, [3, 2.5], 0.1),
        ({"patience": 1, "factor": 0.1, "monitor": "accuracy"}, [0.5, 0.6, 0.6], 0.1),
    ],
)
def test_reduce_on_plateau(settings: dict[str, Any], figures: list[float], scale: float) -> None:
    trainer, _ = _hear(ReduceOnPlateau(**settings), figures, settings.get("monitor", "val_loss"))
    assert trainer.state.rate_scale == pytest.approx(scale)
    schedule_and_scale = trainer.optimizer.learning_rate * scale
    assert trainer.learning_rate(0) == pytest.approx(schedule_and_scale)


@pytest.mark.parametrize("make", [EarlyStopping, ReduceOnPlateau])
def test_a_monitor_goes_on_where_it_was_after_a_resume(make: type[Monitor]) -> None:
    first = make(patience=3)
    trainer, _ = _hear(first, [3, 1, 2])
    second = make(patience=3)
    second.restore(json.loads(json.dumps(first.state())), first.arrays())
    assert second.state() == {"best": 1, "best_epoch": 2, "waited": 1}
    second.on_epoch(trainer, EpochEnd({"epoch": 4, "val_loss": 2.0}))
    assert second.waited == 2
    if isinstance(second, EarlyStopping):
        second.on_end(trainer)
        np.testing.assert_array_equal(trainer.model.store.values.flat, 2)


def test_watching_a_figure_that_is_not_there_is_refused_before_the_first_step() -> None:
    trainer = Trainer(_mlp(), _blobs(), epochs=1)
    with pytest.raises(
        ConfigError, match=r"EarlyStopping cannot watch 'val_loss'\n  expected: loss, accuracy\n"
    ):
        trainer.run([EarlyStopping()])
    assert trainer.state.step == 0


# --- the log ------------------------------------------------------------------------------------------------


def test_the_log_has_a_start_steps_epochs_and_an_end(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    trainer = Trainer(_mlp(), _blobs(50), epochs=2, batch_size=10)
    trainer.run([JsonLog(path, {"seed": 7}, every_steps=3)])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["event"], line["step"]) for line in lines] == [
        *[("start", 0), ("step", 3), ("epoch", 5), ("step", 6), ("step", 9), ("epoch", 10), ("end", 10)]
    ]
    assert lines[0]["seed"] == 7
    assert lines[1]["learning_rate"] == pytest.approx(1e-3)
    assert math.isfinite(lines[1]["loss"])
    epochs = [line for line in lines if line["event"] == "epoch"]
    assert epochs == [{"event": "epoch", **record} for record in trainer.state.history]
    assert lines[-1]["stopped"] is None
    assert read_log(path) == lines


def test_a_resume_drops_the_lines_of_work_to_be_done_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    done = [
        {"event": "start", "step": 0},
        {"event": "step", "step": 4},
        {"event": "epoch", "epoch": 1, "step": 5},
        {"event": "step", "step": 8},
    ]
    again = [
        {"event": "step", "step": 9},
        {"event": "epoch", "epoch": 2, "step": 10},
        {"event": "start", "step": 9},
        {"event": "end", "step": 12},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*done, *again]) + '{"event": "ste')
    trainer = Trainer(_mlp(), _blobs())
    trainer.state.step, trainer.state.epoch = 8, 1
    JsonLog(path, {"resumed": True}).on_start(trainer)
    assert read_log(path) == [*done, {"event": "start", "step": 8, "resumed": True}]


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_log(path) == []
    path.write_text('{"event": "start", "step": 0}\n{"event": "step", "st')
    assert read_log(path) == [{"event": "start", "step": 0}]


# --- interruption -------------------------------------------------------------------------------------------


def test_stop_ends_after_the_step_under_way_and_callbacks_hear_the_end() -> None:
    heard: list[tuple[int, str | None]] = []

    class Listen(Callback):
        def on_end(self, trainer: Trainer) -> None:
            heard.append((trainer.state.step, trainer.state.stopped))

    Trainer(_mlp(), _blobs(50), batch_size=10).run([StopAt(7), Listen()])
    assert heard == [(7, "interrupted")]


PROGRAM = """
import sys, time
import numpy as np
from tinynet import Callback, Dense, Sequential, Trainer

class Talk(Callback):
    def on_step(self, trainer, event):
        print("step", event.step, flush=True)
        time.sleep(0.01)
    def on_end(self, trainer):
        print("end", trainer.state.step, trainer.state.stopped, flush=True)
        time.sleep(float(sys.argv[1]))

model = Sequential([Dense(2)], (3,), backend="numpy")
data = np.ones((40, 3), np.float32), np.arange(40) % 2
Trainer(model, data, epochs=10**6, batch_size=10).run([Talk()])
print("left in order", flush=True)
"""


def _start(seconds_at_the_end: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(seconds_at_the_end)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "step 1\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_training_in_order(number: signal.Signals) -> None:
    with _start(0) as process:
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = process.stdout.read(), process.stderr.read()  # `communicate` misses what was read ahead
    assert process.returncode == 0, err
    *_, last_step, end, left = ["step 1", *out.splitlines()]
    assert end == f"end {last_step.removeprefix('step ')} interrupted"
    assert left == "left in order"


def test_a_second_interrupt_ends_at_once() -> None:
    process = _start(60)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("end"):
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err
    assert "left in order" not in out


def test_the_handlers_of_the_caller_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    Trainer(_mlp(), _blobs(), epochs=1).run()
    with pytest.raises(ConfigError):
        Trainer(_mlp(), _blobs(), epochs=1).run([EarlyStopping()])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_training_works_in_a_thread() -> None:
    trainer = Trainer(_mlp(), _blobs(), epochs=1)
    thread = threading.Thread(target=trainer.run)
    thread.start()
    thread.join()
    assert len(trainer.state.history) == 1


# --- it learns ----------------------------------------------------------------------------------------------


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
    trainer = Trainer(_mlp(), _blobs(), optimizer=SGD(0.1), schedule=Step(every=1.0, factor=0.5), epochs=3)
    np.testing.assert_allclose([record["learning_rate"] for record in trainer.run()], [0.1, 0.05, 0.025])


def test_listeners_take_paths_as_texts_and_need_no_more(tmp_path: Path) -> None:
    """As a script writes them; and training goes on from the last checkpoint."""

    def trainer(epochs: int) -> Trainer:
        return Trainer(_mlp(), _blobs(), validation=_blobs(), epochs=epochs)

    whole, first, rest = trainer(3), trainer(2), trainer(3)
    whole.run([BestCheckpoint(path=f"{tmp_path}/best"), JsonLog(f"{tmp_path}/log")])
    first.run([LastCheckpoint(f"{tmp_path}/last")])
    load_training(f"{tmp_path}/last", rest)
    rest.run()
    assert weights_sha256(rest.model) == weights_sha256(whole.model)
    assert [line["event"] for line in read_log(tmp_path / "log")][-2:] == ["epoch", "end"]
    assert load_model(f"{tmp_path}/best").model.config() == whole.model.config()
