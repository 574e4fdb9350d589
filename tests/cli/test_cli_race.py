"""tinynet race: a small recipe on the bundled digits, and its goal."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Command

SMALL = """
layers = [ { type = "Rescale" }, { type = "Flatten" }, { type = "Dense", units = 10 } ]
[training]
epochs = 1
optimizer = { type = "Adam", learning_rate = 0.01 }
schedule = { type = "OneCycle" }
"""


@pytest.fixture
def race(tinynet: Command, tmp_path: Path) -> Command:
    (tmp_path / "small.toml").write_text(SMALL)

    def run(*arguments: object, code: int = 0) -> str:
        common = (tmp_path / "small.toml", "--dataset", "sample", "--backend", "numpy", "--threads", 1)
        return tinynet("race", *common, *arguments, code=code)

    return run


def test_a_goal_that_is_reached(race: Command) -> None:
    said = race("--to", 80, "--seeds", 2)
    assert "1 epoch of 4,000 images, numpy backend, 1 thread" in said
    for part in ("seed 0", "seed 1", "load", "compile", "train", "evaluate", "95 % interval", "80 % reached"):
        assert part in said
    assert "seed 2" not in said


def test_a_goal_that_is_missed(race: Command) -> None:
    said = race("--to", 99.9, "--seeds", 1, code=1)
    assert "the goal was missed" in said
    assert "at least 99.90 %" in said
    assert "one seed" in said


def test_mistakes(tinynet: Command, tiny: Path, tmp_path: Path) -> None:
    assert "trains on all images" in tinynet("race", tiny, "--dataset", "sample", code=1)
    assert "lacks files of mnist" in tinynet("race", "--data-dir", tmp_path, code=1)
