"""HealthLog: figures counted by hand, a training that stays the same, and files that are damaged."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import StopAt, blobs, cnn, counted, images, mlp, weights

from tinynet import layers as L
from tinynet.callbacks.health import FIGURES, HealthLog, read_health
from tinynet.checkpoint import load_training, save_training
from tinynet.errors import ConfigError, RunError, TinynetWarning
from tinynet.interrupt import Interrupted
from tinynet.losses import MeanSquaredError
from tinynet.model import Sequential
from tinynet.optim import SGD
from tinynet.training import Callback, Trainer

LINE = {
    "epoch": 0,
    "step": 0,
    "layer": "dense_1",
    "mean": 0.5,
    "deviation": 1,
    "dead": None,
    "gradient_norm": 2.0,
    "update_ratio": None,
}


def one_step(backend: str, path: Path) -> list[dict[str, Any]]:
    """The lines of a net with weights to count on one's fingers: two samples, one step, rate 0.1."""
    x, t = np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([[0.0], [0.0]])
    trainer = Trainer(
        counted(backend), (x, t), loss=MeanSquaredError(), optimizer=SGD(0.1), epochs=1, batch_size=2
    )
    trainer.run([HealthLog(path)])
    return read_health(path)


def test_figures_by_hand(backend: str, tmp_path: Path) -> None:
    # hidden: [1 2; 3 1] W + b = [3, -1], [4, -4], rectified [3, 0], [4, 0]: the second unit is dead
    # y = 2 · 3 + 1 = 7 and 2 · 4 + 1 = 9;  L = mean y²;  dy = y
    first, second, *later = one_step(backend, tmp_path / "h.jsonl")
    assert (first["epoch"], first["step"], first["layer"]) == (0, 0, "dense_1 + relu_1")
    assert first["mean"] == pytest.approx(7 / 4)
    assert first["deviation"] == pytest.approx(math.sqrt(25 / 4 - (7 / 4) ** 2))
    assert first["dead"] == 0.5
    # dW₁ = xᵀ (2 y, 0) = (14 + 54, 28 + 18, 0, 0), db₁ = (14 + 18, 0)
    assert first["gradient_norm"] == pytest.approx(math.sqrt(68**2 + 46**2 + 32**2))
    assert first["update_ratio"] is None
    assert second["layer"] == "dense_2"
    assert (second["mean"], second["deviation"], second["dead"]) == (8, 1, None)
    # dW₂ = (3 · 7 + 4 · 9, 0), db₂ = 16
    assert second["gradient_norm"] == pytest.approx(math.sqrt(57**2 + 16**2))
    assert [line["epoch"] for line in later] == [1, 1]
    # ‖0.1 · gradient‖ over ‖θ‖ before the step: θ₁ = (1, -1, 1, 1, 0, -2), θ₂ = (2, 5, 1)
    assert later[0]["update_ratio"] == pytest.approx(0.1 * first["gradient_norm"] / math.sqrt(8))
    assert later[1]["update_ratio"] == pytest.approx(0.1 * second["gradient_norm"] / math.sqrt(30))


def test_the_figures_are_the_same_on_every_backend(backend: str, tmp_path: Path) -> None:
    def lines(name: str) -> list[dict[str, Any]]:
        # not Adam: it makes steps of the noise in gradients that are 0, such as of a bias before BatchNorm
        trainer = Trainer(cnn(name), images(), epochs=2, batch_size=8, optimizer=SGD(0.1))
        trainer.run([HealthLog(tmp_path / name)])
        return read_health(tmp_path / name)

    reference = lines("numpy")
    assert [line["layer"] for line in reference[:3]] == [
        "conv2d_1 + batchnorm_1 + relu_1",
        "dense_1 + gelu_1 + dropout_2",
        "dense_2",
    ]
    for ours, theirs in zip(lines(backend), reference, strict=True):
        for name, expected in theirs.items():
            same = expected if isinstance(expected, str | None) else pytest.approx(expected, 2e-3, 1e-5)
            assert ours[name] == same, name


@pytest.mark.parametrize("make", [cnn, mlp])
def test_what_is_learned_stays_the_same(make: Any, backend: str, tmp_path: Path) -> None:
    def learned(callbacks: list[Callback]) -> Any:
        model = make(backend)
        Trainer(model, images() if make is cnn else blobs(), epochs=3, batch_size=8).run(callbacks)
        return weights(model)

    assert (learned([]) == learned([HealthLog(tmp_path / "h.jsonl")])).all()


