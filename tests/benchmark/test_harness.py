"""The harness: contenders that cannot start, results of clean turns, and each kind of row."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tinynet.benchmark import harness, net, tinynet_
from tinynet.benchmark.harness import Conditions, ContenderError, Process
from tinynet.benchmark.rows import Row
from tinynet.benchmark.turns import Turn

MOST_LOST = 0.05
READABLE = harness.OURS._replace(mode="numpy")


def test_a_result_is_of_the_clean_turns(conditions: Conditions) -> None:
    strict = conditions._replace(most_lost=MOST_LOST)
    taken = [Turn(0.01), Turn(9.0, lost=0.5), Turn(0.01)]
    found = harness.result(Row("x", "step", "mlp", 50), taken, strict, samples=600)
    assert (found.kept, found.discarded) == (2, 1)
    assert found.images_per_second == pytest.approx(5000)
    assert harness.result(Row("x", "epoch", "mlp", 50), taken, strict, 600).images_per_second == 60_000
    assert harness.result(Row("x", "start-up", "mlp", 50), taken, strict, 600).images_per_second is None
    assert harness.result(Row("x", "step", "mlp", 50), taken[1:2], strict, 600).found is None
    assert harness.result(Row("x", "memory", "mlp", 50), taken[1:2], strict, 600).found is not None


def test_a_contender_that_cannot_start_says_why(conditions: Conditions, tmp_path: Path) -> None:
    missing = READABLE._replace(file=tmp_path / "nobody_.py")
    with (
        Process(missing, "mlp", 4, conditions) as process,
        pytest.raises(ContenderError, match=r"tinynet: ModuleNotFoundError.*nobody_"),
    ):
        process.ask("about")


def test_a_race_follows_its_rates_and_tests_at_the_end(conditions: Conditions) -> None:
    with Process(READABLE, "mlp", 16, conditions) as process:
        idle = process.ask("race", rates=[0.0] * 4)
        trained = process.ask("race", rates=[1e-3] * 40)
        again = process.ask("race", rates=[1e-3] * 40)
    peer = tinynet_.Peer(net.read(conditions.folder, "mlp"), "numpy")
    labels = np.load(conditions.folder / "test-labels.npy")
    guesses = peer.infer(np.load(conditions.folder / "test-images.npy")).argmax(axis=1)
    assert idle["accuracy"] == np.mean(guesses == labels)
    assert again["accuracy"] == trained["accuracy"]
    assert trained["train"] > 0


def test_each_kind_of_row_can_be_measured(conditions: Conditions) -> None:
    for row in (
        Row("step", "step", "mlp", 4),
        Row("epoch", "epoch", "mlp", 16, most_rounds=1),
        Row("infer", "infer", "mlp", 4, most_rounds=1),
        Row("start-up", "start-up", "mlp", 4, most_rounds=1, cold=True),
        *[Row("memory", "memory", "mlp", 16, most_rounds=1)] * (sys.platform != "win32"),
    ):
        taken = harness.measure(row, READABLE, conditions, lambda: None)
        assert len(taken) == min(row.most_rounds, 2)
        assert all(turn.value > 0 for turn in taken)
        if row.kind == "memory":
            assert 10 < taken[0].value < 10_000
