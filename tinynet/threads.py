"""How many threads to use, and a crew of them that shares out the parts of a kernel.

Waking a sleeping thread costs 50 µs and more, as much as many an operation here. So a worker looks out for
work for a millisecond before it sleeps (`kernels.cpu.crew`). The calling thread works too, and does all of it
where the crew is busy with another caller's. A forked child makes workers of its own.

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
from contextlib import contextmanager
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.errors import ConfigError
from tinynet.types import Array

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


@lru_cache(maxsize=4096)
def parts(count: int, least: int, align: int, workers: int) -> int:
    """Into how many parts to cut range(count) for so many workers: some for each, as cores may be busy.

    There are fewer where they would be shorter than `least` or `align`, still as many for each worker. A
    single worker gets a single part.
    """
    wanted = PARTS_PER_THREAD * workers if workers > 1 else 1
    number = max(1, min(wanted, count // least, -(-count // align)))
    return number - number % workers if number > workers else number


def over(
    kernel: Any, count: int, *arguments: Any, least: int = 1, align: int = 1, slots: int | None = None
) -> None:
    """kernel(start, stop, *arguments) on parts of range(count), on all threads; see `kernels.cpu.crew`.

    Parts are no shorter than `least`; all but the last end at a multiple of `align`. A kernel(start, stop,
    slot, *arguments) gets the number of its thread, below `slots`, for scratch memory of its own.
    """
    if not hasattr(kernel, "launch"):  # under NUMBA_DISABLE_JIT
        _serially(kernel, count, *arguments)
        return
    crew = _process().crew
    workers = min(slots or size(), crew.most)
    number = parts(count, least, align, workers)
    if number > 1:
        crew.gather(workers)
    program = _caller.program
    job = _caller.job if program is None else program.note(arguments)
    kernel.launch(crew.board, job, workers, count, number, align, *arguments)


def _serially(kernel: Callable[..., None], count: int, *arguments: Any) -> None:
    from tinynet.kernels.cpu.crew import first_slot

    kernel(0, count, *first_slot(kernel), *arguments)


class Program:
    """What `run` has kernels do, noted when it runs first, to be repeated without any Python in between.

    Calling it has all of them do their work again: on the same arrays, which may hold other numbers by then.
    So nothing that `run` computes may come from elsewhere than kernels, and those must be the same each time.
    Where it said by `other_work` that this is not so, it is run again as it is.
    """

    def __init__(self, run: Callable[[], object]) -> None:
        self._run = run
        self._note_all()

    def __call__(self) -> None:
        if self._jobs is None:
            self._run()
            return
        if self._size != size():
            self._note_all()
            return
        crew = _process().crew
        crew.gather(self._workers)
        crew.run_all(crew.board, self._jobs)

    def note(self, arguments: tuple[Any, ...]) -> Array:
        """Where to write the next job. Its arguments are kept, as the job holds their addresses."""
        self._arguments.append(arguments)
        self._rows.append(_new_job())
        return self._rows[-1]

    def _note_all(self) -> None:
        self._size, self._rows, self._arguments = size(), list[Array](), list[tuple[Any, ...]]()
        self.is_complete = True
        outer, _caller.program = _caller.program, self
        try:
            self._run()
        finally:
            _caller.program = outer
        self._jobs = None
        if self.is_complete and self._rows:  # none under NUMBA_DISABLE_JIT
            from tinynet.kernels.cpu import crew

            self._jobs = np.concatenate(self._rows)
            shared = self._jobs[self._jobs[:, crew.PARTS] > 1]
            self._workers = shared[:, crew.THREADS].max(initial=1)


def other_work() -> None:
    """Say that something was computed that is no kernel: a program under way must not leave it out."""
    if _caller.program is not None:
        _caller.program.is_complete = False


@contextmanager
def not_noted() -> Iterator[None]:
    """A program under way does not repeat what kernels do inside: their results will still be there."""
    outer, _caller.program = _caller.program, None
    try:
        yield
    finally:
        _caller.program = outer


class _Caller(threading.local):
    """What belongs to each thread that calls kernels: where it writes a job, the program that notes them."""

    program: Program | None = None

    @cached_property
    def job(self) -> Array:
        return _new_job()


_caller = _Caller()


def _new_job() -> Array:
    from tinynet.kernels.cpu import crew

    return np.zeros((1, crew.JOB_SIZE), np.int64)


def together(calls: Sequence[Callable[[], object]]) -> None:
    """Run all `calls` on threads of their own, as many at a time as there are in use; raise what one raised.

    For work that is not a kernel and takes milliseconds: starting a thread takes a tenth of one. Ctrl-C is
    raised when the calls under way are done; no others begin.
    """
    other_work()
    waiting, failures = deque(calls), list[BaseException]()

    def work() -> None:
        while True:
            try:
                call = waiting.popleft()
            except IndexError:  # none left
                return
            try:
                call()
            except BaseException as failure:  # raised below, in the caller's thread
                failures.append(failure)

    crew = [threading.Thread(target=work, name="tinynet") for _ in range(min(size(), len(calls)))]
    try:
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
    finally:
        waiting.clear()
        for thread in crew:
            if thread.is_alive():
                thread.join()
    for failure in failures:
        raise failure


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


class _Crew:
    """The workers of a process and the board they look at."""

    def __init__(self) -> None:
        from tinynet.kernels.cpu import crew  # compiles: only where kernels really run

        self.most, self.run_all = crew.MOST_THREADS, crew.run_all
        self.board = np.zeros(crew.SIZE, np.int64)
        self.workers: list[_Worker] = []
        self._lock = threading.Lock()

    def gather(self, count: int) -> None:
        """Have `count` threads, the caller's among them, look at the board."""
        if len(self.workers) < count - 1:
            with self._lock:
                while len(self.workers) < count - 1:
                    self.workers.append(_Worker(self.board, slot=len(self.workers) + 1))
        for worker in self.workers[: count - 1]:
            if worker.is_asleep:
                worker.wake()


class _Worker(threading.Thread):
    """A thread that works on what comes up on the board, looks out for more for a while, then sleeps."""

    LOOKS = 60000
    """How often to look before sleeping: a millisecond or more, longer than the pauses within a step."""

    def __init__(self, board: Array, slot: int) -> None:
        super().__init__(name=f"tinynet {slot}", daemon=True)
        from tinynet.kernels.cpu import crew

        self._serve, self._ticket = crew.serve, crew.TICKET
        self._board, self._slot = board, slot
        self._alarm = threading.Semaphore(0)
        self.is_asleep = False
        super().start()

    def wake(self) -> None:
        """It may miss the next job, but not those after."""
        self.is_asleep = False
        self._alarm.release()

    def run(self) -> None:
        seen = 0
        while True:
            seen = self._serve(self._board, self._slot, seen, self.LOOKS)
            self.is_asleep = True
            if self._board[self._ticket] == seen:  # else there was one just now
                self._alarm.acquire()
            self.is_asleep = False


class _Process:
    """Threads and locks, which do not survive a fork: there is one of these for each process id."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blas_users = 0
        self.blas_threads: list[int] = []

    @cached_property
    def crew(self) -> _Crew:
        return _Crew()


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
