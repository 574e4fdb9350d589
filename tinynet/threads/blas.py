"""The threads of BLAS: how many it has, and none of its own where ours compute."""

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

    Three reasons. Our threads each compute products of their own and would compete with those of BLAS. BLAS'
    threads spin on for milliseconds after a product, on cores that we need next. And how BLAS cuts a product
    up, hence its last bits, depends on how many threads it has.
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
    """The BLAS libraries there are at first, NumPy's among them; to look again takes too long for a step."""
    return libraries_now()


def libraries_now() -> list[Any]:
    """The BLAS libraries of this process by now: Numba, for one, loads SciPy's with its first kernel."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers


class _State:
    """Who has taken the threads away. A lock does not survive a fork: there is one of these a process id."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.thread_counts: list[int] = []


_states: dict[int, _State] = {}


def _state() -> _State:
    return _states.get(os.getpid()) or _states.setdefault(os.getpid(), _State())
