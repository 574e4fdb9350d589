"""An exercise graded in a process of its own: what a student wrote may never end, or end Python itself."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tinynet.learn.exercise import Exercise
from tinynet.learn.ladder import exercise
from tinynet.learn.student import load
from tinynet.learn.verdict import SECONDS, Verdict, judge, too_long

START = 20.0
"""Seconds that the process may take besides: to start, and to be told by its own clock that time is over."""


def try_apart(asked: Exercise, path: Path, seconds: float = SECONDS) -> Verdict:
    """The verdict on the student's function in the file at `path`; it may take so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "verdict.json"
        command = [sys.executable, "-P", "-m", __name__, asked.name, str(path), repr(seconds), str(answer)]
        try:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "MPLBACKEND": "Agg"},  # no windows
                timeout=seconds + START,
            )
        except subprocess.TimeoutExpired:
            return Verdict(asked.name, "wrong", too_long(seconds))
        try:
            return Verdict(**json.loads(answer.read_text("utf-8")))
        except (OSError, ValueError):
            return Verdict(
                asked.name,
                "wrong",
                f"Python ended while your function ran (exit code {ended.returncode})\n"
                "  likely slip: exit() in a function, or far more memory than there is",
            )


def main(name: str, path: str, seconds: str, answer: str) -> None:
    """What the process does."""
    file, asked = Path(path), exercise(name)
    sys.path.append(str(file.parent.absolute()))  # modules that the student has beside the file

    def function() -> Callable[..., Any]:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            return load(file, asked.function)

    verdict = judge(asked, function, float(seconds))
    Path(answer).write_text(json.dumps(asdict(verdict)), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
