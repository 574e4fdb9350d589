from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from tinynet import threads
from tinynet.backends.numba_ import NumbaBackend
from tinynet.errors import ConfigError
from tinynet.geometry import Window
from tinynet.kernels.cpu import crew
from tinynet.kernels.cpu.jit import jit
from tinynet.threads.budget import quota
from tinynet.threads.crew import Worker


def test_the_environment_sets_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYNET_THREADS", "3")
    assert threads.budget() == 3
    with threads.limit(None):
        assert threads.size() == 3


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_budget_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TINYNET_THREADS", text)
    with pytest.raises(ConfigError, match="TINYNET_THREADS"):
        threads.budget()


def test_the_budget_fits_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYNET_THREADS", raising=False)
    assert 1 <= threads.budget() <= (os.cpu_count() or 1)


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
        crew.add(present, 0, 1)
        for _ in range(looks):
            if crew.look(present, 0) >= expected:
                met[i] = 1
                break
            crew.pause()


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/job/a\n", {"job/a/cpu.max": "max 100000\n", "job/cpu.max": "150000 100000\n"}, 2),
        ("0::/job\n", {"job/cpu.max": "50000 100000\n", "cpu.max": "400000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/elsewhere\n", {"cpu.max": "300000 100000\n"}, 3),
        ("3:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("2:memory:/\n", {}, None),
    ],
)
def test_quotas_of_both_versions(
    tmp_path: Path, membership: str, files: dict[str, str], cores: int | None
) -> None:
    write(tmp_path, {"self": membership} | {f"cgroup/{name}": text for name, text in files.items()})
    assert quota(tmp_path / "cgroup", tmp_path / "self") == cores


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert quota(tmp_path, tmp_path / "missing") is None


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_limit_holds_for_our_pool_and_blas_and_ends_with_its_block() -> None:
    before, blas_before = threads.size(), blas_threads()
    with threads.limit(1):
        assert threads.size() == 1
        assert set(blas_threads()) <= {1}
    assert (threads.size(), blas_threads()) == (before, blas_before)


def test_limit_of_none_is_the_budget() -> None:
    with threads.limit(1), threads.limit(None):
        assert threads.size() == threads.budget()


def test_limit_refuses_nonsense() -> None:
    with pytest.raises(ConfigError, match="threads"):
        threads.limit(0)


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
    monkeypatch.setattr(Worker, "LOOKS", 200)
    pauses = np.random.default_rng(0).uniform(0, 40e-6, 1500)

    def many(wrong: list[int]) -> None:
        for number, pause in enumerate(pauses):
            times = np.zeros(12, np.int64)
            threads.over(mark, len(times), times, times.copy(), times.copy(), 20)
            if not (times == 1).all():
                wrong.append(number)
            time.sleep(pause)

    with threads.limit(3):
        monkeypatch.setattr(threads, "_processes", {})  # workers made now, with the short watch
        wrong: list[int] = []
        others = [threading.Thread(target=many, args=(wrong,)) for _ in range(2)]
        for other in others:
            other.start()
        for other in others:
            other.join(60)
    assert not any(other.is_alive() for other in others)
    assert wrong == []


def test_calls_run_at_the_same_time() -> None:
    barrier = threading.Barrier(3, timeout=10)
    with threads.limit(3):
        threads.together([barrier.wait] * 3)


def test_nested_calls_finish() -> None:
    done = []

    def outer() -> None:
        threads.together([lambda: time.sleep(0.001) or done.append(1)] * 5)

    with threads.limit(3):
        threads.together([outer] * 7)
    assert len(done) == 35


@pytest.mark.parametrize("size", [1, 2])
def test_an_error_in_a_call_reaches_the_caller(size: int) -> None:
    def fail() -> None:
        raise ValueError("broken part")

    with threads.limit(size), pytest.raises(ValueError, match="broken part"):
        threads.together([lambda: time.sleep(0.01), fail])


def test_callers_in_several_threads_do_not_disturb_each_other() -> None:
    x = np.random.default_rng(0).standard_normal((64, 20, 20, 8), dtype=np.float32)
    W, b = np.random.default_rng(1).standard_normal((3, 3, 8, 8), dtype=np.float32), np.ones(8, np.float32)
    window = Window((3, 3))
    expected = NumbaBackend().conv2d(x, W, b, window)[0]
    results: list[bool] = []

    def run() -> None:
        ops = NumbaBackend()
        results.extend(np.array_equal(ops.conv2d(x, W, b, window)[0], expected) for _ in range(5))

    with threads.limit(2):
        before = blas_threads()
        callers = [threading.Thread(target=run) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(60)
        assert blas_threads() == before
    assert results == [True] * 20


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
