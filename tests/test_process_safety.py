"""The numba backend where programs put it: in forked and spawned children, threads, a running event loop.

Everywhere the same training must end with the same bits, and end.
"""

from __future__ import annotations

import _thread
import asyncio
import multiprocessing
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numba
import numpy as np
import pytest

import tinynet as tn
from tinynet import threads
from tinynet.checkpoint import weights_sha256
from tinynet.threads.crew import Crew

pytestmark = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="without the compiler these models take minutes"
)
IMAGES = np.random.default_rng(0).integers(0, 256, (96, 28, 28, 1), np.uint8)
LABELS = np.arange(96) % 10
THREADS = 3
TIMEOUT = 120.0


def model(seed: int = 0) -> tn.Sequential:
    """Large enough for its work to be cut into parts."""
    layers = [tn.Rescale(), tn.Conv2D(16, 3), tn.ReLU(), tn.MaxPool2D(), tn.Flatten(), tn.Dense(10)]
    return tn.Sequential(layers, (28, 28, 1), backend="numba", seed=seed)


def train() -> str:
    """The weights' hash after three steps on several threads."""
    learner = model()
    with threads.limit(THREADS):
        tn.Trainer(learner, (IMAGES, LABELS), epochs=3, batch_size=96).run()
    return weights_sha256(learner)


@pytest.fixture(scope="module")
def expected() -> str:
    return train()


def test_the_work_is_shared_with_the_crew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this, the tests below would prove nothing."""
    gathered = []
    gather = Crew.gather

    def noted(self: Crew, count: int) -> None:
        gathered.append(count)
        gather(self, count)

    monkeypatch.setattr(Crew, "gather", noted)
    train()
    assert max(gathered) == THREADS


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a fork beside threads is not supported")
def test_children_forked_while_the_crew_is_at_work() -> None:
    script = """
import os, signal, sys, threading, warnings
from test_process_safety import train
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: a fork beside threads
expected, stop = train(), threading.Event()

def keep_training():
    while not stop.is_set():
        train()

background = threading.Thread(target=keep_training)
background.start()
codes = []
for _ in range(5):
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends it should it hang
        os._exit(0 if train() == expected else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
background.join()
print(codes, train() == expected)
"""
    assert said_by(script) == "[0, 0, 0, 0, 0] True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a fork beside threads is not supported")
def test_a_forked_child_repeats_what_its_parent_recorded() -> None:
    script = """
import os, signal, warnings
from test_process_safety import IMAGES, THREADS, model, threads
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: a fork beside threads
threads.limit(THREADS)
learner = model()
expected = [learner.predict(IMAGES[n : n + 9]).tobytes() for n in range(2)]
child = os.fork()
if child == 0:
    signal.alarm(20)  # ends it should it hang
    os._exit(0 if learner.predict(IMAGES[1:10]).tobytes() == expected[1] else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(code, learner.predict(IMAGES[:9]).tobytes() == expected[0])
"""
    assert said_by(script) == "0 True\n"


def said_by(script: str) -> str:
    """What it prints, run by another Python; what it complains about goes to the test's output."""
    folder = __file__.rpartition("test_process_safety")[0]
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, timeout=TIMEOUT, capture_output=True, text=True
    )
    print(finished.stderr)
    return finished.stdout


def test_a_spawned_child(expected: str) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as children:
        assert children.submit(train).result(TIMEOUT) == expected


def test_threads_that_each_have_a_model() -> None:
    """As the workers of a server have."""

    def serve(seed: int) -> bytes:
        server = model(seed)
        return b"".join(server.predict(IMAGES).tobytes() for _ in range(5))

    with threads.limit(THREADS):
        alone = [serve(seed) for seed in range(4)]
        with ThreadPoolExecutor(4) as workers:
            assert list(workers.map(serve, range(4), timeout=TIMEOUT)) == alone
    assert len(set(alone)) == 4


def test_threads_that_share_a_model() -> None:
    with threads.limit(THREADS):
        server = model()
        alone = [server.predict(IMAGES[first : first + 40]).tobytes() for first in range(50)]

        def serve(first: int) -> bytes:
            return server.predict(IMAGES[first : first + 40]).tobytes()

        with ThreadPoolExecutor(4) as workers:
            assert list(workers.map(serve, range(50), timeout=TIMEOUT)) == alone


def test_a_model_predicts_in_one_thread_while_it_learns_in_another(expected: str) -> None:
    learner, done = model(), threading.Event()

    def look() -> int:
        looks = 0
        while not done.is_set():
            assert np.isfinite(learner.predict(IMAGES[:8])).all()
            looks += 1
        return looks

    with threads.limit(THREADS), ThreadPoolExecutor(1) as other:
        looks = other.submit(look)
        trainer = tn.Trainer(learner, (IMAGES, LABELS), validation=(IMAGES, LABELS), epochs=3, batch_size=96)
        for _ in trainer.events():
            time.sleep(0.02)
        done.set()
        assert looks.result(TIMEOUT) > 0
    assert weights_sha256(learner) == expected


def test_a_child_forked_while_a_thread_predicts_can_predict() -> None:
    server = model()
    server.predict(IMAGES[:1])

    def answer() -> None:
        if not np.isfinite(server.predict(IMAGES[:1])).all():
            raise ValueError("not the outputs of a model")

    with server.lock:
        child = multiprocessing.get_context("fork").Process(target=answer)
        child.start()
        child.join(TIMEOUT)
    assert child.exitcode == 0


def test_training_in_another_thread_and_within_a_running_event_loop(expected: str) -> None:
    """As a notebook's cell runs, and as a program keeps its loop free."""

    async def cell() -> list[str]:
        return [train(), await asyncio.to_thread(train)]

    assert asyncio.run(asyncio.wait_for(cell(), TIMEOUT)) == [expected] * 2


def test_ctrl_c_leaves_no_work_behind() -> None:
    """It comes while the main thread waits for calls that threads of their own are running."""
    both, finished = threading.Barrier(2, timeout=10), []

    def call() -> None:
        if both.wait() == 0:
            _thread.interrupt_main()
        time.sleep(0.05)
        finished.append(True)

    with threads.limit(2), pytest.raises(KeyboardInterrupt):
        threads.together([call, call])
    assert finished == [True, True]
