"""The threads of BLAS: how many it has, and a way to keep it to one while ours compute."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@contextmanager
def serial_blas() -> Iterator[None]:
    """Every matrix product inside runs on the thread that asks for it.

    There are three reasons. Our threads each compute products and would compete with those of BLAS. BLAS'
    threads spin for milliseconds after a product, on cores that we need next. And how BLAS divides a product,
    hence its last bits, depends on its number of threads.
    """
    state = _state()
    with state.lock:
        if state.users == 0:
            state.thread_counts = [library.num_threads for library in _libraries()]
            for library in _libraries():
                library.set_num_threads(1)
        state.users += 1
    try:
        yield
    finally:
        with state.lock:
            state.users -= 1
            if state.users == 0:
                for library, count in zip(_libraries(), state.thread_counts, strict=True):
                    library.set_num_threads(count)


@cache
def _libraries() -> list[Any]:
    """The BLAS libraries at the first call, NumPy's among them: a new search takes too long for each step."""
    return libraries_now()


def libraries_now() -> list[Any]:
    """The BLAS libraries loaded so far. Later there may be more: Numba's first kernel loads SciPy's."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers


def set_blas_threads(count: int) -> None:
    """Let the BLAS libraries loaded so far, NumPy's among them, use `count` threads from now on."""
    import numpy  # noqa: F401 (loads its BLAS)

    for library in libraries_now():
        library.set_num_threads(count)


class _State:
    """How many blocks are open. A lock does not survive a fork, so there is one of these a process id."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.thread_counts: list[int] = []


_states: dict[int, _State] = {}


def _state() -> _State:
    return _states.get(os.getpid()) or _states.setdefault(os.getpid(), _State())
