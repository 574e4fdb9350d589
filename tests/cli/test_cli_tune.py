"""tinynet tune: a search on the sample, alone and by several processes, and what is said about mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import Command

from tinynet import extras
from tinynet.callbacks.log import read_log
from tinynet.cli.progress import TrainingProgress
from tinynet.experiments.tuning import space
from tinynet.layers import Dense
from tinynet.runs import recipe
from tinynet.schedules import Cosine
from tinynet.training import StepEnd, Trainer

SPACE = """[search]
"training.optimizer.learning_rate" = { low = 1e-4, high = 0.1, log = true }
"training.batch_size" = [25, 50]
"""


@pytest.fixture
def common(tiny: Path, tmp_path: Path) -> tuple[object, ...]:
    (tmp_path / "space.toml").write_text(SPACE)
    return (tiny, "--dataset", "sample", "--backend", "numpy", "--space", tmp_path / "space.toml")


@pytest.fixture
def tune(tinynet: Command, common: tuple[object, ...], tmp_path: Path) -> Command:
    def run(*arguments: object, code: int = 0) -> str:
        out = () if "--out" in arguments else ("--out", tmp_path / "found")
        return tinynet("tune", *common, *out, *arguments, code=code)

    return run


def report(folder: Path) -> Any:
    return json.loads((folder / "report.json").read_text())


def test_a_search_without_a_look_at_the_test_images(
    tune: Command, tmp_path: Path, no_test_images: None
) -> None:
    said = tune("--trials", 6)
    found = report(tmp_path / "found")
    assert {path.name for path in (tmp_path / "found").iterdir()} == {
        "history.png",
        "report.json",
        "report.md",
        "settings.png",
        "study.journal",
        "tiny-tuned.toml",
    }
    assert [trial["number"] for trial in found["trials"]] == list(range(6))
    assert found["best"]["accuracy"] == max(
        t["accuracy"] for t in found["trials"] if t["state"] == "complete"
    )
    assert (found["trained_on"], found["validated_by"]) == (400, 100)
    best = found["best"]
    train = f"tinynet train {tmp_path / 'found' / 'tiny-tuned.toml'} --dataset sample"
    for part in (
        "tiny: 6 trials of 2 epochs, 0 of them there already; 400 images to train on, 100 for validation",
        "trial 5 ",
        f"Best: trial {best['number']}, {100 * best['accuracy']:.2f} % of 100 validation images",
        f"try: {train}",
    ):
        assert part in said
    text = (tmp_path / "found" / "report.md").read_text()
    assert f"# Best of 6 trials: {100 * best['accuracy']:.2f} %" in text
    assert "Test images were not used" in text
    assert f"train it with `{train}`" in text
    toml = (tmp_path / "found" / "tiny-tuned.toml").read_text()
    assert "# The epochs are those of each trial; the recipe that was searched has " in toml
    assert f"| {best['number']} | {100 * best['accuracy']:.2f} % |" in text


def test_the_recipe_found_is_what_was_tried(tune: Command, tinynet: Command, tmp_path: Path) -> None:
    tune("--trials", 4, "--seed", 3)
    best, file = report(tmp_path / "found")["best"], tmp_path / "found" / "tiny-tuned.toml"
    plan = recipe.load(str(file)).training
    assert plan.optimizer.learning_rate == best["settings"]["training.optimizer.learning_rate"]
    assert plan.batch_size == best["settings"]["training.batch_size"]
    options = ("--dataset", "sample", "--backend", "numpy", "--seed", 3, "--out", tmp_path / "run")
    tinynet("train", file, *options)
    epochs = [line for line in read_log(tmp_path / "run" / "log.jsonl") if line["event"] == "epoch"]
    assert [epoch["val_accuracy"] for epoch in epochs] == best["epochs"]


def test_the_same_command_repeats_and_goes_on(tune: Command, tmp_path: Path) -> None:
    tune("--trials", 5)
    tune("--trials", 3, "--out", tmp_path / "parts")
    said = tune("--trials", 5, "--out", tmp_path / "parts")
    assert "5 trials of 2 epochs, 3 of them there already" in said
    whole, parts = (
        [(t["settings"], t["epochs"]) for t in report(tmp_path / name)["trials"]]
        for name in ("found", "parts")
    )
    assert whole == parts


def test_ctrl_c_keeps_what_was_found(tune: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Any, trainer: Trainer, event: StepEnd) -> None:
        if self.title.startswith("trial 2"):
            trainer.stop("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_epoch", interrupt)
        said = tune("--trials", 4, code=130)
    assert "Interrupted. The trials so far are kept; the same command continues." in said
    assert [t["number"] for t in report(tmp_path / "found")["trials"]] == [0, 1]
    tune("--trials", 4)
    tune("--trials", 4, "--out", tmp_path / "whole")
    assert [t["number"] for t in report(tmp_path / "found")["trials"]] == [0, 1, 2, 3]
    whole, parts = (
        [(t["number"], t["settings"], t["epochs"]) for t in report(tmp_path / name)["trials"]]
        for name in ("whole", "found")
    )
    assert whole == parts


def test_ctrl_c_before_anything_was_found(
    tune: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        TrainingProgress, "on_epoch", lambda self, trainer, event: trainer.stop("interrupted")
    )
    assert "Interrupted" in tune("--trials", 4, code=130)
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["study.journal"]


def test_all_of_a_grid(tune: Command, tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text('[search]\n"training.batch_size" = [20, 40]\nwidth = [1.0]')
    assert "no layer before the output" in tune("--sampler", "grid", code=1)
    (tmp_path / "space.toml").write_text(
        '[search]\n"training.batch_size" = [20, 40]\n"layers.2.init" = ["zeros", "he_normal", "lecun_normal"]'
    )
    tune("--sampler", "grid", "--pruner", "none")
    tried = [tuple(t["settings"].values()) for t in report(tmp_path / "found")["trials"]]
    assert len(tried) == len(set(tried)) == 6


def test_choices_of_any_kind(tune: Command, tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(
        '[search]\n"training.schedule" = [{ type = "Cosine", warmup = 0.5 }]\n"layers.*.init" = ["zeros"]'
    )
    said = tune("--sampler", "grid")
    assert "schedule Cosine, warmup 0.5, layers.*.init zeros" in said
    plan = recipe.load(str(tmp_path / "found" / "tiny-tuned.toml"))
    assert plan.training.schedule == Cosine(warmup=0.5)
    dense = plan.layers[2]
    assert isinstance(dense, Dense)
    assert dense.init == "zeros"


def test_several_processes_share_a_storage(common: tuple[object, ...], tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from tinynet.cli import main; main()", "tune", *map(str, common)]
    options = ["--trials", "8", "--threads", "1", "--storage", str(tmp_path / "common.journal")]
    workers = [
        subprocess.Popen(
            [*command, *options, "--out", str(tmp_path / name)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for name in "ab"
    ]
    said = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    trials = max((report(tmp_path / name)["trials"] for name in "ab"), key=len)
    assert 8 <= len(trials) <= 9
    assert len({trial["settings"]["training.optimizer.learning_rate"] for trial in trials}) == len(trials)


def test_a_folder_or_a_storage_of_another_search(tune: Command, tmp_path: Path) -> None:
    tune("--trials", 1)
    said = tune("--trials", 1, "--epochs", 3, code=1)
    assert "holds another search: not the same recipe" in said
    said = tune(
        "--epochs", 3, "--storage", tmp_path / "found" / "study.journal", "--out", tmp_path / "b", code=1
    )
    assert "not the same recipe expected: recipe: epochs = 2 received: recipe: epochs = 3 fix:" in said
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "full is not empty" in tune("--out", tmp_path / "full", code=1)
    assert "cannot be used" in tune("--out", tmp_path / "full" / "file", code=1)
    assert "is read, too" in tune("--out", tmp_path / "space.toml", code=2)
    assert len(report(tmp_path / "found")["trials"]) == 1


def test_no_time(tune: Command) -> None:
    assert "no trial was trained to its end yet" in tune("--timeout", 0, code=1)


def test_the_space_that_is_shown_can_be_used(tinynet: Command, tmp_path: Path) -> None:
    shown = tinynet("tune", "lenet", "--show-space")
    assert shown.startswith('[search] "training.optimizer.learning_rate" = { low = 0.0003')
    found = space.default(recipe.load("lenet"))
    (tmp_path / "mine.toml").write_text(found.to_toml())
    assert "layers.*.rate" in found.settings
    again = tinynet("tune", "lenet", "--space", tmp_path / "mine.toml", "--show-space")
    assert again == shown


def test_without_optuna(
    tune: Command, tinynet: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    said = tune(code=1)
    assert "the search needs optuna" in said
    assert extras.install("tune") in said
    assert not (tmp_path / "found").exists()
    assert "[search]" in tinynet("tune", "mlp", "--show-space")


def test_optuna_is_loaded_by_this_command_alone() -> None:
    code = "import sys, tinynet, tinynet.cli.tune; assert not {'optuna', 'sqlalchemy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_mistakes(tune: Command, tinynet: Command, tmp_path: Path) -> None:
    assert "Invalid value for '--trials'" in tune("--trials", 0, code=2)
    assert "Invalid value for '--sampler'" in tune("--sampler", "bayes", code=2)
    (tmp_path / "space.toml").write_text('[search]\n"training.batchsize" = [32]')
    said = tune(code=1)
    assert "cannot take 32 for 'training.batchsize'" in said
    assert "unknown key 'batchsize'" in said
    assert "unknown architecture" in tinynet("tune", "alexnet", code=1)
    assert not (tmp_path / "found").exists()
