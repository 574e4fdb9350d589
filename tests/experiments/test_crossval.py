"""Cross-validation: folds that are fair, models that have not seen their fold, a report that adds up."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinynet.data import Dataset, Split, load
from tinynet.errors import RunError
from tinynet.experiments import crossval
from tinynet.runs import recipe
from tinynet.runs.run import Run
from tinynet.runs.settings import Settings, read_settings
from tinynet.training import Callback, StepEnd, Trainer

LAYERS = [{"type": "Rescale"}, {"type": "Flatten"}, {"type": "Dense", "units": 10}]
TRAINING = {"epochs": 3, "validation": 0.25, "optimizer": {"type": "Adam", "learning_rate": 0.01}}
PLAN = recipe.from_table({"layers": LAYERS, "training": TRAINING})


@pytest.fixture(scope="module")
def digits() -> Dataset:
    data = load("sample")
    return dataclasses.replace(data, train=Split(data.train.images[:400], data.train.labels[:400]))


def settings(digits: Dataset, plan: recipe.Recipe = PLAN, seed: int = 0) -> Settings:
    return Settings(
        name="mine",
        recipe=plan,
        dataset=digits.name,
        data_dir=None,
        data_sha256=digits.sha256,
        seed=seed,
        backend="numpy",
        dtype="float32",
        command="tinynet crossval",
    )


@pytest.fixture
def run(digits: Dataset, tmp_path: Path) -> Callable[..., list[crossval.Fold]]:
    """Cross-validate in a folder, a new one unless it is named."""
    number = itertools.count()

    def cross_validate(folds: int = 4, into: str = "", **options: Any) -> list[crossval.Fold]:
        listen = options.pop("listen", lambda number: Callback())
        folder = tmp_path / (into or str(next(number)))
        return list(crossval.run(folder, digits, folds, settings(digits, **options), listen=listen))

    return cross_validate


def test_each_image_is_judged_once_by_a_model_that_did_not_see_it(
    run: Any, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[bytes]] = []
    start = Trainer.run

    def spy(trainer: Trainer, callbacks: Any = ()) -> Any:
        assert trainer.validation is not None
        images = [*trainer.train.inputs, *trainer.validation.inputs]
        seen.append({image.tobytes() for image in images})
        return start(trainer, callbacks)

    monkeypatch.setattr(Trainer, "run", spy)
    results = run()
    judged = np.concatenate([fold.indices for fold in results])
    assert sorted(judged.tolist()) == list(range(400))
    for fold, images in zip(results, seen, strict=True):
        assert (fold.trained_on, fold.validated_by) == (225, 75)
        assert len(images) == 300
        assert not images & {digits.train.images[i].tobytes() for i in fold.indices}


def test_what_the_model_says_of_an_image_stands_at_that_image(run: Any, digits: Dataset) -> None:
    for fold in run(2):
        assert np.mean(fold.predicted == digits.train.labels[fold.indices]) > 0.5


def test_the_same_seed_gives_the_same_figures(run: Any) -> None:
    one, same, other = (run(2, seed=seed) for seed in (0, 0, 1))
    losses = [[fold.report["training"]["final_loss"] for fold in results] for results in (one, same, other)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_early_stopping_goes_by_validation_images_not_by_the_fold(run: Any) -> None:
    stopping = {**TRAINING, "epochs": 50, "early_stopping": {"patience": 1, "min_delta": 10.0}}
    results = run(2, plan=recipe.from_table({"layers": LAYERS, "training": stopping}))
    assert [len(fold.report["history"]) for fold in results] == [2, 2]
    assert all("no better val_loss" in fold.report["facts"]["stopped"] for fold in results)


class Interrupt(Callback):
    """Ctrl-C, twice within an epoch of the second fold."""

    def __init__(self, number: int) -> None:
        self.number = number

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        if self.number == 2 and event.step in (6, 9):
            trainer.stop("interrupted")


def test_an_interrupted_fold_goes_on_and_finished_ones_are_kept(run: Any, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(3, "stopped", listen=Interrupt)
    first = (tmp_path / "stopped" / "fold-1" / "log.jsonl").read_bytes()
    steps: dict[int, list[int]] = {}

    class Count(Callback):
        def __init__(self, number: int) -> None:
            self.steps = steps.setdefault(number, [])

        def on_step(self, trainer: Trainer, event: StepEnd) -> None:
            self.steps.append(event.step)

    resumed, whole = run(3, "stopped", listen=Count), run(3, "whole")
    assert (steps[2], 1 in steps) == ([10, 11, 12], False)
    assert (tmp_path / "stopped" / "fold-1" / "log.jsonl").read_bytes() == first
    for one, other in zip(resumed, whole, strict=True):
        assert np.array_equal(one.predicted, other.predicted)
        assert np.array_equal(one.confidence, other.confidence)
        assert one.report["facts"]["weights_sha256"] == other.report["facts"]["weights_sha256"]
        assert crossval.figures(one) | {"seconds": 0} == crossval.figures(other) | {"seconds": 0}
    assert run(3, "stopped", listen=Interrupt)[2].report == resumed[2].report


@pytest.mark.parametrize(
    ("folds", "changed", "different"),
    [
        (3, {}, r"data_sha256 \w+, fold.1 3\n  received: data_sha256 \w+, fold.1 2\n"),
        (2, {"seed": 1}, r"data_sha256 \w+, seed 1\n  received: data_sha256 \w+, seed 0\n"),
        (2, {"epochs": 9}, r"recipe\.training\.epochs 9\n  received: recipe\.training\.epochs 3\n"),
    ],
)
def test_folds_of_other_settings_are_not_taken_for_ours(
    run: Any, folds: int, changed: dict[str, Any], different: str
) -> None:
    run(2, "mine")
    if "epochs" in changed:
        changed = {"plan": PLAN.with_epochs(changed["epochs"])}
    with pytest.raises(RunError, match=f"other settings\n  expected: {different}"):
        run(folds, "mine", **changed)


def test_a_fold_is_no_run_on_the_whole_data_set(run: Any, digits: Dataset, tmp_path: Path) -> None:
    """To resume it as one would train on images that it is judged by."""
    run(2, "mine")
    fold = read_settings(tmp_path / "mine" / "fold-1")
    assert (fold.dataset, fold.fold) == ("sample", (1, 2))
    with pytest.raises(RunError, match="is not the one the run mine was trained on"):
        Run.resume(tmp_path / "mine" / "fold-1", fold, digits)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    crossval.check_folder(tmp_path / "new")
    crossval.check_folder(tmp_path)
    (tmp_path / "notes.txt").touch()
    for folder in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(RunError, match=r"is not empty|Not a directory"):
            crossval.check_folder(folder)


def test_the_report_adds_up(run: Any, digits: Dataset, tmp_path: Path) -> None:
    results = run()
    facts = {"command": "tinynet crossval", "dataset": "sample", "notice": "only\na sample", "seed": 0}
    names = [str(digit) for digit in range(10)]
    report = crossval.write_report(tmp_path / "out", "mine", PLAN, digits.train, names, results, facts)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    accuracies = [fold["accuracy"] for fold in report["folds"]]
    assert report["mean"] == statistics.fmean(accuracies)
    assert report["deviation"] == statistics.stdev(accuracies)
    assert report["all"]["errors"] == sum(fold["errors"] for fold in report["folds"])
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").read_text().splitlines()))
    assert [int(row["index"]) for row in rows] == list(range(400))
    assert [int(row["label"]) for row in rows] == digits.train.labels.tolist()
    assert sum(row["label"] != row["predicted"] for row in rows) == report["all"]["errors"]
    for fold in report["folds"]:
        of_fold = [row for row in rows if int(row["fold"]) == fold["fold"]]
        assert sum(row["label"] != row["predicted"] for row in of_fold) == fold["errors"]
    text = (tmp_path / "out" / "report.md").read_text()
    assert f"# mine: {crossval.summary(report)} over 4 folds" in text
    assert "on the others, 225 images, with 75 more for validation" in text
    assert "> **WARNING: only a sample**" in text
    assert "Test images were not used" in text
    assert (tmp_path / "out" / "confusion-matrix.png").exists()
    assert recipe.load(_toml(text, tmp_path)) == PLAN


def _toml(text: str, folder: Path) -> str:
    (folder / "found.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])
    return str(folder / "found.toml")
