"""What Python does for a step on the GPU backend, counted in calls, launches and copies; no clock decides."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tinynet.training import Callback, EpochEnd, StepEnd, Trainer

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import host_time

STEPS = 200
MOST_CALLS = 20
"""Of Python's functions and C's, for a step. 14.5 took 2 µs where that was measured."""


class Calls(Callback):
    """Counts calls of functions in the second epoch."""

    count = 0

    def steps_to_look(self, trainer: Trainer) -> float:
        return float("inf")

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        if trainer.state.epoch == 1:
            sys.setprofile(self._note)

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        if trainer.state.epoch == 1 and trainer.state.batch == STEPS:
            sys.setprofile(None)

    def _note(self, frame: object, event: str, argument: object) -> None:
        self.count += event in ("call", "c_call")


@pytest.mark.parametrize("distorted", [False, True])
@pytest.mark.parametrize("name", ["mlp", "kaggle-cnn"])
def test_python_does_little_for_a_step(name: str, distorted: bool, tmp_path: Path) -> None:
    calls = Calls()
    try:
        found = host_time.measure(name, tmp_path, distorted=distorted, steps=STEPS, epochs=1, others=[calls])
    finally:
        sys.setprofile(None)
    assert 1 < calls.count / STEPS < MOST_CALLS
    assert found.launches < 1 / 5
    assert found.copies == 5 / STEPS  # the plan of each stretch of 50, and totals to begin with


def test_a_step_by_itself_is_one_launch_of_all_its_kernels(tmp_path: Path) -> None:
    found = host_time.measure("mlp", tmp_path, steps=STEPS, epochs=1, each_step=True)
    assert found.launches == pytest.approx(1, abs=0.05)  # more where a loss is looked at
    assert found.copies == pytest.approx(1, abs=0.01)


def test_the_command_prints_a_line_for_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_time, "STEPS", 60)
    monkeypatch.setattr(host_time, "EPOCHS", 1)
    done: Any = CliRunner().invoke(host_time.main, ["linear", "lenet"])
    assert done.exit_code == 0, done.output
    first, *rows = done.output.splitlines()
    assert "epochs of 60 steps" in first
    found = [(row[:12].strip(), row[12:37].strip()) for row in rows]
    plain, _, single = host_time.WAYS  # `linear` has no augmentation
    assert found == [("linear", plain), ("linear", single), *(("lenet", way) for way in host_time.WAYS)]
