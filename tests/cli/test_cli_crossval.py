"""tinynet crossval: folds on the sample, and what is said when something is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Command

from tinynet.cli.progress import TrainingProgress
from tinynet.data import load, write_csv
from tinynet.training import StepEnd, Trainer


@pytest.fixture
def crossval(tinynet: Command, tiny: Path, tmp_path: Path) -> Command:
    def run(*arguments: object, architecture: Path = tiny, code: int = 0) -> str:
        common = (architecture, "--dataset", "sample", "--backend", "numpy", "--out", tmp_path / "folds")
        return tinynet("crossval", *common, *arguments, code=code)

    return run


def test_folds_without_a_look_at_the_test_images(
    crossval: Command, tmp_path: Path, no_test_images: None
) -> None:
    said = crossval("--folds", 3, "--epochs", 1, "--seed", 4)
    report = json.loads((tmp_path / "folds" / "report.json").read_text())
    for part in (
        "tiny: 3 folds of 4,000 training images",
        "fold 1/3",
        "fold 3/3",
        "mean and standard deviation",
    ):
        assert part in said
    assert f"{100 * report['mean']:.2f} ± {100 * report['deviation']:.2f} %" in said
    assert [fold["tested_on"] for fold in report["folds"]] == [1334, 1333, 1333]
    assert [fold["epochs"] for fold in report["folds"]] == [1, 1, 1]
    assert report["facts"]["seed"] == 4
    assert "fold-1 had other settings" in crossval(code=1)


def test_images_that_lie_in_two_folds_are_counted(tinynet: Command, tiny: Path, tmp_path: Path) -> None:
    table, data = tmp_path / "twice.csv", load("sample").train
    write_csv(table, np.repeat(data.images[:800], 2, axis=0), np.repeat(data.labels[:800], 2))
    said = tinynet(
        "crossval", tiny, "--dataset", table, "--folds", 2, "--epochs", 1, "--out", tmp_path / "folds"
    )
    counted = json.loads((tmp_path / "folds" / "report.json").read_text())["leakage"]
    assert counted["trained_on"] > 30
    sentence = f"{counted['trained_on']:,} of these {counted['images']:,} images were in their training data"
    assert sentence in " ".join(said.split())
    assert "in its training data" in (tmp_path / "folds" / "report.md").read_text()


def test_the_poison_works(train: Command, no_test_images: None) -> None:
    with pytest.raises(AssertionError, match="test images"):
        train()


def test_ctrl_c_and_on(crossval: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Any, trainer: Trainer, event: StepEnd) -> None:
        if "fold 2" in self.title:
            trainer.stop("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_epoch", interrupt)
        said = crossval("--folds", 3, code=130)
    assert "Interrupted after 1 of 3 folds; all is kept. Continue with: tinynet" in said
    assert not (tmp_path / "folds" / "report.md").exists()
    said = crossval("--folds", 3)
    assert said.count("fold 1/3") == said.count("fold 3/3") == 1
    report = json.loads((tmp_path / "folds" / "report.json").read_text())
    assert [fold["epochs"] for fold in report["folds"]] == [2, 2, 2]


def test_mistakes(crossval: Command, tmp_path: Path) -> None:
    assert "Invalid value for '--folds'" in crossval("--folds", 1, code=2)
    assert "cut into so many folds" in crossval("--folds", 500, code=1)
    assert "unknown architecture" in crossval(architecture="alexnet", code=1)
    large = tmp_path / "large.toml"
    large.write_text('layers = [ { type = "Flatten" } ]\n[training]\nsamples = 3900')
    assert "too small for this recipe" in crossval(architecture=large, code=1)
    assert not (tmp_path / "folds").exists()
