"""A run killed at any moment and resumed ends with the very weights of one that was left alone."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
early_stopping = { patience = 20 }
reduce_on_plateau = { patience = 2 }
schedule = { type = "Cosine" }
"""


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tinynet", "train", *arguments, "--save-every", "0.05"]


def weights_hash(folder: Path) -> str:
    digest: str = json.loads((folder / "report.json").read_text())["facts"]["weights_sha256"]
    return digest


@pytest.fixture(scope="module", params=["numpy", "numba"])
def whole_run(request, tmp_path_factory):
    """(backend, recipe, weights hash, seconds) of a run nobody disturbed."""
    folder = tmp_path_factory.mktemp(request.param)
    recipe = folder / "tiny.toml"
    recipe.write_text(RECIPE)
    start = command(folder, str(recipe), "--dataset", "sample", "--backend", request.param)
    began = time.monotonic()
    subprocess.run([*start, "--out", str(folder / "whole")], check=True, capture_output=True)
    return request.param, start, folder, weights_hash(folder / "whole"), time.monotonic() - began


def test_the_same_command_gives_the_same_weights(whole_run):
    _, start, folder, expected, _ = whole_run
    subprocess.run([*start, "--out", str(folder / "again")], check=True, capture_output=True)
    assert weights_hash(folder / "again") == expected


def test_killed_runs_resume_bit_for_bit(whole_run):
    backend, start, folder, expected, seconds = whole_run
    moments = random.Random(backend)
    steps_at_resume = []
    for attempt in range(KILLS):
        run = folder / f"killed-{attempt}"
        process = subprocess.Popen([*start, "--out", str(run)], stdout=subprocess.DEVNULL)
        while not (run / "log.jsonl").exists() and process.poll() is None:
            time.sleep(0.01)  # before this moment there is no run yet
        time.sleep(moments.uniform(0, 0.6 * seconds))
        process.kill()
        process.wait()
        resumed = subprocess.run(command(folder, "--resume", str(run)), capture_output=True, text=True)
        assert resumed.returncode == 0, resumed.stderr
        assert weights_hash(run) == expected
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        steps_at_resume.append([line["step"] for line in log if line["event"] == "start"][-1])
        assert [line["epoch"] for line in log if line["event"] == "epoch"] == [1, 2, 3, 4, 5, 6]
    assert any(step > 0 and step % 113 for step in steps_at_resume), "no kill fell within an epoch"
