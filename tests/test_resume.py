"""A run killed at any moment and resumed ends with the very weights of one that was left alone."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TypeAlias

import pytest

import tinynet as tn
from tinynet.callbacks.checkpoints import LastCheckpoint
from tinynet.checkpoint import load_training, weights_sha256
from tinynet.rng import Key, Stream, uniform
from tinynet.training import Callback, StepEnd, Trainer

KILLS = int(os.environ.get("TINYNET_TEST_KILLS", "6"))
"""Runs killed for each backend. 20 were survived before a release; fewer keep the daily tests short."""

RECIPE = """
layers = [
  { type = "Rescale" },
  { type = "Conv2D", filters = 4, kernel = 5, stride = 3 },
  { type = "BatchNorm" },
  { type = "ReLU" },
  { type = "Dropout", rate = 0.2 },
  { type = "Flatten" },
  { type = "Dense", units = 10 },
]
[training]
epochs = 6
batch_size = 32
validation = 0.1
optimizer = { type = "Adam", learning_rate = 0.003 }
ema_decay = 0.9
early_stopping = { patience = 20 }
reduce_on_plateau = { patience = 2 }
schedule = { type = "Cosine" }
augmentation = { rotation = 10, shift = 0.1, elastic = 1, contrast = 0.2, erase = 0.1, stroke = 1 }
"""


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tinynet", "train", *arguments, "--save-every", "0.05"]


def weights_hash(folder: Path) -> str:
    digest: str = json.loads((folder / "report.json").read_text())["facts"]["weights_sha256"]
    return digest


WholeRun: TypeAlias = tuple[str, list[str], Path, str, float]
"""(backend, command, folder, weights hash, seconds) of a run."""


@pytest.fixture(scope="module")
def whole_run(backend: str, tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    """A run nobody disturbed."""
    if backend == "device":
        pytest.skip("other processes do not know the make-believe device")
    folder = tmp_path_factory.mktemp(backend)
    recipe = folder / "tiny.toml"
    recipe.write_text(RECIPE)
    start = command(folder, str(recipe), "--dataset", "sample", "--backend", backend)
    began = time.monotonic()
    subprocess.run([*start, "--out", str(folder / "whole")], check=True, capture_output=True)
    return backend, start, folder, weights_hash(folder / "whole"), time.monotonic() - began


def test_the_same_command_gives_the_same_weights(whole_run: WholeRun) -> None:
    _, start, folder, expected, _ = whole_run
    subprocess.run([*start, "--out", str(folder / "again")], check=True, capture_output=True)
    assert weights_hash(folder / "again") == expected


def test_killed_runs_resume_bit_for_bit(whole_run: WholeRun) -> None:
    backend, start, folder, expected, seconds = whole_run
    moments = random.Random(backend)
    for attempt in range(KILLS):
        run = folder / f"killed-{attempt}"
        process = subprocess.Popen([*start, "--out", str(run)], stdout=subprocess.DEVNULL)
        sign_of_life = "last.safetensors" if attempt % 2 else "log.jsonl"  # without a log there is no run yet
        while not (run / sign_of_life).exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.6 * seconds))
        process.kill()
        process.wait()
        resumed = subprocess.run(command(folder, "--resume", str(run)), capture_output=True, text=True)
        assert resumed.returncode == 0, resumed.stderr
        assert weights_hash(run) == expected
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in log if line["event"] == "epoch"] == [1, 2, 3, 4, 5, 6]


class Crash(Callback):
    """Dies after so many steps, as a power cut would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        if event.step == self.step:
            raise SystemExit("crash")


def small_trainer(backend: str) -> tuple[Trainer, list[Callback]]:
    x = uniform(Key(1, Stream.CHECK), (70, 3, 2, 1)).astype("float32")
    labels = (x.sum(axis=(1, 2, 3)) > 3).astype(int)
    layers = [tn.Flatten(), tn.Dense(8), tn.BatchNorm(), tn.ReLU(), tn.Dropout(0.3), tn.Dense(2)]
    model = tn.Sequential(layers, (3, 2, 1), backend=backend)
    trainer = Trainer(
        model,
        (x, labels),
        validation=(x, labels),
        epochs=3,
        batch_size=16,
        augmentation=tn.Augmentation(rotation=10, elastic=0.3, contrast=0.2, mixup=0.4, cutmix=1),
    )
    return trainer, [tn.EarlyStopping(patience=9), tn.ReduceOnPlateau(patience=1)]


@pytest.mark.parametrize("step", [1, 4, 5, 6, 10, 13, 15])  # an epoch has 5
def test_a_crash_after_any_step_loses_nothing(backend: str, step: int, tmp_path: Path) -> None:
    whole, listeners = small_trainer(backend)
    history = whole.run(listeners)

    crashed, listeners = small_trainer(backend)
    last = LastCheckpoint(tmp_path / "last.safetensors", listeners, {}, seconds=0)
    with pytest.raises(SystemExit):
        crashed.run([*listeners, last, Crash(step)])

    resumed, listeners = small_trainer(backend)
    load_training(tmp_path / "last.safetensors", resumed, listeners)
    assert resumed.state.step == step
    again = resumed.run(listeners)
    assert weights_sha256(resumed.model) == weights_sha256(whole.model)
    assert [{**r, "seconds": 0} for r in again] == [{**r, "seconds": 0} for r in history]
