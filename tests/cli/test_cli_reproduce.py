"""tinynet reproduce: our figures beside a reference system's, and the exit code where a goal is missed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Command

from tinynet.cli.progress import TrainingProgress


def test_a_system_on_the_sample_misses_the_goal_for_mnist(tinynet: Command, tmp_path: Path) -> None:
    asked: tuple[object, ...] = (
        "reproduce",
        "R1",
        "--dataset",
        "sample",
        "--backend",
        "numpy",
        "--seeds",
        "2",
    )
    said = tinynet(*asked, "--recipe", "ours", "--out", tmp_path, code=1)
    assert "linear, our recipe" in said
    assert "92.4 % MISSED" in said
    assert "the goals are those for MNIST" in said
    assert "softmax regression is known at 91.8 to 92.6 %" in said
    found = json.loads((tmp_path / "report.json").read_text())["outcomes"][0]
    each = [
        json.loads((tmp_path / f"linear-ours-{seed}" / "report.json").read_text())["test"]["accuracy"]
        for seed in (0, 1)
    ]
    assert found["accuracies"] == each
    assert found["mean"] == sum(each) / 2


def test_an_unknown_system(tinynet: Command) -> None:
    assert "'R1', 'R2', 'R3', 'R4'" in tinynet("reproduce", "R5", code=2)


def test_ctrl_c_and_on(tinynet: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: tuple[object, ...] = (
        "reproduce",
        "R1",
        "--dataset",
        "sample",
        "--backend",
        "numpy",
        "--seeds",
        "1",
    )
    asked += ("--recipe", "reference", "--out", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_epoch", lambda self, trainer, event: trainer.stop("interrupted"))
        said = tinynet(*asked, code=130)
    assert f"Interrupted and saved in {tmp_path}. The same command continues." in said
    assert not (tmp_path / "report.md").exists()
    tinynet(*asked, code=1)
    run = tmp_path / "linear-reference-0"
    assert len(json.loads((run / "report.json").read_text())["history"]) == 20
    rows = (run / "submission.csv").read_text().splitlines()[1:]
    predicted = [line.split(",")[2] for line in (run / "predictions.csv").read_text().splitlines()[1:]]
    assert rows == [f"{i},{label}" for i, label in enumerate(predicted, 1)]


def test_options_that_mean_nothing_for_the_classical_models(tinynet: Command) -> None:
    for option in (("--seeds", 2), ("--recipe", "ours")):
        assert "for nets alone" in tinynet("reproduce", "R4", *option, code=2)
