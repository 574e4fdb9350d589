"""How many threads to compute with.

limit(2)            # from now on
with limit(1): ...  # inside the block
"""

from __future__ import annotations

import math
import os
import sys
from functools import cache
from pathlib import Path

from tinynet.errors import ConfigError
from tinynet.threads import blas

VARIABLE = "TINYNET_THREADS"
_limit: int | None = None


def budget() -> int:
    """The threads this process may use: TINYNET_THREADS, else the cores it may run on, within its quota."""
    text = os.environ.get(VARIABLE)
    return _checked(int(text) if text.isdecimal() else text, VARIABLE) if text else _available()


def size() -> int:
    """The threads in use now: those of `limit`, else `budget` as it was when first asked for."""
    return _limit or _first_budget()


class limit:
    """Let the crew and BLAS use `count` threads (None: `budget`), in a `with` block until it ends."""

    def __init__(self, count: int | None) -> None:
        global _limit
        self._before, _limit = _limit, budget() if count is None else _checked(count, "threads")
        self._blas = blas.libraries_now()
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


def limit_blas() -> None:
    """Let BLAS use no more threads than TINYNET_THREADS says, from now on; without it leave BLAS alone."""
    if os.environ.get(VARIABLE):
        _limit_blas(budget())


@cache
def _limit_blas(count: int) -> None:
    for library in blas.libraries_now():
        library.set_num_threads(min(count, library.num_threads))


@cache
def _first_budget() -> int:
    return budget()


@cache
def _available() -> int:
    return min(_cores(), quota() or sys.maxsize)


def _checked(count: object, what: str) -> int:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ConfigError(what, expected="a whole number of at least 1", received=repr(count))
    return count


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int | None:
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
