"""Cross-validation: folds that are fair, models that have not seen their fold, a report that adds up."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinynet import backends, crossval, recipe
from tinynet.callbacks import Callback
from tinynet.data import load
from tinynet.data.datasets import Split
from tinynet.errors import ConfigError
from tinynet.training import EpochEnd, Trainer

LAYERS = [{"type": "Rescale"}, {"type": "Flatten"}, {"type": "Dense", "units": 10}]
TRAINING = {"epochs": 3, "validation": 0.25, "optimizer": {"type": "Adam", "learning_rate": 0.01}}
PLAN = recipe.from_table({"layers": LAYERS, "training": TRAINING})


@pytest.fixture(scope="module")
def digits() -> Split:
    train = load("sample").train
    return Split(train.images[:400], train.labels[:400])


def run(digits: Split, folds: int = 4, plan: recipe.Recipe = PLAN, **options: Any) -> list[crossval.Fold]:
    return list(crossval.run(plan, digits, folds, backend=backends.get("numpy"), **options))


@given(
    counts=st.lists(st.integers(5, 23), min_size=1, max_size=5),
    folds=st.integers(2, 5),
    seed=st.integers(0, 2**64 - 1),
)
def test_folds_are_even_and_so_is_each_class(counts: list[int], folds: int, seed: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    fold = crossval.assign(labels, folds, seed)
    assert np.ptp(np.bincount(fold, minlength=folds)) <= 1
    for label in range(len(counts)):
        assert np.ptp(np.bincount(fold[labels == label], minlength=folds)) <= 1


def test_folds_go_by_the_seed(digits: Split) -> None:
    one, same, other = (crossval.assign(digits.labels, 5, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert 0.5 < np.mean(one != other) < 0.95


@pytest.mark.parametrize("folds", [1, 4])
def test_too_many_folds_or_too_few(folds: int) -> None:
    with pytest.raises(ConfigError, match=r"expected: 2 to 3, the images of class 1\n  received: "):
        crossval.assign(np.array([0] * 9 + [1] * 3), folds, 0)


def test_each_image_is_judged_once_by_a_model_that_did_not_see_it(
    digits: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[bytes]] = []
    start = Trainer.run

    def spy(trainer: Trainer, callbacks: Any = ()) -> Any:
        assert trainer.validation is not None
        images = [*trainer.train.inputs, *trainer.validation.inputs]
        seen.append({image.tobytes() for image in images})
        return start(trainer, callbacks)

    monkeypatch.setattr(Trainer, "run", spy)
    results = run(digits)
    judged = np.concatenate([fold.indices for fold in results])
    assert sorted(judged.tolist()) == list(range(400))
    for fold, images in zip(results, seen, strict=True):
        assert (fold.trained_on, fold.validated_by) == (225, 75)
        assert len(images) == 300
        assert not images & {digits.images[i].tobytes() for i in fold.indices}


def test_what_the_model_says_of_an_image_stands_at_that_image(digits: Split) -> None:
    for fold in run(digits, 2):
        assert np.mean(fold.predictions.classes == digits.labels[fold.indices]) > 0.5


def test_the_same_seed_gives_the_same_figures(digits: Split) -> None:
    one, same, other = (run(digits, seed=seed) for seed in (0, 0, 1))
    losses = [[fold.history[-1]["loss"] for fold in results] for results in (one, same, other)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_early_stopping_goes_by_validation_images_not_by_the_fold(digits: Split) -> None:
    stopping = {**TRAINING, "epochs": 50, "early_stopping": {"patience": 1, "min_delta": 10.0}}
    results = run(digits, 2, recipe.from_table({"layers": LAYERS, "training": stopping}))
    assert [len(fold.history) for fold in results] == [2, 2]
    assert all(fold.stopped and "no better val_loss" in fold.stopped for fold in results)


def test_an_interrupt(digits: Split) -> None:
    class Interrupt(Callback):
        def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
            trainer.stop("interrupted")

    with pytest.raises(KeyboardInterrupt):
        run(digits, listen=lambda number: Interrupt())


def test_the_report_adds_up(digits: Split, tmp_path: Path) -> None:
    results = run(digits)
    facts = {"command": "tinynet crossval", "dataset": "sample", "notice": "only\na sample", "seed": 0}
    names = [str(digit) for digit in range(10)]
    report = crossval.write_report(tmp_path / "out", "mine", PLAN, digits, names, results, facts)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    accuracies = [fold["accuracy"] for fold in report["folds"]]
    assert report["mean"] == statistics.fmean(accuracies)
    assert report["deviation"] == statistics.stdev(accuracies)
    assert report["all"]["errors"] == sum(fold["errors"] for fold in report["folds"])
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").read_text().splitlines()))
    assert [int(row["index"]) for row in rows] == list(range(400))
    assert [int(row["label"]) for row in rows] == digits.labels.tolist()
    assert sum(row["label"] != row["predicted"] for row in rows) == report["all"]["errors"]
    for fold in report["folds"]:
        of_fold = [row for row in rows if int(row["fold"]) == fold["fold"]]
        assert sum(row["label"] != row["predicted"] for row in of_fold) == fold["errors"]
    text = (tmp_path / "out" / "report.md").read_text()
    assert f"# mine: {crossval.summary(report)} over 4 folds" in text
    assert "225 images to learn from, 75 more validate" in text
    assert "> **WARNING: only a sample**" in text
    assert "Test images were not used" in text
    assert (tmp_path / "out" / "confusion-matrix.png").exists()
    assert recipe.load(_toml(text, tmp_path)) == PLAN


def _toml(text: str, folder: Path) -> str:
    (folder / "found.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])
    return str(folder / "found.toml")
