"""The race beside PyTorch: the rates it hands out, ourselves as the other contender, the files it writes."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from tinynet import backends
from tinynet.benchmark import harness
from tinynet.data import Split, load
from tinynet.experiments.race import heats
from tinynet.layers import Dense, Dropout, Flatten, ReLU, Rescale
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.optim import SGD, Adam
from tinynet.runs import recipe
from tinynet.runs.recipe import Recipe, Training
from tinynet.schedules import Constant, OneCycle

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import race

PLAN = Recipe(
    layers=[Rescale(), Flatten(), Dense(16), ReLU(), Dropout(0.5), Dense(10)],
    training=Training(
        epochs=2,
        batch_size=32,
        optimizer=Adam(0.01),
        schedule=OneCycle(),
    ),
)
READABLE = harness.OURS._replace(mode="numpy")


def test_the_race_with_ourselves_is_tinynet_race(tmp_path: Path) -> None:
    sample = load("sample")
    data = dataclasses.replace(sample, train=Split(sample.train.images[:500], sample.train.labels[:500]))
    harness.write_data(tmp_path, data.train.images, data.train.labels)
    harness.write_data(tmp_path, data.test.images, data.test.labels, "test-")
    harness.write_net(tmp_path, "seed-5", PLAN, seed=5)
    conditions = harness.Conditions(tmp_path, 1, 0.0, 1.0, 1)
    race.check_agreement([READABLE, READABLE._replace(name="twin")], "seed-5", 32, conditions)
    rates = race.learning_rates(PLAN.training, 500)
    found = race.run(READABLE, "seed-5", 32, rates, conditions)
    [expected] = heats(PLAN, data, [5], backends.get("numpy"))
    assert found.accuracy == expected.accuracy
    assert found.train > 0


def test_rates_follow_the_schedule() -> None:
    rates = race.learning_rates(PLAN.training, 500)
    assert len(rates) == 2 * 16
    assert rates[0] == pytest.approx(0.04 * 0.01)
    assert max(rates) == pytest.approx(0.01, rel=0.01)
    assert rates.index(max(rates)) in (9, 10)
    plain = dataclasses.replace(PLAN.training, schedule=Constant(), optimizer=Adam())
    assert race.learning_rates(plain, 64) == [1e-3] * 4


@pytest.mark.parametrize(
    "change",
    [{"optimizer": SGD()}, {"loss": SoftmaxCrossEntropy(smoothing=0.1)}],
)
def test_what_cannot_be_compared_is_refused(change: dict[str, Any]) -> None:
    race.check_comparable(recipe.load("race").training)
    with pytest.raises(click.UsageError, match="only Adam"):
        race.check_comparable(dataclasses.replace(PLAN.training, **change))


def test_files_are_written(tmp_path: Path) -> None:
    ours = [race.Heat(0.99, 2.0, 0.1, 0.0), race.Heat(0.98, 2.0, 0.1, 0.0), race.Heat(0.5, 9.0, 0.1, 0.5)]
    theirs = [race.Heat(0.98, 4.0, 0.2, 0.0), race.Heat(0.98, 4.0, 0.2, 0.0), race.Heat(0.5, 1.0, 0.1, 0.0)]
    report = dict.fromkeys(("date", "machine", "threads", "epochs", "batch"), "?") | {
        "samples": 60_000,
        "test_samples": 10_000,
        "most_lost": 0.05,
        "versions": {"torch": ["torch 1.0"]},
    }
    found = {"tinynet": ours, "torch": theirs}
    race.write(tmp_path, report, found)
    text = (tmp_path / "race.md").read_text("utf-8")
    assert "tinynet / torch, seed by seed: 0.500 ± 0.000" in text
    assert "of 2 seeds (1 discarded" in text
    assert "| 2 | 50.00 | 9.00 | 50.00 | 1.00 |" in text
    assert json.loads((tmp_path / "race.json").read_text("utf-8"))["heats"]["torch"][0]["train"] == 4.0
    slow = {name: [heat._replace(lost=1.0) for heat in heats] for name, heats in found.items()}
    assert "every seed was disturbed" in race.as_markdown(report, slow)
