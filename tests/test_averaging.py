"""The moving average of the weights: its recurrence, and who goes by it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinynet import layers as L
from tinynet.averaging import ExponentialMovingAverage
from tinynet.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from tinynet.callbacks.monitors import EarlyStopping
from tinynet.checkpoint import load_model, load_training, weights_sha256
from tinynet.errors import ConfigError
from tinynet.model import Sequential
from tinynet.optim import SGD
from tinynet.rng import Key, uniform
from tinynet.runs import recipe
from tinynet.training import Callback, EpochEnd, StepEnd, Trainer
from tinynet.types import Array

X = uniform(Key(1, 0), (70, 6)).astype("float32")
LABELS = (X.sum(axis=1) > 3).astype(int)


def trainer(
    backend: str, ema_decay: float | None = 0.9, *, epochs: int = 3, dtype: str = "float32"
) -> Trainer:
    layers = [L.Dense(8), L.BatchNorm(), L.ReLU(), L.Dropout(0.3), L.Dense(2)]
    model = Sequential(layers, (6,), backend=backend, dtype=dtype)
    data = (X, LABELS)
    return Trainer(
        model, data, validation=data, optimizer=SGD(0.5), epochs=epochs, batch_size=16, ema_decay=ema_decay
    )


def weights(model: Sequential) -> Array:
    store = model.store
    return np.concatenate([model.backend.to_host(flat) for flat in (store.values.flat, store.state.flat)])


class Watch(Callback):
    """Keeps the weights after each step and each epoch, as they are and averaged."""

    def __init__(self) -> None:
        self.steps: list[Array] = []
        self.epochs: list[Array] = []

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        self.steps.append(weights(trainer.model))

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        with trainer.averaged():
            self.epochs.append(weights(trainer.model))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_the_average_follows_its_recurrence(dtype: str, tolerance: float, backend: str) -> None:
    watch, run = Watch(), trainer(backend, 0.5, dtype=dtype)
    run.run([watch])
    averages, average = [], np.zeros_like(watch.steps[0], dtype=float)
    for t, now in enumerate(watch.steps):
        d = min(0.5, t / (t + 9))
        average = d * average + (1 - d) * now
        averages.append(average)
    for epoch, found in enumerate(watch.epochs, start=1):
        np.testing.assert_allclose(found, averages[5 * epoch - 1], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(weights(run.model), average, rtol=tolerance, atol=tolerance)


def test_the_first_average_is_the_first_weights(backend: str) -> None:
    run = trainer(backend)
    next(run.events())
    expected = weights(run.model)
    with run.averaged():
        np.testing.assert_array_equal(weights(run.model), expected)


def test_training_does_not_notice(backend: str) -> None:
    plain, averaged = Watch(), Watch()
    trainer(backend, None).run([plain])
    trainer(backend).run([averaged])
    np.testing.assert_array_equal(plain.steps, averaged.steps)
    assert not np.array_equal(plain.epochs, averaged.epochs)


def test_validation_goes_by_the_average(backend: str) -> None:
    run = trainer(backend)
    for event in run.events():
        if isinstance(event, EpochEnd):
            assert run.validation is not None
            with run.averaged():
                found = run.evaluate(run.validation)
            assert {f"val_{name}": value for name, value in found.items()}.items() <= event.record.items()
            assert run.evaluate(run.validation) != found


def test_the_best_checkpoint_and_the_model_in_the_end_are_averages(backend: str, tmp_path: Path) -> None:
    best, watch, run = BestCheckpoint(path=tmp_path / "best"), Watch(), trainer(backend)
    run.run([best, watch])
    saved = load_model(tmp_path / "best", backend=backend).model
    np.testing.assert_array_equal(weights(saved), watch.epochs[best.best_epoch - 1])
    np.testing.assert_array_equal(weights(run.model), watch.epochs[-1])


def test_early_stopping_puts_the_best_average_back(backend: str) -> None:
    stop, watch, run = EarlyStopping(patience=2, min_delta=9), Watch(), trainer(backend, epochs=9)
    run.run([stop, watch])
    assert (len(watch.epochs), stop.best_epoch) == (3, 1)
    np.testing.assert_array_equal(weights(run.model), watch.epochs[stop.best_epoch - 1])


class Crash(Callback):
    """Dies after so many steps, as a power cut would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        if event.step == self.step:
            raise SystemExit("crash")


@pytest.mark.parametrize("step", [1, 4, 5, 11, 15])  # an epoch has 5
def test_a_crash_loses_nothing(step: int, backend: str, tmp_path: Path) -> None:
    whole = trainer(backend)
    history = whole.run([EarlyStopping()])
    crashed, stop = trainer(backend), EarlyStopping()
    with pytest.raises(SystemExit):
        crashed.run([stop, LastCheckpoint(tmp_path / "last", [stop], {}, seconds=0), Crash(step)])
    resumed, stop = trainer(backend), EarlyStopping()
    load_training(tmp_path / "last", resumed, [stop])
    again = resumed.run([stop])
    assert weights_sha256(resumed.model) == weights_sha256(whole.model)
    assert [{**r, "seconds": 0} for r in again] == [{**r, "seconds": 0} for r in history]


def test_an_interrupted_run_keeps_its_own_weights_to_go_on_from(backend: str) -> None:
    class Stop(Callback):
        def on_step(self, trainer: Trainer, event: StepEnd) -> None:
            if event.step == 7:
                trainer.stop("interrupted")

    whole, cut = trainer(backend), trainer(backend)
    whole.run()
    cut.run([Stop()])
    cut.state.stopped = None
    cut.run()
    np.testing.assert_array_equal(weights(cut.model), weights(whole.model))


def test_without_a_step_there_is_no_average(backend: str) -> None:
    run = trainer(backend, epochs=0)
    before = weights(run.model)
    run.run()
    np.testing.assert_array_equal(weights(run.model), before)


def test_a_packed_model_shows_the_average_and_then_its_own_weights(backend: str) -> None:
    run = trainer(backend)
    events = run.events()
    for _ in range(4):
        next(events)
    few = X[:1]  # for so few samples kernels read packed weights
    own = run.model.predict(few)
    with run.averaged():
        average = run.model.predict(few)
    assert not np.array_equal(average, own)
    run.model.pack()
    run.model.predict(few)
    with run.averaged():
        np.testing.assert_array_equal(run.model.predict(few), average)
        run.model.pack()
        run.model.predict(few)
    np.testing.assert_array_equal(run.model.predict(few), own)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, float("nan")])
def test_a_decay_out_of_range_is_refused(decay: float) -> None:
    with pytest.raises(ConfigError, match=r"ema_decay\n  expected: .* in \(0, 1\)"):
        ExponentialMovingAverage(Sequential([L.Dense(2)], (2,), backend="numpy"), decay)
    layers: Any = [{"type": "Dense", "units": 2}]
    of_any = r"ema_decay\n  expected: .* in \(0, 1\)"
    wanted = r"'ema_decay'.*\n  expected: a number or nothing" if math.isnan(decay) else of_any
    with pytest.raises(ConfigError, match=wanted):
        recipe.from_table({"layers": layers, "training": {"ema_decay": decay}})
