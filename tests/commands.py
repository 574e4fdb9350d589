"""The command line in this process, and the types of what its tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

from click.testing import CliRunner

from tinynet.cli import main

Command: TypeAlias = Callable[..., str]
"""Runs a command with these arguments, checks its exit code `code`, and returns what it said, on one line."""


class Trained(NamedTuple):
    """A run: its folder, and what the command said."""

    folder: Path
    said: str


def call(*arguments: object, code: int = 0) -> str:
    """Run `tinynet ARGUMENTS`, check its exit code and return what it said, on one line."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception  # a traceback is never what the user should see
    said = " ".join(result.output.split())
    assert result.exit_code == code, said
    return said
