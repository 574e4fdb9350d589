"""Compiling on all cores: processes that compile the kernels of a computation from its end on.

A computation compiles each kernel when it comes to it, and keeps it on disk. Numba compiles one at a time in
a process. So at the first kernel that is not on disk, processes are forked: each goes through what is to be
computed without computing, to see which kernels it takes, and compiles them in another order, the last ones
first. The computation finds on disk what they have done by the time it gets there.

A fork has all memory of its own, so going through a computation changes nothing here. It has none of the
threads, and a helper waits for none of them. It is made on Linux alone: elsewhere a fork is not safe, or
there is none, and the computation compiles all by itself.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from tinynet.threads import crew
from tinynet.threads.budget import size

MOST = 3
"""Processes besides ours."""
LONGEST = 300
"""Seconds after which a helper ends, whatever it waits for."""


class Progress:
    """How far the kernels of a computation are, whoever compiles them."""

    def __init__(self) -> None:
        self.before = self.needed = 0
        self.told: int | None = None
        """The end of a pipe from which a helper's count of kernels comes."""

    def __call__(self) -> tuple[int, int]:
        """(compiled, needed) in kernels; needed is 0 as long as no helper has counted them."""
        from tinynet.kernels.cpu import cache_folder

        if self.told is not None and select.select([self.told], [], [], 0)[0]:
            self.needed = int(os.read(self.told, 32) or 0)
            self.close()
        return min(cache_folder.launches() - self.before, self.needed), self.needed

    def close(self) -> None:
        if self.told is not None:
            os.close(self.told)
            self.told = None


progress = Progress()
_is_shared = False
"""Whether a `shared_out` is under way."""


@contextmanager
def shared_out(*calls: Callable[[], object]) -> Iterator[None]:
    """Inside the block, which does what `calls` would, the first kernel that is not on disk starts helpers.

    A block within another starts none: the outer one knows all that is to come.
    """
    global _is_shared
    from tinynet.kernels.cpu import cache_folder
    from tinynet.kernels.cpu.numba_private import HAS_CACHE

    count = min(MOST, size() - 1)
    if _is_shared or count < 1 or not sys.platform.startswith("linux") or not HAS_CACHE:
        yield
        return
    ends: list[int] = []

    def start() -> None:
        cache_folder.on_first = None
        progress.before, progress.needed = cache_folder.launches(), 0
        progress.told, telling = os.pipe()
        for number in range(count):
            ends.append(fork(calls, number, count, telling))
        os.close(telling)

    cache_folder.on_first, _is_shared = start, True
    try:
        yield
    finally:
        cache_folder.on_first, _is_shared = None, False
        progress.close()
        for end in ends:  # which the helpers notice
            os.close(end)


def fork(calls: Sequence[Callable[[], object]], number: int, count: int, telling: int) -> int:
    """Start helper `number` of `count`; return the end of a pipe that lets it work as long as it is open."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: it uses none of them
        child = os.fork()
    if child == 0:
        try:  # whatever goes wrong, the computation does without
            _disappear_into_grandchild()
            signal.alarm(LONGEST)
            _close_all_but(reading, telling)
            _compile(calls, number, count, reading, telling)
        finally:
            os._exit(0)
    os.close(reading)
    os.waitpid(child, 0)
    return writing


def _disappear_into_grandchild() -> None:
    """So that nobody has to wait for the helper's end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; ours says when
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    if os.fork():
        os._exit(0)


def _close_all_but(*kept: int) -> None:
    """Keep nothing open that the process has open: a port would stay taken, the end of a pipe unnoticed."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    for first, last in pairwise([2, *sorted(kept), os.sysconf("SC_OPEN_MAX")]):
        os.closerange(first + 1, last)


def _compile(
    calls: Sequence[Callable[[], object]], number: int, count: int, alive: int, telling: int
) -> None:
    """Compile as long as the other end of the pipe `alive` is open."""
    from tinynet.kernels.cpu import cache_folder

    cache_folder.announce = None
    plan = crew.kernels_of(*calls)[::-1]
    if number == 0:
        os.write(telling, str(len(plan)).encode())
    os.close(telling)
    first = number * len(plan) // count
    for launch, types in plan[first:] + plan[:first]:
        if select.select([alive], [], [], 0)[0]:
            return
        launch.compile(types)
