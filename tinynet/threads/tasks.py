"""Calls that are not kernels, each on a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from tinynet.threads.budget import size
from tinynet.threads.crew import break_recording, is_planning


def together(calls: Sequence[Callable[[], object]]) -> None:
    """Run all `calls` on threads of their own, at most `size()` at a time; raise what one of them raised.

    For calls that take milliseconds: starting a thread takes a tenth of one. Ctrl-C is raised when the calls
    under way are done; no others begin. In `crew.kernels_of` none does.
    """
    if is_planning():
        return
    break_recording()
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

    workers = [threading.Thread(target=work, name="tinynet") for _ in range(min(size(), len(calls)))]
    try:
        for thread in workers:
            thread.start()
        for thread in workers:
            thread.join()
    finally:
        waiting.clear()
        for thread in workers:
            if thread.is_alive():
                thread.join()
    for failure in failures:
        raise failure