@pytest.mark.parametrize("step", [2, 4, 5, 6])
def test_a_resumed_training_continues_its_file(step: int, tmp_path: Path) -> None:
    def trainer() -> Trainer:
        return Trainer(mlp(), blobs(50), epochs=3, batch_size=10)

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    trainer().run([HealthLog(whole)])
    first = trainer()
    with pytest.raises(Interrupted):
        first.run([HealthLog(cut), Interrupt(step)])
    save_training(tmp_path / "saved", first, [], {})
    second = trainer()
    load_training(tmp_path / "saved", second)
    second.run([HealthLog(cut)])
    expected = read_health(whole)
    if step == 5:  # the last of epoch 1: nobody knows any more how far it went
        expected = [line | {"update_ratio": None} if line["epoch"] == 1 else line for line in expected]
    assert read_health(cut) == expected


class Interrupt(StopAt):
    """A signal after step number `step`."""

    def on_step(self, trainer: Trainer, event: Any) -> None:
        if event.step == self.step:
            trainer.interrupt.is_set = True


def test_lines_of_work_to_be_done_again_and_damaged_ones_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    lines = [LINE, LINE | {"epoch": 1, "step": 5}, LINE | {"epoch": 2, "step": 10}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + "{\n" + '{"epoch": 2, "st')
    trainer = Trainer(mlp(), blobs(50), batch_size=10)
    trainer.state.step, trainer.state.epoch = 8, 1
    with pytest.warns(TinynetWarning, match=r"h.jsonl: line 4 is damaged, and dropped"):
        HealthLog(path).on_start(trainer)
    assert read_health(path) == lines[:2]


def test_a_new_training_starts_the_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text(json.dumps(LINE | {"layer": "old"}) + "\n")
    HealthLog(path).on_start(Trainer(mlp(), blobs()))
    assert [line["layer"] for line in read_health(path)] == ["dense_1 + relu_1", "dense_2"]


DAMAGED: dict[str, Any] = {
    "a list": [LINE],
    "no layer": {name: value for name, value in LINE.items() if name != "layer"},
    "a layer of markup": LINE | {"layer": "$x$"},
    "a long name": LINE | {"layer": "a" * 201},
    "an epoch below 0": LINE | {"epoch": -1},
    "a step that is no number": LINE | {"step": True},
    **{f"{name} that is text": LINE | {name: "1"} for name in FIGURES},
    "an infinite figure": LINE | {"mean": math.inf},
    "NaN": LINE | {"mean": math.nan},
    "yes for a figure": LINE | {"dead": True},
    "no figure": {name: value for name, value in LINE.items() if name != "dead"},
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_line_is_left_out(line: Any, tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in (LINE, line, LINE)))
    assert read_health(path) == [LINE, LINE]


def test_a_file_that_is_none(tmp_path: Path) -> None:
    assert read_health(tmp_path / "h.jsonl") == []
    (tmp_path / "h.jsonl").mkdir()
    with pytest.raises(RunError, match=r"cannot be read(.|\n)*directory"):
        read_health(tmp_path / "h.jsonl")


def test_frozen_layers_have_no_gradient_and_no_update(tmp_path: Path) -> None:
    layers = [L.Dense(8), L.ReLU(), L.Dense(3)]
    model = Sequential(layers, (2,), backend="numpy", freeze="dense_1")
    Trainer(model, blobs(20), epochs=1, batch_size=10).run([HealthLog(tmp_path / "h.jsonl")])
    *_, frozen, last = read_health(tmp_path / "h.jsonl")
    assert (frozen["gradient_norm"], frozen["update_ratio"]) == (None, None)
    assert frozen["deviation"] > 0
    assert min(last["gradient_norm"], last["update_ratio"]) > 0


def test_a_figure_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    model = counted("numpy")
    model.store.values.views["dense_2.W"][...] = 1e308
    trainer = Trainer(model, (np.array([[9.0, 9.0]]), np.zeros((1, 1))), loss=MeanSquaredError())
    HealthLog(tmp_path / "h.jsonl").on_start(trainer)
    first, second = read_health(tmp_path / "h.jsonl")
    assert first["mean"] == 9
    assert (second["mean"], second["gradient_norm"]) == (None, None)


def test_samples_are_counted_from_one() -> None:
    with pytest.raises(ConfigError, match="samples"):
        HealthLog("h.jsonl", samples=0)
