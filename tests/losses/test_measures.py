"""The errors of values and accuracy that a training says, against scikit-learn and tinynet.metrics."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import blobs
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from tinynet import checkpoint, metrics
from tinynet.callbacks import EarlyStopping
from tinynet.cli.progress import TrainingProgress
from tinynet.cli.screen import console
from tinynet.errors import CheckpointError, ConfigError, DataError
from tinynet.layers import BatchNorm, Dense
from tinynet.losses import BinaryCrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.losses.measures import Accuracy, Errors
from tinynet.model import Sequential
from tinynet.optim import SGD
from tinynet.plots import learning_curve
from tinynet.training import StepEnd, Trainer


def values(outputs: int = 2, samples: int = 60) -> tuple[np.ndarray, np.ndarray]:
    x, _ = blobs(samples)
    return x, (x @ np.array([[2.0, -1.0], [0.5, 3.0]]) + 100.0)[:, :outputs]


def net(backend: str = "numpy", outputs: int = 2) -> Sequential:
    return Sequential([Dense(outputs)], (2,), backend=backend, dtype="float64", seed=1)


def trainer(**settings: Any) -> Trainer:
    chosen = {"loss": MeanSquaredError(), "optimizer": SGD(0.05), "epochs": 2, "batch_size": 16, **settings}
    return Trainer(chosen.pop("model", None) or net(), chosen.pop("train", values()), **chosen)


@pytest.mark.parametrize("outputs", [1, 2])
def test_evaluation_is_scikit_learns(outputs: int, backend: str) -> None:
    x, y = values(outputs)
    model = net(backend, outputs)
    found, predicted = model.evaluate(x, y), model.predict(x)
    assert found["mae"] == pytest.approx(mean_absolute_error(y, predicted))
    assert found["rmse"] == pytest.approx(root_mean_squared_error(y, predicted))
    assert found["r2"] == model.score(x, y) == pytest.approx(r2_score(y, predicted))
    assert found["loss"] == pytest.approx(((y - predicted) ** 2).mean())


def test_an_epochs_figures_are_of_each_sample_before_its_own_update(backend: str) -> None:
    x, y = values(1)
    run = trainer(model=net(backend, 1), train=(x, y), validation=(x, y), epochs=1)
    events = run.events()
    order = [run.model.backend.to_host(t).copy() for _, t in run.train.epoch(run.model.seed, 0)]
    seen: list[np.ndarray] = []
    weights = run.model.store.values.flat.copy()
    batches = [run.model.backend.to_host(each).copy() for each, _ in run.train.epoch(run.model.seed, 0)]
    for batch, event in zip(batches, events, strict=False):
        assert isinstance(event, StepEnd)
        host = run.model.backend.to_host(weights)
        views = run.model.store.values.split(host)
        seen.append(batch @ views["dense_1.W"] + views["dense_1.b"])
        weights = run.model.store.values.flat.copy()
    next(events)
    found, predicted = run.state.history[0], np.concatenate(seen)
    targets = np.concatenate(order)
    assert found["mae"] == pytest.approx(mean_absolute_error(targets, predicted))
    assert found["rmse"] == pytest.approx(root_mean_squared_error(targets, predicted))
    assert found["r2"] == pytest.approx(r2_score(targets, predicted))
    assert found["val_r2"] == pytest.approx(r2_score(y, run.model.predict(x)))


def test_targets_all_alike_and_a_single_one() -> None:
    x, _ = values()
    model = net(outputs=1)
    assert model.score(x, np.full(60, 3.0)) == 0
    model.store.values.flat[...] = 0
    assert model.score(x, np.zeros(60)) == 1
    with pytest.raises(DataError, match="one value has no R²"):
        model.score(x[:1], np.array([1.0]))
    assert model.fit(x[:1], np.array([1.0]), epochs=1)[0].keys() >= {"mae", "rmse"}


def test_equal_targets_have_an_r2_of_0(backend: str) -> None:
    x, _ = values()
    for number in (3, 60):  # 0.1 is rounded, and so is its mean
        assert net(backend, 1).score(x[:number], np.full(number, 0.1)) == 0
        assert metrics.r2(np.full(number, 0.1), np.zeros(number)) == 0


def test_a_large_mean_does_not_spoil_r2() -> None:
    x, y = values(1)
    model = net(outputs=1)
    model.store.values.views["dense_1.W"][...] = [[2.0], [0.4]]
    model.store.values.views["dense_1.b"][...] = 1e8 + 100
    assert model.score(x, y + 1e8) == pytest.approx(r2_score(y + 1e8, model.predict(x)), rel=1e-6)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (MeanSquaredError(), values()[1]),
        (BinaryCrossEntropy(), (values()[1] > 100) * 1.0),  # where one of two is right, ½ is added
        (SoftmaxCrossEntropy(), blobs(60)[1] % 2),
    ],
)
def test_resumed_in_the_middle_of_an_epoch_it_says_the_same(
    loss: Loss, targets: np.ndarray, tmp_path: Path, backend: str
) -> None:
    def started() -> Trainer:
        return trainer(model=net(backend), train=(values()[0], targets), loss=copy(loss))

    whole = started()
    whole.run()
    first = started()
    for event in first.events():
        if isinstance(event, StepEnd) and event.step == 6:
            break
    checkpoint.save_training(tmp_path / "last.safetensors", first, [], {})
    again = started()
    checkpoint.load_training(tmp_path / "last.safetensors", again)
    again.run()
    for name in whole.measure.names:
        assert [row[name] for row in again.state.history] == [row[name] for row in whole.state.history]


def test_sums_of_other_values_are_refused(tmp_path: Path, backend: str) -> None:
    run = trainer(model=net(backend))
    run.run()
    checkpoint.save_training(tmp_path / "last.safetensors", run, [], {})
    other = trainer(model=net(backend, 1), train=values(1))
    with pytest.raises(CheckpointError):
        checkpoint.load_training(tmp_path / "last.safetensors", other)


def test_callbacks_watch_them() -> None:
    x, y = values()
    run = trainer(validation=(x, y), epochs=200)
    run.run([EarlyStopping(monitor="val_r2", patience=3, min_delta=1e-3)])
    assert run.state.stopped
    assert run.state.history[-1]["val_r2"] > 0.9
    with pytest.raises(ConfigError, match=r"cannot watch 'accuracy'(.|\n)*loss, mae, rmse, r2, val_loss"):
        EarlyStopping(monitor="accuracy").check(run)


def test_they_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "width", 200)
    run = trainer(validation=values())
    run.run([TrainingProgress()])
    record = run.state.history[0]
    line = next(line for line in capsys.readouterr().out.splitlines() if "epoch 1/2  loss" in line)
    for part in (
        f"MAE {record['mae']:.4g}, RMSE {record['rmse']:.4g}, R² {record['r2']:.4g}, validation",
        f"R² {record['val_r2']:.4g}, ",
    ):
        assert part in line
    learning_curve(run.state.history, tmp_path / "curve.svg")
    assert "R²" in (tmp_path / "curve.svg").read_text("utf-8")


def test_what_is_measured_follows_the_loss_and_its_targets() -> None:
    assert isinstance(trainer().measure, Errors)
    x, y = blobs(20)
    assert isinstance(Trainer(net(outputs=3), (x, y)).measure, Accuracy)
    assert trainer(model=Sequential([Dense(2), BatchNorm()], (2,), backend="numpy")).measure.names == (
        "mae",
        "rmse",
        "r2",
    )
