"""tune, crossval and reproduce killed at any moment go on by the same command, and end bit for bit the same.

A process kills itself at its n-th act on the disk: before a folder is made, between the folder and its first
file, while a file is written and does not have its name yet, before a lock is removed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KILLS = max(1, int(os.environ.get("TINYNET_TEST_KILLS", "6")) // 3)
"""Kills of each command. 10 were survived before a release; fewer keep the daily tests short."""

ACT = """
import atexit, os, signal, sys
n, done = int(sys.argv.pop(1)), 0
def deadly(act):
    def acted(*arguments, **options):
        global done
        done += 1
        if done == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*arguments, **options)
    return acted
os.mkdir, os.replace, os.unlink = map(deadly, (os.mkdir, os.replace, os.unlink))
atexit.register(lambda: print(done, file=sys.stderr))
from tinynet.cli import main
main()
"""
TINY = """
layers = [ { type = "Rescale" }, { type = "Flatten" }, { type = "Dropout", rate = 0.1 },
  { type = "Dense", units = 10 } ]
[training]
epochs = 3
batch_size = 50
samples = 1000
validation = 0.2
augmentation = { rotation = 10 }
"""
COMMON = ("--dataset", "sample", "--backend", "numpy", "--threads", "1")
COMMANDS: dict[str, list[str]] = {
    "tune": ["tune", "tiny.toml", *COMMON, "--trials", "3"],
    "crossval": ["crossval", "tiny.toml", *COMMON, "--folds", "2"],
    "reproduce": ["reproduce", "R1", *COMMON, "--seeds", "2", "--recipe", "ours"],
}


def tune_result(folder: Path) -> Any:
    trials = json.loads((folder / "report.json").read_text())["trials"]
    found = [{key: trial[key] for key in ("number", "settings", "epochs", "accuracy")} for trial in trials]
    return found, (folder / "tiny-tuned.toml").read_text()


def crossval_result(folder: Path) -> Any:
    return (folder / "predictions.csv").read_text(), [weights(folder / f"fold-{k}") for k in (1, 2)]


def reproduce_result(folder: Path) -> Any:
    runs = [folder / f"linear-ours-{seed}" for seed in (0, 1)]
    return [(weights(run), (run / "submission.csv").read_text()) for run in runs]


def weights(folder: Path) -> str:
    digest: str = json.loads((folder / "report.json").read_text())["facts"]["weights_sha256"]
    return digest


RESULTS: dict[str, Callable[[Path], Any]] = {
    "tune": tune_result,
    "crossval": crossval_result,
    "reproduce": reproduce_result,
}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_any_act_the_same_command_ends_the_same(command: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)

    def start(n: int, out: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-c", ACT, str(n), *COMMANDS[command], "--out", out]
        return subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)

    whole = start(0, "whole")
    acts = int(whole.stderr.split()[-1])
    expected, result = RESULTS[command](tmp_path / "whole"), RESULTS[command]
    moments = random.Random(command)
    for kill in range(KILLS):
        n = moments.randint(1, 6) if kill % 2 else moments.randint(1, acts)
        folder = tmp_path / f"killed-{kill}"
        assert start(n, folder.name).returncode == -signal.SIGKILL
        again = start(0, folder.name)
        assert again.returncode == whole.returncode, f"killed at act {n} of {acts}: {again.stderr}"
        assert result(folder) == expected, f"killed at act {n} of {acts}"
