"""Compiling on all cores: what helpers find out, that nothing of it shows, and that none of them stays."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from nets import blobs, mlp, weights

from tinynet import layers as L
from tinynet.backends import get
from tinynet.errors import NonFiniteError
from tinynet.kernels.cpu import cache_folder, numba_private
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.threads import compiling, crew
from tinynet.threads.tasks import together
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
PREDICTION = """
import hashlib, threading
import numpy as np
from tinynet import Conv2D, Dense, Flatten, ReLU, Rescale, Sequential
from tinynet.kernels.cpu import cache_folder

layers = [Rescale(), Conv2D(4, 3, stride=2), ReLU(), Flatten(), Dense(3)]
model = Sequential(layers, (16, 16, 1), backend="numba")
images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), np.uint8)
told, outputs = [], []
model.backend.announce_compiling(lambda *numbers: told.append(numbers))
thread = threading.Thread(target=lambda: outputs.append(model.predict(images)))  # as in the service
print("begun", flush=True)
thread.start()
thread.join()
digest = hashlib.sha256(outputs[0].tobytes()).hexdigest()
print(digest, len(told), max(needed for _, needed in told), cache_folder.launches())
"""


def cold(tmp_path: Path, threads: int, program: str) -> list[str]:
    """What a program in a process of its own says that finds no kernel on disk."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "TINYNET_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
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
@pytest.mark.parametrize("program", [PROGRAM, PREDICTION], ids=["training", "prediction"])
def test_helpers_change_nothing_but_the_time(tmp_path: Path, program: str) -> None:
    alone = cold(tmp_path / "alone", 1, program)
    together = cold(tmp_path / "together", 2, program)
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


@pytest.mark.skipif(not LINUX, reason="helpers are forks, on Linux alone")
def test_a_helper_keeps_nothing_open(tmp_path: Path) -> None:
    """Such as a port, which would stay taken as long as it compiles."""

    def look() -> None:
        with os.scandir("/proc/self/fd") as entries:
            links = [os.readlink(each) for each in entries]
        (tmp_path / "open").write_text(" ".join(link.partition(":")[0] for link in links))

    told, telling = os.pipe()
    with socket.create_server(("127.0.0.1", 0)), open(tmp_path / "log", "w"):
        end = compiling.fork([look], 0, 1, telling)
        os.close(telling)
        assert os.read(told, 32) == b"0"
    for each in (told, end):
        os.close(each)
    found = (tmp_path / "open").read_text().split()
    assert [each for each in found if not each.startswith("/proc/")] == ["/dev/null"] * 3 + ["pipe"] * 2


def test_a_block_within_another_starts_no_helpers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started = list[int]()

    def fork(calls: list[object], *_: int) -> int:
        started.append(len(calls))
        return os.open(os.devnull, os.O_RDONLY)

    monkeypatch.setattr(compiling, "fork", fork)
    monkeypatch.setattr(compiling, "size", lambda: 2)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(numba_private, "HAS_CACHE", True)
    with compiling.shared_out(print, print), compiling.shared_out(print):
        cache_folder.on_first()
        assert not cache_folder.on_first
    assert started == [2]
    with compiling.shared_out(print):
        assert cache_folder.on_first
    assert not cache_folder.on_first


def test_a_plan_goes_on_after_a_call_that_refuses_its_numbers() -> None:
    x, _ = blobs(20)
    model = mlp("numba")

    def refusing() -> None:
        model.forward(x)
        raise NonFiniteError("these are no numbers")

    plan = crew.kernels_of(refusing, lambda: model.backend.relu(x))
    names = [launch.py_func.__qualname__ for launch, _ in plan]
    assert any(name.startswith("product") for name in names)
    assert names[-1].startswith("relu")


def test_a_plan_starts_no_threads() -> None:
    """They would wait for Numba's lock, which in a helper nobody gives back."""
    assert not crew.kernels_of(lambda: together([lambda: pytest.fail("nothing is gone through")]))


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
