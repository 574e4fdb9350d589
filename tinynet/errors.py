"""Errors a person can act on: each says what is wrong, what was expected, what came, and the likely fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from tinynet.printable import printable

LONGEST = 4000
"""Characters that an error says at most: a file can hold any number of them."""


class TinynetError(Exception):
    """A mistake the user can mend. The command line prints it without a traceback and exits non-zero.

    What it says may come out of a file, so it is made `printable`.
    """

    def __init__(
        self, problem: str, *, expected: object = None, received: object = None, fix: str | None = None
    ) -> None:
        lines = [problem]
        for label, value in (("expected", expected), ("received", received), ("fix", fix)):
            if value is not None:
                lines.append(f"  {label}: {value}")
        text = "\n".join(lines)
        super().__init__(printable(text[:LONGEST] + "…" * (len(text) > LONGEST), keep="\n\t"))


class ShapeError(TinynetError, ValueError):
    """An array has the wrong shape."""


class DTypeError(TinynetError, TypeError):
    """An array has the wrong element type."""


class ConfigError(TinynetError, ValueError):
    """An option, a name or a key of a configuration is unknown or out of range."""


class DataError(TinynetError, ValueError):
    """A data set or one of its files is missing, damaged or of another kind."""


class BackendError(TinynetError, RuntimeError):
    """A backend was asked for that this machine cannot run."""


class DeviceError(TinynetError, TypeError):
    """An array lies elsewhere than where it is computed with: on the host, or on another device."""


class OutOfMemoryError(TinynetError, MemoryError):
    """What is computed with does not fit into the memory of the machine or of the device."""


class CheckpointError(TinynetError, RuntimeError):
    """A checkpoint is damaged, foreign, or of another model."""


class NonFiniteError(TinynetError, ArithmeticError):
    """A NaN or an infinity appeared in data, in a loss or in the parameters."""


class ProcessLostError(TinynetError, RuntimeError):
    """Of several processes that train together, one does not answer any more."""


class RunError(TinynetError, RuntimeError):
    """A run folder cannot be used as asked."""


class FolderInUseError(RunError):
    """Another process is at work in a folder."""


class TinynetWarning(UserWarning):
    """What is asked for can be done, and will hardly do what was meant."""


def did_you_mean(name: object, known: Iterable[str]) -> str | None:
    """The fix for an unknown name that is almost a known one, in capital letters or small ones."""
    by_letters = {each.lower(): each for each in known}
    nearest = difflib.get_close_matches(str(name).lower(), by_letters, 1)
    return f"did you mean {by_letters[nearest[0]]!r}?" if nearest else None
