"""What the shell sees of a command: how it was called, and how it ends."""

from __future__ import annotations

import _thread
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = 130
"""The exit code of a program ended by Ctrl-C, by the shell's convention."""
AGAIN = 0.05
"""Seconds after which a Ctrl-C that a library has swallowed is repeated: by then it has left Python."""


def command_line(launcher: Sequence[str] = ()) -> str:
    """The command that is running, as a line to repeat; `launcher`: such as ["mpiexec", "-n", "2"]."""
    return shlex.join([*launcher, "tinynet", *sys.argv[1:]])


@contextmanager
def ctrl_c_is_ctrl_c() -> Iterator[None]:
    """Inside the block whatever fails after Ctrl-C is a KeyboardInterrupt.

    Where it hits a library at work, such as a compiler, that may raise an error of its own later; or the
    library calls Python and swallows what that raises, and then Ctrl-C comes again.
    """
    usual = signal.default_int_handler
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not usual
    ):
        yield
        return
    is_heard = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal is_heard
        is_heard = True
        usual(number, frame)

    def again(lost: Any) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            report(lost)
            return
        threading.Timer(AGAIN, _thread.interrupt_main).start()

    report, sys.unraisablehook = sys.unraisablehook, again
    signal.signal(signal.SIGINT, note)
    try:
        yield
    except Exception as error:
        if is_heard:
            raise KeyboardInterrupt from error
        raise
    finally:
        sys.unraisablehook = report
        signal.signal(signal.SIGINT, usual)
