"""The verdict on what a student wrote, whatever it does: raise, run for ever, or call sys.exit."""

from __future__ import annotations

import linecache
import os
import signal
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from tinynet.errors import TinynetError
from tinynet.learn.exercise import Exercise, Wrong
from tinynet.printable import printable

SECONDS = 60.0
"""What an exercise may take."""
LONGEST = 300
"""Characters of an exception's message that are shown."""
SITE = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
OTHERS = tuple(f"{folder}{os.sep}" for folder in (Path(__file__).resolve().parents[1], *SITE))
"""Folders whose code is not the student's."""


@dataclass(frozen=True)
class Verdict:
    """How it went: `state` is "right", "wrong" or "not written yet"; `why` explains, or is the task."""

    name: str
    state: str
    why: str = ""

    @property
    def is_right(self) -> bool:
        return self.state == "right"

    def __str__(self) -> str:
        if self.state == "not written yet":
            return f"{self.name}: not written yet. {self.why}"
        return f"{self.name}: {self.why or self.state}"


class TooLong(BaseException):
    """The time is over. No Exception, so that no `except Exception` of a student's swallows it."""


def judge(asked: Exercise, function: Callable[[], Callable[..., Any]], seconds: float = SECONDS) -> Verdict:
    """The verdict on the function that `function()` gives, within so many seconds.

    The time can be limited on the main thread of a system with SIGALRM, not elsewhere.
    """
    try:
        with time_limit(seconds):
            asked.grade(_callable(function()))
    except NotImplementedError:
        return Verdict(asked.name, "not written yet", asked.task)
    except Wrong as wrong:
        return Verdict(asked.name, "wrong", str(wrong))
    except TooLong as error:
        return Verdict(asked.name, "wrong", too_long(seconds) + _where(error))
    except (Exception, SystemExit) as error:
        return Verdict(asked.name, "wrong", _said(error) + _where(error))
    return Verdict(asked.name, "right")


SLIPS = {
    "broadcast together": (
        "shapes that do not go together; keepdims=True, or [:, None], keeps an axis of length 1"
    ),
    "mismatch in its core dimension": "in a @ b the inner edges must be the same; a.T turns a matrix over",
    "truth value of an array": "`if` decides once, an array has many elements; np.where decides for each",
}
"""Likely slips, by what NumPy says of them."""


def too_long(seconds: float) -> str:
    """What is said of a function that does not end."""
    return (
        f"it did not end within {seconds:g} seconds\n  likely slip: a loop whose condition stays true, "
        "or far more work than the task needs"
    )


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TooLong in the block when its time is over, where a signal can: on the main thread."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)


def _callable(found: Any) -> Callable[..., Any]:
    if callable(found):
        function: Callable[..., Any] = found
        return function
    raise Wrong(f"this is no function\n  expected: check(name, function)\n  received: {type(found).__name__}")


def _said(error: BaseException) -> str:
    """The exception in a line or two."""
    if isinstance(error, TinynetError):
        return str(error)
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    try:
        said = printable(str(error).strip())
    except Exception:  # it is the student's own, and so is its __str__
        said = "its text cannot be had"
    said = said[:LONGEST] + "…" * (len(said) > LONGEST)
    named = f"{type(error).__name__}: {said}" if said else type(error).__name__
    slips = [f"\n  likely slip: {slip}" for words, slip in SLIPS.items() if words in said]
    return named + "".join(slips)


def _where(error: BaseException) -> str:
    """The student's own line that an exception came from; "" where it came from none."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if _is_the_students(frame.filename)
    ]
    if not frames:
        return ""
    last = frames[-1]
    code = linecache.getline(last.filename, last.lineno or 0).strip()
    in_cell = "ipykernel" in last.filename or last.filename.startswith("<")
    of = "of the cell" if in_cell else f"of {Path(last.filename).name}"
    return f"\n  in line {last.lineno} {of}: {printable(code)}"


def _is_the_students(filename: str) -> bool:
    return not filename.startswith((*OTHERS, "<frozen", "<__array"))
