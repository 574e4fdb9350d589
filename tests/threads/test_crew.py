"""The crew: its parts cover the range once, at the same time, whoever sleeps, calls or forks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import Any

import numba
import numpy as np
import pytest

from tinynet import threads
from tinynet.kernels.cpu import crew
from tinynet.kernels.cpu.jit import jit
from tinynet.threads.crew import Worker

needs_compiler = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="kernels that are not compiled run on one thread"
)


@jit
def mark(start: int, stop: int, slot: int, times: Any, starts: Any, slots: Any, work: int) -> None:
    for i in range(start, stop):
        for _ in range(work):
            crew.pause()
        times[i] += 1
        starts[i], slots[i] = start, slot


@jit
def meet(start: int, stop: int, present: Any, met: Any, expected: int, looks: int) -> None:
    """Each item of the range waits for a while until `expected` are present, and tells if they were."""
    for i in range(start, stop):
        crew.atomic_add(present, 0, 1)
        for _ in range(looks):
            if crew.atomic_load(present, 0) >= expected:
                met[i] = 1
                break
            crew.pause()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 5, 64, 1000])
@pytest.mark.parametrize(("least", "align"), [(1, 1), (10, 1), (1, 16), (100, 64)])
def test_parts_cover_the_range_once(count: int, least: int, align: int, size: int) -> None:
    times, starts, slots = np.zeros((3, count), np.int64)
    with threads.limit(size):
        threads.over(mark, count, times, starts, slots, 0, least=least, align=align, slots=size)
    assert (times == 1).all()
    assert (starts % align == 0).all()
    assert len(set(starts)) <= max(1, count // least)
    assert set(slots) <= set(range(size))


@needs_compiler
def test_parts_run_at_the_same_time() -> None:
    """Three parts wait for one another. A worker that is about to sleep may miss a job, not all of them."""
    present, met = np.zeros(1, np.int64), np.zeros(3, np.int64)
    with threads.limit(3):
        for _ in range(200):
            present[:] = 0
            threads.over(meet, 3, present, met, 3, 1_000_000)
            if met.all():
                return
    pytest.fail("never were all three parts under way")


@needs_compiler
def test_a_second_caller_does_its_work_alone_meanwhile() -> None:
    """The crew is inside a kernel until the second caller's work is done."""
    present, met, times = np.zeros(1, np.int64), np.zeros(2, np.int64), np.zeros(1000, np.int64)

    def second() -> None:
        while present[0] == 0:
            time.sleep(0.001)
        threads.over(mark, len(times), times, times.copy(), times.copy(), 0)
        present[0] += 10

    with threads.limit(2):
        caller = threading.Thread(target=second)
        caller.start()
        threads.over(meet, 2, present, met, 10, 1_000_000_000)
        caller.join(10)
    assert (times == 1).all()
    assert met.all()


@needs_compiler
def test_jobs_are_done_whenever_workers_fall_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses around the time after which a worker sleeps, from two threads at once."""
    monkeypatch.setattr(Worker, "MAX_IDLE_LOOKS", 200)
    pauses = np.random.default_rng(0).uniform(0, 40e-6, 1500)

    def many(wrong: list[int]) -> None:
        for number, pause in enumerate(pauses):
            times = np.zeros(12, np.int64)
            threads.over(mark, len(times), times, times.copy(), times.copy(), 20)
            if not (times == 1).all():
                wrong.append(number)
            time.sleep(pause)

    with threads.limit(3):
        monkeypatch.setattr("tinynet.threads.crew.crews", {})  # workers made now, with the short watch
        wrong: list[int] = []
        others = [threading.Thread(target=many, args=(wrong,)) for _ in range(2)]
        for other in others:
            other.start()
        for other in others:
            other.join(60)
    assert not any(other.is_alive() for other in others)
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_has_a_pool_of_its_own() -> None:
    script = """
import os, numpy as np
from tinynet import threads
from tinynet.backends.numba_ import NumbaBackend
threads.limit(2)
x, ops = np.ones(400_000, np.float32), NumbaBackend()
W = np.ones((600, 600), np.float32)
ops.relu(x), ops.dense(W, W, W[0])
child = os.fork()
good = ops.relu(x).all() and ops.dense(W, W, W[0]).all()
if child == 0:
    os._exit(0 if good else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    finished = subprocess.run([sys.executable, "-c", script], timeout=120, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
