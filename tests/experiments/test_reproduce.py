"""experiments.reproduce: the reference systems' settings, runs made once, the table of both figures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tinynet import data
from tinynet.callbacks.log import as_lines
from tinynet.callbacks.monitors import EarlyStopping, ReduceOnPlateau
from tinynet.errors import RunError
from tinynet.experiments import reproduce
from tinynet.experiments.reproduce import Outcome
from tinynet.experiments.systems import SYSTEMS, Entry, System
from tinynet.io import tables
from tinynet.layers import Dense, Flatten, Rescale, Sigmoid
from tinynet.losses import CrossEntropy
from tinynet.optim import Adam
from tinynet.runs import recipe
from tinynet.training import Callback, EpochEnd, Trainer

SETTINGS: dict[str, Any] = {"backend": "numpy", "dtype": "float32", "data_dir": None, "command": "test"}


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    found = data.load("sample")
    few = dataclasses.replace(found.train, images=found.train.images[:300], labels=found.train.labels[:300])
    return dataclasses.replace(found, train=few)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recipe for two epochs."""
    load = recipe.load

    def shortened(name: str, *, reference: bool = False) -> recipe.Recipe:
        found = load(name, reference=reference)
        training = dataclasses.replace(found.training, epochs=2, min_steps=0)
        return dataclasses.replace(found, training=training)

    monkeypatch.setattr(recipe, "load", shortened)


def run(entry: Entry, digits: data.Dataset, folder: Path, listener: Callback | None = None) -> Outcome:
    listeners = []

    def listen(title: str) -> Callback:
        listeners.append(title)
        return listener or Callback()

    outcome = reproduce.run_entry(entry, digits, folder, settings=SETTINGS, listen=listen, threads=1)
    run.trained = listeners  # type: ignore[attr-defined]
    return outcome


def test_the_reference_settings_are_those_of_the_systems() -> None:
    linear, mlp, cnn = (recipe.load(name, reference=True) for name in ("linear", "mlp", "kaggle-cnn"))
    assert [each.training.epochs for each in (linear, mlp, cnn)] == [20] * 3
    for each in (linear, mlp, cnn):
        assert (type(each.training.optimizer), each.training.optimizer.learning_rate) == (Adam, 1e-3)
    assert [type(layer) for layer in linear.layers] == [Rescale, Flatten, Dense, Sigmoid]
    assert isinstance(linear.training.loss, CrossEntropy)
    assert mlp.training.cut(60_000) == (48_000, 12_000)
    assert mlp.training.batch_size == 64
    assert cnn.training.cut(60_000) == cnn.training.cut(42_000) == (27_000, 13_000)
    assert cnn.training.batch_size == 32
    assert cnn.training.early_stopping == EarlyStopping(patience=10, min_delta=1e-6)
    assert cnn.training.reduce_on_plateau == ReduceOnPlateau(patience=5, min_delta=1e-6, factor=0.2)
    assert cnn.training.best_by.monitor == "val_loss"


@pytest.mark.parametrize("name", recipe.names(reference=True))
def test_our_recipe_is_for_the_same_net(name: str) -> None:
    def without_penalties(found: recipe.Recipe) -> list[dict[str, Any]]:
        tables_of_layers = map(tables.to_table, found.layers)
        return [{key: table[key] for key in table if key != "l2"} for table in tables_of_layers]

    ours, theirs = recipe.load(name), recipe.load(name, reference=True)
    assert without_penalties(ours) == without_penalties(theirs)


def test_every_seed_is_trained_once(tmp_path: Path, digits: data.Dataset, short: None) -> None:
    entry = Entry("linear", True, 2, goal=0.2)
    first = run(entry, digits, tmp_path)
    assert run.trained == ["linear-reference-0", "linear-reference-1"]  # type: ignore[attr-defined]
    reports = [json.loads((tmp_path / f"linear-reference-{n}" / "report.json").read_text()) for n in (0, 1)]
    assert first.accuracies == [report["test"]["accuracy"] for report in reports]
    assert first.accuracies[0] != first.accuracies[1] or first.losses[0] != first.losses[1]
    rows = (tmp_path / "linear-reference-0" / "submission.csv").read_text().split()
    assert (rows[0], len(rows)) == ("ImageId,Label", len(digits.test) + 1)
    assert run(entry, digits, tmp_path) == first
    assert run.trained == []  # type: ignore[attr-defined]


