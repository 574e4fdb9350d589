"""Objects that go from one training to the next, and what a training says of what it was given."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinynet import layers as L
from tinynet.callbacks import BestCheckpoint, EarlyStopping, JsonLog, Monitor, ReduceOnPlateau
from tinynet.callbacks.log import read_log
from tinynet.checkpoint import load_model, weights_sha256
from tinynet.errors import ConfigError, DataError, DTypeError, ShapeError, TinynetError, TinynetWarning
from tinynet.interrupt import Interrupted
from tinynet.losses import CrossEntropy, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.optim import SGD, Adam, AdamW
from tinynet.rng import Key, normal
from tinynet.training import Callback, EpochEnd, StepEnd, Trainer
from tinynet.types import Array

Samples = tuple[Array, Array]


def _data(samples: int = 20) -> Samples:
    return normal(Key(1, 0), (samples, 2)).astype(np.float32), np.arange(samples) % 3


def _net(seed: int = 0) -> Sequential:
    return Sequential([L.Dense(4), L.ReLU(), L.Dense(3)], (2,), backend="numpy", seed=seed)


def _trainer(seed: int = 0, **settings: Any) -> Trainer:
    return Trainer(_net(seed), _data(), **{"epochs": 3, "batch_size": 5, **settings})


class Call(Callback):
    """Calls `what` after step number `step`."""

    def __init__(self, step: int, what: Callable[[Trainer], object]) -> None:
        self.step, self.what = step, what

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        if event.step == self.step:
            self.what(trainer)


# --- callbacks in two runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [EarlyStopping, ReduceOnPlateau])
def test_a_monitor_judges_each_run_by_itself(make: Callable[..., Monitor]) -> None:
    used = make(monitor="loss", patience=1)
    used.on_epoch(_trainer(), EpochEnd({"epoch": 1, "loss": -1.0}))  # which no run will be better than
    expected = _trainer(1, optimizer=SGD(0.1))
    expected.run([make(monitor="loss", patience=1)])
    again = _trainer(1, optimizer=SGD(0.1))
    again.run([used])
    assert used.best > 0
    assert again.state.epoch == expected.state.epoch == 3
    assert again.state.rate_scale == expected.state.rate_scale == 1
    assert weights_sha256(again.model) == weights_sha256(expected.model)


def test_a_monitor_goes_on_with_the_trainer_it_knows() -> None:
    stopping = EarlyStopping(monitor="loss")
    trainer = _trainer()
    trainer.run([stopping, Call(6, lambda trainer: trainer.stop("interrupted"))])
    best = stopping.best
    stopping.on_start(trainer)
    assert stopping.best == best < np.inf


def test_files_are_of_the_last_run(tmp_path: Path) -> None:
    log = JsonLog(tmp_path / "log")
    best = BestCheckpoint(path=tmp_path / "best", monitor="loss")
    for seed in (0, 1):
        trainer = _trainer(seed)
        trainer.run([log, best])
    assert [line["event"] for line in read_log(tmp_path / "log")].count("start") == 1
    assert load_model(tmp_path / "best", backend="numpy").model.seed == 1


# --- an optimiser or a loss of two trainers -----------------------------------------------------------------


@pytest.mark.parametrize("part", ["optimizer", "loss"])
def test_of_two_trainers_with_one_part_the_first_refuses(part: str) -> None:
    shared = {"optimizer": AdamW(), "loss": SoftmaxCrossEntropy()}[part]
    first, second = (_trainer(seed, **{part: shared}) for seed in (0, 1))
    before = weights_sha256(first.model)
    with pytest.raises(
        ConfigError, match=r"another Trainer has been given the \w+ of this one\n(.*\n)*  fix: make"
    ):
        first.run()
    assert weights_sha256(first.model) == before
    second.run()
    alone = _trainer(1, **{part: type(shared)()})
    alone.run()
    assert weights_sha256(second.model) == weights_sha256(alone.model)


def test_an_optimiser_goes_from_a_training_that_is_done_to_the_next() -> None:
    optimizer, hashes = Adam(), []
    for _ in range(2):
        trainer = _trainer(optimizer=optimizer)
        trainer.run()
        hashes.append(weights_sha256(trainer.model))
    assert hashes[0] == hashes[1]


# --- run, and run again -------------------------------------------------------------------------------------


def test_run_goes_on_after_an_interruption() -> None:
    whole, trainer = _trainer(), _trainer()
    whole.run()
    trainer.run([Call(5, lambda trainer: trainer.stop("interrupted"))])
    assert (trainer.state.step, trainer.state.stopped) == (5, "interrupted")
    trainer.run()
    assert (trainer.state.step, trainer.state.stopped) == (12, None)
    assert weights_sha256(trainer.model) == weights_sha256(whole.model)


def test_a_training_that_is_over_says_so() -> None:
    trainer = _trainer()
    trainer.run()
    for begin in (trainer.run, lambda: list(trainer.events())):
        with pytest.raises(
            ConfigError, match=r"is over\n.*\n  received: all of 3 epochs done\n.*raise its `epochs`"
        ):
            begin()
    trainer.epochs = 5
    assert len(trainer.run()) == 5


def test_a_training_that_was_stopped_says_why() -> None:
    trainer = _trainer()
    trainer.run([Call(5, lambda trainer: trainer.stop("enough"))])
    with pytest.raises(ConfigError, match=r"received: enough\n.* and set `state.stopped` to None"):
        trainer.run()
    trainer.state.stopped = None
    assert len(trainer.run()) == 3


def test_what_is_no_list_of_callbacks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"is no callback\n  expected: a list of them"):
        _trainer().run([EarlyStopping])  # type: ignore[list-item]


# --- signals ------------------------------------------------------------------------------------------------


@pytest.fixture
def hears_signals() -> Any:
    """Python's own handler for Ctrl-C: whoever started the tests may have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hears_signals")
