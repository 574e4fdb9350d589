"""The crew: threads that share out the parts of a kernel, and recordings of what kernels have done.

Waking a sleeping thread costs 50 µs and more, as much as many an operation here. So a worker looks for new
work for a millisecond before it sleeps (`kernels.cpu.crew`). The calling thread works too, and does all of
the work while the crew is busy for another caller. A forked child starts workers of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from tinynet.errors import NonFiniteError
from tinynet.threads.budget import size
from tinynet.types import Array

PARTS_PER_THREAD = 4
"""More than one, as a core may be busy with something else: the others then take its parts."""


@lru_cache(maxsize=4096)
def parts(count: int, least: int, align: int, workers: int) -> int:
    """Into how many parts to cut range(count) for so many workers: `PARTS_PER_THREAD` for each.

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
    if _caller.plan is not None:
        _caller.plan.append((kernel.launch, (_new_job(), 1, count, 1, align, arguments)))
        return
    crew = _crew()
    workers = min(slots or size(), crew.max_threads)
    number = parts(count, least, align, workers)
    if number > 1:
        crew.gather(workers)
    recording = _caller.recording
    job = _caller.job if recording is None else recording.note(arguments)
    kernel.launch(job, workers, count, number, align, *arguments)
    crew.run_all(crew.board, job)


def _serially(kernel: Callable[..., None], count: int, *arguments: Any) -> None:
    from tinynet.kernels.cpu.crew import first_slot

    kernel(0, count, *first_slot(kernel), *arguments)


def kernels_of(*calls: Callable[[], object]) -> list[tuple[Any, tuple[Any, ...]]]:
    """The launches that `calls` need with the types of their arguments, each once, in order.

    They are gone through without computing: all results are whatever lay in memory. A call that refuses
    such numbers ends there.
    """
    _caller.plan = []
    try:
        with np.errstate(all="ignore"):
            for call in calls:
                with suppress(NonFiniteError):
                    call()
        noted = _caller.plan
    finally:
        _caller.plan = None
    return list(
        dict.fromkeys((launch, tuple(map(launch.typeof_pyval, arguments))) for launch, arguments in noted)
    )


class RecordedKernels:
    """The kernels that `run` launches, noted when it runs first, to be repeated without Python in between.

    A call runs all of them again on the same arrays, which may hold other numbers by then. So everything that
    `run` computes must come from kernels, and these must be the same each time. Where `break_recording` said
    that this is not so, a call is simply `run()`.
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
        crew = _crew()
        crew.gather(self._workers)
        crew.run_all(crew.board, self._jobs)

    @property
    def is_repeated(self) -> bool:
        """Whether a call has its kernels do their work again without its Python."""
        return self._jobs is not None

    def note(self, arguments: tuple[Any, ...]) -> Array:
        """Where to write the next job. Its arguments are kept, as the job holds their addresses."""
        self._arguments.append(arguments)
        self._noted.append(_new_job())
        return self._noted[-1]

    def _note_all(self) -> None:
        self._size, self._noted, self._arguments = size(), list[Array](), list[tuple[Any, ...]]()
        self.is_complete = True
        outer, _caller.recording = _caller.recording, self
        try:
            self._run()
        finally:
            _caller.recording = outer
        self._jobs = None
        if self.is_complete and self._noted:  # none under NUMBA_DISABLE_JIT
            from tinynet.kernels.cpu import crew

            self._jobs = np.concatenate(self._noted)
            shared = self._jobs[self._jobs[:, crew.PARTS] > 1]
            self._workers = shared[:, crew.THREADS].max(initial=1)


def break_recording() -> None:
    """Say that something was computed outside kernels: the recording under way, if any, is incomplete."""
    if _caller.recording is not None:
        _caller.recording.is_complete = False


def is_planning() -> bool:
    """Whether this thread only goes through a computation: see `kernels_of`."""
    return _caller.plan is not None


def is_recording() -> bool:
    """Whether what this thread has kernels do is being recorded."""
    return _caller.recording is not None


@contextmanager
def outside_recording() -> Iterator[None]:
    """Kernels inside the block are not recorded: their results last, so nothing has to be repeated."""
    outer, _caller.recording = _caller.recording, None
    try:
        yield
    finally:
        _caller.recording = outer


class _Caller(threading.local):
    """What each thread that calls kernels has of its own: a job to write, and the recording under way."""

    recording: RecordedKernels | None = None
    plan: list[tuple[Any, tuple[Any, ...]]] | None = None
    """Where launches are noted instead of done: see `kernels_of`."""

    @cached_property
    def job(self) -> Array:
        return _new_job()


_caller = _Caller()


def _new_job() -> Array:
    from tinynet.kernels.cpu import crew

    return np.zeros((1, crew.JOB_SIZE), np.int64)


class Crew:
    """The workers of a process, and the board on which they find jobs."""

    def __init__(self) -> None:
        from tinynet.kernels.cpu import crew  # compiles: only where kernels really run

        self.max_threads, self.run_all = crew.MAX_THREADS, crew.run_all
        self.board = np.zeros(crew.BOARD_SIZE, np.int64)
        self.workers: list[Worker] = []
        self._lock = threading.Lock()

    def gather(self, count: int) -> None:
        """Have `count` threads, the caller's among them, look at the board."""
        if len(self.workers) < count - 1:
            with self._lock:
                while len(self.workers) < count - 1:
                    self.workers.append(Worker(self.board, slot=len(self.workers) + 1))
        for worker in self.workers[: count - 1]:
            if worker.is_asleep:
                worker.wake()


class Worker(threading.Thread):
    """A thread that works on each new job, looks for another for a while, then sleeps."""

    MAX_IDLE_LOOKS = 60000
    """Looks without a new job before it sleeps: a millisecond or more, longer than any pause in a step."""

    def __init__(self, board: Array, slot: int) -> None:
        super().__init__(name=f"tinynet {slot}", daemon=True)
        from tinynet.kernels.cpu import crew

        self._serve, self._ticket = crew.serve, crew.TICKET
        self._board, self._slot = board, slot
        self._alarm = threading.Semaphore(0)
        self.is_asleep = False
        super().start()

    def wake(self) -> None:
        """Let it look again. It may come too late for the next job, which is then done without it."""
        self.is_asleep = False
        self._alarm.release()

    def run(self) -> None:
        seen = 0
        while True:
            seen = self._serve(self._board, self._slot, seen, self.MAX_IDLE_LOOKS)
            self.is_asleep = True
            if self._board[self._ticket] == seen:  # else there was one just now
                self._alarm.acquire()
            self.is_asleep = False


crews: dict[int, Crew] = {}
"""The crew of each process, by its id: a forked child finds its parent's, and makes its own."""


def _crew() -> Crew:
    """This process' crew: threads do not survive a fork."""
    return crews.get(os.getpid()) or crews.setdefault(os.getpid(), Crew())
