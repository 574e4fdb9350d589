"""Runs commands at the same moment, each in a process of its own: `python together.py` reads them from stdin.

A line of JSON is a list of command lines; the answer is a list of exit codes and of what each command said.
The processes are forked after all that takes time has been imported, and start when both are there.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout

from tinynet.cli import main

MODULES = ("train", "tune", "crossval", "reproduce", "evaluate", "ensemble", "explain")
HEAVY = ("tinynet.runs.run", "tinynet.experiments.tuning.search", "tinynet.experiments.crossval")


def fork(arguments: list[str], go: int) -> tuple[int, str]:
    """Start `tinynet ARGUMENTS` in a process that first waits for a byte; its number, and its output."""
    descriptor, said = tempfile.mkstemp()
    pid = os.fork()
    if pid:
        os.close(descriptor)
        return pid, said
    code = 99
    try:
        os.read(go, 1)
        with os.fdopen(descriptor, "w") as output, redirect_stdout(output), redirect_stderr(output):
            from tinynet.cli.screen import console

            console.file = output
            main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        os._exit(code)
    raise AssertionError


def together(commands: list[list[str]]) -> list[tuple[int, str]]:
    """The exit code of each command, and what it said on one line."""
    go, start = os.pipe()
    processes = [fork(arguments, go) for arguments in commands]
    os.write(start, b"!" * len(commands))
    answers = []
    for pid, said in processes:
        _, status = os.waitpid(pid, 0)
        with open(said, encoding="utf-8") as output:
            answers.append((os.waitstatus_to_exitcode(status), " ".join(output.read().split())))
        os.unlink(said)
    os.close(go)
    os.close(start)
    return answers


if __name__ == "__main__":
    for name in MODULES:
        importlib.import_module(f"tinynet.cli.{name}")
    for name in HEAVY:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(together(json.loads(line))), flush=True)
