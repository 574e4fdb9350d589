"""How many threads to use, and a crew of them that shares out the parts of a kernel.

Waking a sleeping thread costs 50 µs and more, as much as many an operation here. So a worker looks out for
work for a millisecond before it sleeps (`kernels.cpu.crew`). The calling thread works too, and does all of it
where the crew is busy with another caller's. A forked child makes workers of its own.

    limit(2)            # from now on
    with limit(1): ...  # inside the block
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from tinynet.threads.budget import size
from tinynet.types import Array

PARTS_PER_THREAD = 4


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
    crew = _crew()
    workers = min(slots or size(), crew.most)
    number = parts(count, least, align, workers)
    if number > 1:
        crew.gather(workers)
    recording = _caller.recording
    job = _caller.job if recording is None else recording.note(arguments)
    kernel.launch(crew.board, job, workers, count, number, align, *arguments)


def _serially(kernel: Callable[..., None], count: int, *arguments: Any) -> None:
    from tinynet.kernels.cpu.crew import first_slot

    kernel(0, count, *first_slot(kernel), *arguments)


class RecordedKernels:
    """What `run` has kernels do, noted when it runs first, to be repeated without any Python in between.

    Calling it has all of them do their work again: on the same arrays, which may hold other numbers by then.
    So nothing that `run` computes may come from elsewhere than kernels, and those must be the same each time.
    Where it said by `break_recording` that this is not so, it is run again as it is.
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
        self._rows.append(_new_job())
        return self._rows[-1]

    def _note_all(self) -> None:
        self._size, self._rows, self._arguments = size(), list[Array](), list[tuple[Any, ...]]()
        self.is_complete = True
        outer, _caller.recording = _caller.recording, self
        try:
            self._run()
        finally:
            _caller.recording = outer
        self._jobs = None
        if self.is_complete and self._rows:  # none under NUMBA_DISABLE_JIT
            from tinynet.kernels.cpu import crew

            self._jobs = np.concatenate(self._rows)
            shared = self._jobs[self._jobs[:, crew.PARTS] > 1]
            self._workers = shared[:, crew.THREADS].max(initial=1)


def break_recording() -> None:
    """Say that something was computed that is no kernel: a program under way must not leave it out."""
    if _caller.recording is not None:
        _caller.recording.is_complete = False


def is_recording() -> bool:
    """Whether what this thread has kernels do is being recorded."""
    return _caller.recording is not None


@contextmanager
def outside_recording() -> Iterator[None]:
    """A program under way does not repeat what kernels do inside: their results will still be there."""
    outer, _caller.recording = _caller.recording, None
    try:
        yield
    finally:
        _caller.recording = outer


class _Caller(threading.local):
    """What belongs to each thread that calls kernels: where it writes a job, the program that notes them."""

    recording: RecordedKernels | None = None

    @cached_property
    def job(self) -> Array:
        return _new_job()


_caller = _Caller()


def _new_job() -> Array:
    from tinynet.kernels.cpu import crew

    return np.zeros((1, crew.JOB_SIZE), np.int64)


class Crew:
    """The workers of a process and the board they look at."""

    def __init__(self) -> None:
        from tinynet.kernels.cpu import crew  # compiles: only where kernels really run

        self.most, self.run_all = crew.MOST_THREADS, crew.run_all
        self.board = np.zeros(crew.SIZE, np.int64)
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


crews: dict[int, Crew] = {}
"""The crew of each process, by its id: a forked child finds its parent's, and makes its own."""


def _crew() -> Crew:
    """This process' crew: threads do not survive a fork."""
    return crews.get(os.getpid()) or crews.setdefault(os.getpid(), Crew())
