"""How many threads to use, and a small pool that runs parts of one array operation at the same time.

The workers run kernels and matrix products that release the GIL; the calling thread works too. Work goes only
to workers that are free at that moment, so nesting cannot deadlock. A forked child makes workers of its own.

Waking a sleeping thread costs 100 µs and more, as much as many an operation here. So a worker looks out for
work for a millisecond before it sleeps, and whoever waits for it looks out likewise (`kernels.cpu.spin`).

    limit(2)            # from now on
    with limit(1): ...  # inside the block
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.errors import ConfigError

VARIABLE = "TINYNET_THREADS"
PARTS_PER_THREAD = 4

_limit: int | None = None


def budget() -> int:
    """The threads this process may use: TINYNET_THREADS, else the cores it may run on, within its quota."""
    text = os.environ.get(VARIABLE)
    return _checked(int(text) if text.isdecimal() else text, VARIABLE) if text else _available()


def size() -> int:
    """The threads in use now: those of `limit`, else `budget` as it was when first asked for."""
    return _limit or _first_budget()


class limit:
    """Let our pool and BLAS use `count` threads (None: `budget`), in a `with` block until it ends."""

    def __init__(self, count: int | None) -> None:
        global _limit
        self._before, _limit = _limit, budget() if count is None else _checked(count, "threads")
        self._blas = _find_blas()
        self._blas_before = [library.num_threads for library in self._blas]
        for library in self._blas:
            library.set_num_threads(_limit)

    def __enter__(self) -> limit:
        return self

    def __exit__(self, *exception: object) -> None:
        global _limit
        _limit = self._before
        for library, count in zip(self._blas, self._blas_before, strict=True):
            library.set_num_threads(count)


# --- running parts ------------------------------------------------------------------------------------------


def parts(count: int, least: int = 1, align: int = 1) -> tuple[tuple[int, int], ...]:
    """range(count) as parts [start, stop) of about equal length, a few for each thread.

    There are fewer where they would be shorter than `least`, still as many for each thread; all but the last
    end at a multiple of `align`. A single thread gets a single part.
    """
    return _parts(count, least, align, size())


@lru_cache(maxsize=1024)
def _parts(count: int, least: int, align: int, workers: int) -> tuple[tuple[int, int], ...]:
    wanted = PARTS_PER_THREAD * workers if workers > 1 else 1
    number = max(1, min(wanted, count // least))
    number -= number % workers if number > workers else 0
    units = -(-count // align)
    edges = [min(units * i // number * align, count) for i in range(number + 1)]
    return tuple((start, stop) for start, stop in pairwise(edges) if start < stop)


def together(calls: Sequence[Callable[[], object]]) -> None:
    """Run all `calls`, in parallel as far as threads are free; return when all are done.

    Each thread takes the next call that nobody has begun. A busy core delays the rest by one call at most, or
    not at all if its thread has not even begun.
    """
    waiting = deque(calls)

    def work() -> None:
        while True:
            try:
                call = waiting.popleft()
            except IndexError:  # none left
                return
            call()

    crew = _process().hire(min(size(), len(calls)) - 1)
    try:
        for worker in crew:
            worker.begin(work)
        work()
    finally:
        try:
            failures = _finish(crew)
        finally:
            _process().release(crew)
    for failure in filter(None, failures):
        raise failure


def _finish(crew: Sequence[_Worker]) -> list[BaseException | None]:
    """Wait for those that have begun, and return what they raised; Ctrl-C is raised after that, not before.

    The others will find nothing left to do.
    """
    try:
        return [worker.finish() for worker in crew if worker.has_begun]
    except BaseException:
        _finish(crew)
        raise


def over(
    task: Callable[..., object],
    count: int,
    *arguments: Any,
    least: int = 1,
    align: int = 1,
    scratch: Sequence[Any] | None = None,
) -> None:
    """task(start, stop, *arguments) on the `parts` of range(count), together.

    With `scratch`, one for each of `size()` threads: task(start, stop, own, *arguments), where no other call
    has the same one of them at that time.
    """
    if scratch is not None:
        task = _lending(task, deque(scratch))
    pieces = parts(count, least, align)
    if len(pieces) == 1:
        task(0, count, *arguments)
    else:
        together([partial(task, start, stop, *arguments) for start, stop in pieces])


def _lending(task: Callable[..., object], free: deque[Any]) -> Callable[..., None]:
    """task(start, stop, own, *arguments) with one of those `free` as its own: the one used last."""

    def run(start: int, stop: int, *arguments: Any) -> None:
        own = free.pop()
        try:
            task(start, stop, own, *arguments)
        finally:
            free.append(own)

    return run


@contextmanager
def serial_blas() -> Iterator[None]:
    """Every matrix product inside runs on the thread that asks for it.

    Three reasons. Our threads each compute products of their own and would compete with those of BLAS. BLAS'
    threads spin on for milliseconds after a product, on cores that we need next. And how BLAS cuts a product
    up, hence its last bits, depends on how many threads it has.
    """
    process = _process()
    with process.lock:
        if process.blas_users == 0:
            process.blas_threads = [library.num_threads for library in _blas()]
            for library in _blas():
                library.set_num_threads(1)
        process.blas_users += 1
    try:
        yield
    finally:
        with process.lock:
            process.blas_users -= 1
            if process.blas_users == 0:
                for library, count in zip(_blas(), process.blas_threads, strict=True):
                    library.set_num_threads(count)


class _Worker(threading.Thread):
    """A thread that runs one call at a time, looks out for the next for a while, then sleeps."""

    REQUEST, STARTED, DONE = 0, 8, 16
    """Places of three counters, on cache lines of their own: calls handed over, begun, done."""
    LOOKS = 20000
    """How often to look before sleeping: a millisecond, longer than the pauses within a training step."""
    PATIENCE = 400
    """How often to look whether a worker has begun: 20 µs. By then other programs have its core."""
    SETTLE = 50
    """Pauses (a few µs) in which a worker that has begun gets from Python into its kernel."""

    def __init__(self) -> None:
        super().__init__(name="tinynet", daemon=True)
        from tinynet.kernels.cpu import spin  # compiles: only where threads are really used

        self._spin = spin
        looks = (1, 1, 0) if spin.UNCOMPILED else (self.LOOKS, self.PATIENCE, self.SETTLE)
        self._looks, self._patience, self._settle = looks
        self._counters = np.zeros(24, np.int64)
        self._call: Callable[[], object] | None = None
        self._failure: BaseException | None = None
        self._asleep = False
        self._alarm = threading.Semaphore(0)
        super().start()

    def begin(self, call: Callable[[], object]) -> None:
        """Hand over `call`; return as soon as it is under way, or without waiting longer than `PATIENCE`."""
        self._call, self._failure = call, None
        number = self._counters[self.REQUEST] + 1
        if self._asleep:
            self._counters[self.REQUEST] = number
        else:
            self._spin.hand_over(
                self._counters, self.REQUEST, self.STARTED, number, self._patience, self._settle
            )
        if self._asleep:  # it may have fallen asleep meanwhile; an alarm too many does no harm
            self._alarm.release()

    @property
    def has_begun(self) -> bool:
        """Whether the call handed over last is under way or done."""
        return bool(self._counters[self.STARTED] == self._counters[self.REQUEST])

    @property
    def is_free(self) -> bool:
        """Whether that call is done."""
        return bool(self._counters[self.DONE] == self._counters[self.REQUEST])

    def finish(self) -> BaseException | None:
        """Wait until the call is done; return what it raised."""
        while not self._spin.wait_for(self._counters, self.DONE, self._counters[self.REQUEST], self._looks):
            if self._asleep:  # as in `begin`: no call may ever be left lying
                self._alarm.release()
            time.sleep(0)  # lets this worker have the core if there are fewer cores than threads
        return self._failure

    def run(self) -> None:
        counters, done = self._counters, 0
        while True:
            if not self._spin.report_and_wait(counters, self.DONE, done, self.REQUEST, self._looks):
                self._asleep = True
                if counters[self.REQUEST] == done:  # `begin` may have come in between
                    self._alarm.acquire()
                self._asleep = False
                continue
            counters[self.STARTED] = done + 1
            try:
                assert self._call is not None, "begin sets the call before it raises the counter"
                self._call()
            except BaseException as failure:  # handed to the thread that waits in `finish`
                self._failure = failure
            done += 1


class _Process:
    """Threads and locks, which do not survive a fork: there is one of these for each process id."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blas_users = 0
        self.blas_threads: list[int] = []
        self._idle: list[_Worker] = []
        self._workers = 0

    def hire(self, count: int) -> list[_Worker]:
        """Up to `count` workers that are free; new ones as long as there are fewer than `size()` in all."""
        with self.lock:
            crew = [worker for worker in self._idle if worker.is_free][:count]
            while len(crew) < count and self._workers < size() - 1:
                crew.append(_Worker())
                self._workers += 1
            self._idle = [worker for worker in self._idle if worker not in crew]
        return crew

    def release(self, crew: list[_Worker]) -> None:
        """Let others hire the crew; a worker that has not come to begin, once it is free."""
        with self.lock:
            self._idle = crew + self._idle


