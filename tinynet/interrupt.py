"""Ctrl-C (SIGINT) and SIGTERM as a wish to stop that is heard between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal has ended a training in order: it stopped after a step, and its callbacks have saved."""


class Interrupt:
    """Set by the first signal inside `heard()`; a second one acts as it always does, at once."""

    def __init__(self) -> None:
        self.is_set = False
        self.announce: Callable[[], object] = lambda: None
        """Called in the signal's handler: a step may take long, while kernels compile."""

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Inside the block the first signal sets `is_set`. Signals reach the main thread only."""
        self.is_set = False
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        # None: the program that Python runs in handles that signal, and could not be given it back
        before = {number: handler for number, handler in handlers.items() if handler is not None}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def note(number: int, frame: object) -> None:
            self.is_set = True
            restore()
            self.announce()

        for number in before:
            signal.signal(number, note)
        try:
            yield
        finally:
            restore()
