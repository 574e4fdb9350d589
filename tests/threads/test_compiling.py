"""Compiling on all cores: what helpers find out, that nothing of it shows, and that none of them stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from nets import blobs, mlp, weights

from tinynet import layers as L
from tinynet.backends import get
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.threads import crew
from tinynet.training import Trainer

pytest.importorskip("numba")
LINUX = sys.platform.startswith("linux")
PROGRAM = """
import sys
import numpy as np
from tinynet import Dense, Flatten, ReLU, Rescale, Sequential, Trainer
from tinynet.checkpoint import weights_sha256
from tinynet.kernels.cpu import cache_folder

model = Sequential([Rescale(), Flatten(), Dense(9), ReLU(), Dense(3)], (4, 4, 1), backend="numba")
rng = np.random.default_rng(0)
images, labels = rng.integers(0, 256, (40, 4, 4, 1), np.uint8), rng.integers(0, 3, 40)
told = []
model.backend.announce_compiling(lambda *numbers: told.append(numbers))
print("begun", flush=True)
Trainer(model, (images, labels), epochs=2, batch_size=20).run()
print(weights_sha256(model), len(told), max(needed for _, needed in told), cache_folder.launches())
"""


def cold(tmp_path: Path, threads: int) -> list[str]:
    """What a training in a process of its own says that finds no kernel on disk."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "TINYNET_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.split()[1:]


def helpers_of(tmp_path: Path) -> list[int]:
    """The processes that have this folder of kernels in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(tmp_path).encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


def gone(tmp_path: Path) -> bool:
    """Whether none is left within some seconds: a kernel is compiled to its end."""
    until = time.monotonic() + 20
    while helpers_of(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    return not helpers_of(tmp_path)


@pytest.mark.skipif(not LINUX, reason="helpers are forks, on Linux alone")
def test_helpers_change_nothing_but_the_time(tmp_path: Path) -> None:
    alone = cold(tmp_path / "alone", 1)
    together = cold(tmp_path / "together", 2)
    assert alone[0] == together[0]
    assert alone[2] == "0"
    assert 0 < int(together[2]) <= int(together[3])
    assert int(together[3]) >= int(alone[3])
    assert gone(tmp_path)


@pytest.mark.skipif(not LINUX, reason="helpers are forks, on Linux alone")
def test_helpers_end_with_the_process_that_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "TINYNET_THREADS": "3"}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    until = time.monotonic() + 20
    while len(helpers_of(tmp_path)) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert gone(tmp_path)


def test_a_plan_is_what_a_step_launches_and_touches_nothing_else() -> None:
    """Kernels of a step, in order, each once for its types; weights stay, as nothing is launched."""
    x, y = blobs(20)
    model, loss = mlp("numba"), SoftmaxCrossEntropy()
    loss.start(model)
    before = weights(model)
    plan = crew.kernels_of(lambda: loss.forward(model.forward(x)[0], y))
    names = [launch.py_func.__qualname__ for launch, _ in plan]
    assert any(name.startswith("product") for name in names)
    assert names[-1].startswith("softmax_cross_entropy") or "mean" in names[-1]
    assert len(set(plan)) == len(plan)
    assert np.array_equal(weights(model), before)
    for launch, types in plan:
        launch.compile(types)
    missed = [sum(launch.stats.cache_misses.values()) for launch, _ in plan]
    loss.forward(model.forward(x)[0], y)
    assert [sum(launch.stats.cache_misses.values()) for launch, _ in plan] == missed  # all were on disk


def test_other_backends_have_nothing_to_share() -> None:
    x, y = blobs(20)
    Trainer(mlp("numpy"), (x, y), epochs=1).run()
    with get("numpy").compiling_together(lambda: pytest.fail("nothing is gone through")):
        Sequential([L.ReLU()], (2,), backend="numpy").predict(x)