def test_ctrl_c_ends_a_loop_over_seeds_after_the_callbacks_have_saved(tmp_path: Path) -> None:
    trainers, done = [_trainer(seed) for seed in range(3)], []

    def loop() -> None:
        for trainer in trainers:
            interrupt = Call(5, lambda trainer: os.kill(os.getpid(), signal.SIGINT))
            trainer.run([interrupt, JsonLog(tmp_path / "log")])
            done.append(trainer)

    with pytest.raises(KeyboardInterrupt) as caught:
        loop()
    assert caught.type is Interrupted
    assert done == []
    assert read_log(tmp_path / "log")[-1] == {"event": "end", "step": 5, "stopped": "interrupted"}
    trainers[0].run()
    assert trainers[0].state.step == 12


def test_a_handler_that_python_does_not_know_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    set_anew = []
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: set_anew.append(handler))
    assert len(_trainer().run()) == 3
    assert set_anew == []


# --- the lock -----------------------------------------------------------------------------------------------


def test_nobody_predicts_by_weights_that_are_being_exchanged() -> None:
    trainer = _trainer(ema_decay=0.9)
    next(trainer.events())
    x, _ = _data()
    before, during = trainer.model.predict(x), []
    thread = threading.Thread(target=lambda: during.append(trainer.model.predict(x)))
    with trainer.averaged():
        trainer.model.store.values.flat[...] = 0
        thread.start()
        time.sleep(0.05)
        assert thread.is_alive()
    thread.join()
    np.testing.assert_array_equal(during[0], before)


# --- data ---------------------------------------------------------------------------------------------------

X, LABELS = _data(4)