class Interrupt(Callback):
    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        trainer.stop("interrupted")


def test_an_interrupted_run_goes_on(tmp_path: Path, digits: data.Dataset, short: None) -> None:
    entry = Entry("linear", False, 1)
    with pytest.raises(KeyboardInterrupt):
        run(entry, digits, tmp_path / "a", Interrupt())
    resumed, whole = run(entry, digits, tmp_path / "a"), run(entry, digits, tmp_path / "b")
    for figure in ("accuracies", "losses", "weights", "logs"):
        assert getattr(resumed, figure) == getattr(whole, figure)


def test_the_hash_of_a_log_is_of_what_was_learned(tmp_path: Path) -> None:
    def hashed(seconds: float, loss: float, command: str) -> str:
        lines = [
            {"event": "start", "step": 0, "command": command},
            {"event": "step", "step": 50, "loss": loss},
            {"event": "epoch", "step": 60, "epoch": 1, "loss": 0.5, "seconds": seconds},
        ]
        (tmp_path / "log.jsonl").write_text(as_lines(lines))
        return reproduce.log_sha256(tmp_path / "log.jsonl")

    assert hashed(7.5, 0.4, "train") == hashed(9.5, 0.4, "reproduce") != hashed(7.5, 0.3, "train")


def test_a_run_of_other_settings_is_not_taken_for_ours(
    tmp_path: Path, digits: data.Dataset, short: None
) -> None:
    run(Entry("linear", True, 1), digits, tmp_path)
    (tmp_path / "linear-reference-0").rename(tmp_path / "linear-ours-0")
    with pytest.raises(RunError, match=r"other settings\n  expected: recipe\."):
        run(Entry("linear", False, 1), digits, tmp_path)


def outcome(goal: float | None, *accuracies: float) -> Outcome:
    count = len(accuracies)
    hashes = ["e" * 64] * count, ["f" * 64] * count
    return Outcome(Entry("mlp", False, count, goal), list(accuracies), [0.1] * count, [60.0] * count, *hashes)


@pytest.mark.parametrize(
    ("goal", "accuracies", "cells"),
    [
        (0.98, (0.97, 0.99), ["mlp, our recipe", "2", "98.00 ± 1.41 %", "98 % reached", "60"]),
        (0.985, (0.98,), ["mlp, our recipe", "1", "98.00 %", "98.5 % MISSED", "60"]),
        (None, (0.98,), ["mlp, our recipe", "1", "98.00 %", "", "60"]),
    ],
)
def test_a_goal_is_for_the_mean(goal: float | None, accuracies: tuple[float, ...], cells: list[str]) -> None:
    assert outcome(goal, *accuracies).cells() == cells


def test_the_report(tmp_path: Path, digits: data.Dataset) -> None:
    facts = {"command": "tinynet reproduce R2", "date": "2026-01-01", "backend": "numpy", "threads": 1}
    reproduce.write_report(tmp_path, "R2", digits, [outcome(0.984, 0.98, 0.99)], facts)
    text = (tmp_path / "report.md").read_text()
    assert "| mlp, our recipe | 2 | 98.50 ± 0.71 % | 98.4 % reached | 60 |" in text
    assert "Theirs: test 97.65 %" in text
    assert f"of the weights, seed by seed:\n\n- mlp, our recipe: {'e' * 16}, {'e' * 16}\n" in text
    assert f"without the seconds in them, seed by seed:\n\n- mlp, our recipe: {'f' * 16}," in text
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["outcomes"][0]["mean"] == 0.985


def test_a_goal_or_none_for_each_system() -> None:
    assert set(SYSTEMS) == {"R1", "R2", "R3", "best"}
    for system in SYSTEMS.values():
        assert isinstance(system, System)
        assert any(entry.goal for entry in system.entries)
