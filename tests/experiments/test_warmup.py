"""Compiling ahead: it goes through the batch sizes of real runs, so that these compile nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from tinynet import backends
from tinynet.experiments import warmup
from tinynet.runs import recipe
from tinynet.runs.recipe import Training
from tinynet.training import EpochEnd, StepEnd, Trainer

RECIPE = """
layers = [
  { type = "Rescale" },
  { type = "Flatten" },
  { type = "Dense", units = 10 },
]
[training]
epochs = 1
batch_size = 70
validation = 0.1
optimizer = { type = "SGD" }
"""


@pytest.mark.parametrize(
    ("training", "learned", "predicted"),
    [
        # 54,000 + 6,000 + 10,000 of MNIST; 3,600 + 400 + 1,000 of the sample
        (Training(batch_size=64, validation=0.1), [64, 48, 16], [256, 232, 144, 112, 16, 1]),
        (Training(batch_size=100), [100], [256, 232, 16, 1]),  # every batch is full, nothing is held out
        (Training(batch_size=32, samples=40_000, validation=13_000), [32, 24], [256, 200, 16, 1]),
        (Training(batch_size=32, samples=70_000), [32], [256, 1]),  # for neither data set
    ],
)
def test_batch_sizes(training: Training, learned: list[int], predicted: list[int]) -> None:
    assert warmup.batch_sizes(training) == (learned, predicted)


def test_steps_train_and_predict(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    events = Trainer.events

    def noted(self: Trainer) -> Iterator[StepEnd | EpochEnd]:
        seen.append(self.train.samples)
        return events(self)

    monkeypatch.setattr(Trainer, "events", noted)
    chosen = recipe.from_table(
        {
            "layers": [{"type": "Rescale"}, {"type": "Flatten"}, {"type": "Dense", "units": 3}],
            "input_shape": [2, 2, 1],
        }
    )
    steps = warmup.steps(chosen, backends.get(backend), "float64")
    learned, predicted = warmup.batch_sizes(chosen.training)
    results: list[Any] = [do() for _, do in steps]
    assert [what for what, _ in steps] == [
        *(f"training, batch {n}" for n in learned),
        *(f"prediction, batch {n}" for n in predicted),
    ]
    assert seen == learned
    predictions = [result.probabilities for result in results[len(learned) :]]
    assert [array.shape for array in predictions] == [(n, 3) for n in predicted]
    assert all(array.dtype == np.float64 for array in predictions)


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="numba compiles nothing under NUMBA_DISABLE_JIT")
def test_after_it_a_run_compiles_nothing(tmp_path: Path) -> None:
    def tinynet(*arguments: str) -> str:
        finished = subprocess.run(
            [sys.executable, "-m", "tinynet", *arguments, "--backend", "numba"],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    (tmp_path / "small.toml").write_text(RECIPE)
    assert "kernels compiled in" in tinynet("warmup", "small.toml")
    kernels = sorted((tmp_path / "cache").rglob("*.nbc"))
    assert "compiling kernels" not in tinynet("train", "small.toml", "--dataset", "sample", "--out", "run")
    assert "Nothing was left to compile." in tinynet("warmup", "small.toml")
    assert sorted((tmp_path / "cache").rglob("*.nbc")) == kernels != []
