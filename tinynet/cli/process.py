"""What the shell sees of a command: how it was called, and how it ends."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

INTERRUPTED = 130
"""The exit code of a program ended by Ctrl-C, by the shell's convention."""


def command_line(launcher: Sequence[str] = ()) -> str:
    """The command that is running, as a line to repeat; `launcher`: such as ["mpiexec", "-n", "2"]."""
    return shlex.join([*launcher, "tinynet", *sys.argv[1:]])
