"""An exercise graded in a process of its own: what a student wrote may never end, or end Python itself."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from io import BufferedReader
from pathlib import Path
from threading import Thread
from typing import Any

from tinynet.learn.exercise import Exercise
from tinynet.learn.ladder import exercise
from tinynet.learn.student import load
from tinynet.learn.verdict import SECONDS, Verdict, judge, too_long

START = 20.0
"""Seconds that the process may take besides: to start, and to be told by its own clock that time is over."""
ENVIRONMENT = {"MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1"}
"""Plots open no windows; what is printed comes at once, also where Python then ends."""
MOST_PRINTED = 20_000
"""Bytes of what a function prints that are shown."""


def try_apart(asked: Exercise, path: Path, seconds: float = SECONDS) -> Verdict:
    """The verdict on the student's function in the file at `path`; it may take so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "verdict.json"
        command = [sys.executable, "-P", "-m", __name__, asked.name, str(path), repr(seconds), str(answer)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,  # with all that it starts it is one group, which ends as one
        )
        printed = Thread(target=show_beginning, args=(process.stdout,), daemon=True)
        printed.start()
        try:
            code = process.wait(seconds + START)
        except subprocess.TimeoutExpired:
            return Verdict(asked.name, "wrong", too_long(seconds))
        finally:
            end(process)
            printed.join(1)  # longer only where a process has left the group, and holds the pipe
        try:
            return Verdict(**json.loads(answer.read_text("utf-8")))
        except (OSError, ValueError):
            return Verdict(
                asked.name,
                "wrong",
                f"Python ended while your function ran (exit code {code})\n"
                "  likely slip: exit() in a function, or far more memory than there is",
            )


def show_beginning(printed: BufferedReader) -> None:
    """Print what comes out of a process; when it becomes too much, say so, and read the rest in silence."""
    left, text = MOST_PRINTED, codecs.getincrementaldecoder("utf-8")("replace")
    with printed:
        while some := printed.read1(1 << 16):
            if left > 0:
                sys.stdout.write(text.decode(some[:left]))
                left -= len(some)
                sys.stdout.write("" if left > 0 else "\n… and more that is printed, left out\n")
                sys.stdout.flush()


def end(process: subprocess.Popen[bytes]) -> None:
    """End the process and those that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def main(name: str, path: str, seconds: str, answer: str) -> None:
    """What the process does."""
    file, asked = Path(path), exercise(name)
    sys.path.append(str(file.parent.absolute()))  # modules that the student has beside the file

    def function() -> Callable[..., Any]:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            return load(file, asked.function)

    try:
        verdict = judge(asked, function, float(seconds))
    except KeyboardInterrupt:  # raised by the function: this process is in a group that no Ctrl-C reaches
        verdict = Verdict(asked.name, "wrong", "KeyboardInterrupt was raised")
    Path(answer).write_text(json.dumps(asdict(verdict)), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
