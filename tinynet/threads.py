"""How many threads to use, and a small pool that runs parts of one array operation at the same time.

The pool's threads run kernels and matrix products that release the GIL; the calling thread works too, and
waits only for calls that already run, so nesting cannot deadlock. A forked child makes a pool of its own.

    limit(2)            # from now on
    with limit(1): ...  # inside the block
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from tinynet.errors import ConfigError

VARIABLE = "TINYNET_THREADS"
PARTS_PER_THREAD = 4

_limit: int | None = None


def budget() -> int:
    """The threads this process may use: TINYNET_THREADS, else the cores it may run on, within its quota."""
    text = os.environ.get(VARIABLE)
    return _checked(int(text) if text.isdecimal() else text, VARIABLE) if text else _available()


def size() -> int:
    """The threads in use now: those of `limit`, else `budget`."""
    return _limit or budget()


class limit:
    """Let our pool and BLAS use `count` threads (None: `budget`), in a `with` block until it ends."""

    def __init__(self, count: int | None) -> None:
        global _limit
        self._before, _limit = _limit, budget() if count is None else _checked(count, "threads")
        self._blas_before = [library.num_threads for library in _blas()]
        for library in _blas():
            library.set_num_threads(_limit)

    def __enter__(self) -> limit:
        return self

    def __exit__(self, *exception: object) -> None:
        global _limit
        _limit = self._before
        for library, count in zip(_blas(), self._blas_before, strict=True):
            library.set_num_threads(count)


# --- running parts ------------------------------------------------------------------------------------------


def parts(count: int, least: int = 1, align: int = 1) -> list[tuple[int, int]]:
    """range(count) as parts [start, stop) of about equal length, a few for each thread.

    There are fewer where they would be shorter than `least`; all but the last end at a multiple of `align`.
    A single thread gets a single part.
    """
    wanted = PARTS_PER_THREAD * size() if size() > 1 else 1
    number = max(1, min(wanted, count // least))
    units = -(-count // align)
    edges = [min(units * i // number * align, count) for i in range(number + 1)]
    return [(start, stop) for start, stop in pairwise(edges) if start < stop]


def together(calls: Sequence[Callable[[], object]]) -> None:
    """Run all `calls`, in parallel as far as threads are free; return when all are done.

    Each thread takes the next call that nobody has begun: a busy core delays the rest by one call at most.
    """
    waiting = deque(calls)

    def work() -> None:
        while True:
            try:
                call = waiting.popleft()
            except IndexError:  # none left
                return
            call()

    helpers = min(size(), len(calls)) - 1
    futures = [_process().pool(helpers).submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        running = [future for future in futures if not future.cancel()]
        wait(running)
    for future in running:
        future.result()


def over(task: Callable[..., object], count: int, *arguments: Any, least: int = 1, align: int = 1) -> None:
    """task(start, stop, *arguments) on the `parts` of range(count), together."""
    pieces = parts(count, least, align)
    if len(pieces) == 1:
        task(0, count, *arguments)
    else:
        together([partial(task, start, stop, *arguments) for start, stop in pieces])


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


class _Process:
    """Threads and locks, which do not survive a fork: there is one of these for each process id."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blas_users = 0
        self.blas_threads: list[int] = []
        self._pools: dict[int, ThreadPoolExecutor] = {}

    def pool(self, workers: int) -> ThreadPoolExecutor:
        """A pool of `workers` threads, which start when first needed."""
        if workers not in self._pools:
            new = ThreadPoolExecutor(workers, thread_name_prefix="tinynet")
            return self._pools.setdefault(workers, new)  # atomic: two threads get the same pool
        return self._pools[workers]


_processes: dict[int, _Process] = {}


def _process() -> _Process:
    return _processes.get(os.getpid()) or _processes.setdefault(os.getpid(), _Process())


@cache
def _blas() -> list[Any]:
    """The BLAS libraries of this process: finding them means looking through all it has loaded, so once."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers


# --- the budget ---------------------------------------------------------------------------------------------


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