@pytest.mark.parametrize(
    ("train", "error", "says"),
    [
        ((X, LABELS, LABELS), DataError, r"`train` is a pair of arrays\n.*\n  received: tuple of 3"),
        (X, DataError, "received: ndarray"),
        ((np.float32(1), LABELS), TinynetError, "samples"),
        ((np.array(1.0), LABELS), ShapeError, "these samples are a single number"),
        ((X, np.array(1)), ShapeError, "these targets are a single number"),
        ((X.astype(object), LABELS), DTypeError, "real numbers"),
        ((X.astype(complex), LABELS), DTypeError, "real numbers"),
        ((X, LABELS.astype(object)), DTypeError, "real numbers"),
        (
            (np.ma.masked_less(X, 0), LABELS),
            DataError,
            r"these samples have a mask.*\n(.*\n)*  fix: .*filled",
        ),
        ((X, np.ma.masked_equal(LABELS, 0)), DataError, "these targets have a mask"),
        (("abcd", LABELS), DataError, "samples are no numbers"),
        (([[1.0], [1.0, 2.0]], LABELS), DataError, "samples are no array of numbers"),
    ],
)
def test_what_is_no_data_is_refused(train: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Trainer(_net(), train)
    if error is not DataError:
        with pytest.raises(TinynetError):
            Trainer(_net(), _data(), validation=train)


def test_predict_refuses_masks_and_single_numbers() -> None:
    with pytest.raises(DataError, match="mask"):
        _net().predict(np.ma.masked_less(X, 0))
    with pytest.raises(ShapeError, match="single number"):
        _net().predict(np.array(1.0))


def test_objects_are_no_targets() -> None:
    with pytest.raises(DTypeError, match="targets are real numbers"):
        Trainer(_net(), (X, np.zeros((4, 3), object)), loss=MeanSquaredError())


# --- what hardly was meant ----------------------------------------------------------------------------------


def test_softmax_twice_is_said() -> None:
    model = Sequential([L.Dense(3), L.Softmax()], (2,), backend="numpy")
    with pytest.warns(
        TinynetWarning, match=r"applies softmax, and so does the model.*\n  fix: leave Softmax out"
    ):
        Trainer(model, _data())


@pytest.mark.parametrize("last", [L.Dense(3), L.Tanh(), L.BatchNorm(), L.Dropout(0.1)], ids=repr)
def test_scores_that_may_be_negative_are_said(last: L.Layer) -> None:
    model = Sequential([L.Dense(3), last], (2,), backend="numpy")
    with pytest.warns(TinynetWarning, match=r"takes positive scores.*\n  fix: use SoftmaxCrossEntropy"):
        Trainer(model, _data(), loss=CrossEntropy())


@pytest.mark.parametrize("last", [L.Softmax(), L.Sigmoid(), L.ReLU()], ids=repr)
def test_positive_scores_are_nothing_to_speak_of(last: L.Layer) -> None:
    model = Sequential([L.Dense(3), last], (2,), backend="numpy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Trainer(model, _data(), loss=CrossEntropy())


def test_a_last_batch_of_one_sample_is_said_and_spoils_no_statistics() -> None:
    def train(samples: int) -> Array:
        layer = L.BatchNorm()
        model = Sequential([layer, L.Dense(3)], (2,), backend="numpy")
        x, labels = _data(21)
        trainer = Trainer(model, (x[:samples], labels[:samples]), epochs=1, batch_size=5)
        before = None
        for event in trainer.events():
            if isinstance(event, StepEnd) and event.step == 4:
                before = layer.state.variance.copy()
        return np.array([before, layer.state.variance])

    with pytest.warns(
        TinynetWarning, match=r"single sample, and BatchNorm 'batchnorm_1'.*\n  fix: another batch_size"
    ):
        variances = train(21)
    np.testing.assert_array_equal(*variances)
    train(20)


def test_batches_of_one_sample_cannot_be_normalised() -> None:
    model = Sequential([L.BatchNorm(), L.Dense(3)], (2,), backend="numpy")
    with pytest.raises(ConfigError, match=r"one sample at a time.*\n  expected: batch_size of at least 2"):
        Trainer(model, _data(), batch_size=1)
    images = Sequential([L.BatchNorm(), L.Flatten(), L.Dense(3)], (2, 2, 1), backend="numpy")
    Trainer(images, (np.zeros((3, 2, 2, 1), np.float32), np.arange(3)), batch_size=1)


def test_the_command_line_prints_warnings_plainly(tmp_path: Path) -> None:
    recipe = tmp_path / "twice.toml"
    recipe.write_text(
        'layers = [{ type = "Rescale" }, { type = "Flatten" },'
        ' { type = "Dense", units = 10 }, { type = "Softmax" }]\n'
        "[training]\nepochs = 1\nsamples = 200\n"
    )
    command = [
        sys.executable,
        "-m",
        "tinynet",
        "train",
        str(recipe),
        "--dataset",
        "sample",
        "--backend",
        "numpy",
    ]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Warning: the loss SoftmaxCrossEntropy applies softmax")
    assert "TinynetWarning" not in done.stderr


@pytest.mark.parametrize(
    ("name", "other"),
    [("model", _net(1)), ("loss", MeanSquaredError()), ("optimizer", SGD())],
    ids=lambda x: type(x).__name__,
)
def test_the_parts_of_a_trainer_stay(name: str, other: object) -> None:
    trainer = _trainer()
    with pytest.raises(ConfigError, match=f"the {name} of a Trainer cannot be exchanged"):
        setattr(trainer, name, other)