_processes: dict[int, _Process] = {}


def _process() -> _Process:
    return _processes.get(os.getpid()) or _processes.setdefault(os.getpid(), _Process())


@cache
def _blas() -> list[Any]:
    """The BLAS libraries there are at first, NumPy's among them; to look again takes too long for a step."""
    return _find_blas()


def _find_blas() -> list[Any]:
    """The BLAS libraries of this process by now: Numba, for one, loads SciPy's with its first kernel."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers


# --- the budget ---------------------------------------------------------------------------------------------


@cache
def _first_budget() -> int:
    return budget()


@cache
def _available() -> int:
    return min(_cores(), _quota() or sys.maxsize)


def _checked(count: object, what: str) -> int:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ConfigError(what, expected="a whole number of at least 1", received=repr(count))
    return count


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int | None:
    """The CPU time this process' control groups allow it, in cores rounded up; None without a limit.

    A container gets a share of a machine this way while it still sees all the cores. The tightest limit
    from the process' own group up to the root counts.
    """
    if not membership.exists():
        return None
    quotas = []
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            base, names = root, ["cpu.max"]
        elif "cpu" in controllers.split(","):  # version 1
            base, names = root / "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        own = base / path.lstrip("/")
        for group in (own, *own.parents):
            files = [group / name for name in names]
            if group.is_relative_to(base) and all(file.exists() for file in files):
                quota, period = " ".join(file.read_text() for file in files).split()
                if quota not in ("max", "-1"):
                    quotas.append(math.ceil(int(quota) / int(period)))
    return min(quotas, default=None)
