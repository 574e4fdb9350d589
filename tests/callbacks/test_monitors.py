"""EarlyStopping and ReduceOnPlateau: when they act, and what a resume keeps of them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from nets import blobs, mlp, weights

from tinynet import layers as L
from tinynet.callbacks.monitors import EarlyStopping, ReduceOnPlateau
from tinynet.errors import ConfigError
from tinynet.history import BestBy
from tinynet.model import Sequential
from tinynet.optim import SGD
from tinynet.training import Callback, EpochEnd, Trainer
from tinynet.types import Array


def hear(callback: Callback, figures: list[float], name: str = "val_loss") -> tuple[Trainer, list[int]]:
    """Tell `callback` of epochs with these figures until it stops; weights are the epoch's number."""
    trainer = Trainer(mlp(), blobs())
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
    trainer, stopped_at = hear(callback, figures, settings.get("monitor", "val_loss"))
    assert stopped_at == stopped
    assert callback.best_epoch == best
    if stopped:
        assert f"(epoch {best})" in str(trainer.state.stopped)
        assert f"{figures[best - 1]:.4f}" in str(trainer.state.stopped)
    callback.on_end(trainer)
    np.testing.assert_array_equal(trainer.model.store.values.flat, best)


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
@pytest.mark.parametrize("min_delta", [0.0, 0.05])
def test_all_who_judge_an_epoch_find_the_same_one_best(monitor: str, min_delta: float) -> None:
    figures = np.random.default_rng(5).random(40).round(2)
    records = [{"epoch": epoch, monitor: float(figure)} for epoch, figure in enumerate(figures, 1)]
    callback = EarlyStopping(monitor=monitor, min_delta=min_delta)
    for end, record in enumerate(records, start=1):
        callback.improved(record)
        best = BestBy(monitor, min_delta).best(records[:end])
        assert best is records[callback.best_epoch - 1]


def test_without_restore_best_the_last_weights_stay() -> None:
    callback = EarlyStopping(patience=2, restore_best=False)
    trainer, _ = hear(callback, [1, 2, 3])
    callback.on_end(trainer)
    np.testing.assert_array_equal(trainer.model.store.values.flat, 3)


def test_an_interrupted_run_keeps_the_weights_it_will_go_on_from() -> None:
    callback = EarlyStopping(patience=5)
    trainer, _ = hear(callback, [1, 2, 3])
    trainer.stop("interrupted")
    callback.on_end(trainer)
    np.testing.assert_array_equal(trainer.model.store.values.flat, 3)


def test_early_stopping_ends_a_real_run_and_restores_the_running_statistics_too() -> None:
    model = Sequential([L.BatchNorm(), L.Dense(3)], (2,), backend="numpy")
    trainer = Trainer(model, blobs(), validation=blobs(20, 1), epochs=50, optimizer=SGD(learning_rate=0.0))
    kept: list[Array] = []

    class Keep(Callback):
        def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
            kept.append(weights(trainer.model))

    stopping = EarlyStopping(patience=3, min_delta=1e9)  # nothing after the first can improve by so much
    trainer.run([stopping, Keep()])
    assert len(trainer.state.history) == 4
    np.testing.assert_array_equal(weights(model), kept[0])
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
    trainer, _ = hear(ReduceOnPlateau(**settings), figures, settings.get("monitor", "val_loss"))
    assert trainer.state.rate_scale == pytest.approx(scale)
    schedule_and_scale = trainer.optimizer.learning_rate * scale
    assert trainer.learning_rate(0) == pytest.approx(schedule_and_scale)


@pytest.mark.parametrize("make", [EarlyStopping, ReduceOnPlateau])
def test_a_monitor_goes_on_where_it_was_after_a_resume(make: type[EarlyStopping | ReduceOnPlateau]) -> None:
    first = make(patience=3)
    trainer, _ = hear(first, [3, 1, 2])
    second = make(patience=3)
    second.restore(json.loads(json.dumps(first.state())), first.arrays())
    assert second.state() == {"best": 1, "best_epoch": 2, "waited": 1}
    second.on_epoch(trainer, EpochEnd({"epoch": 4, "val_loss": 2.0}))
    assert second.waited == 2
    if isinstance(second, EarlyStopping):
        second.on_end(trainer)
        np.testing.assert_array_equal(trainer.model.store.values.flat, 2)


def test_watching_a_figure_that_is_not_there_is_refused_before_the_first_step() -> None:
    trainer = Trainer(mlp(), blobs(), epochs=1)
    with pytest.raises(
        ConfigError, match=r"EarlyStopping cannot watch 'val_loss'\n  expected: loss, accuracy\n"
    ):
        trainer.run([EarlyStopping()])
    assert trainer.state.step == 0
