"""The one place where a file is opened to be read: a regular file, no larger than its reader expects.

A file can come from anywhere. A pipe in its place would make a reader wait for ever, a device would never
end, a huge file would fill the memory, and JSON nested ten thousand deep would exhaust the stack. All of it
is an OSError or a ValueError here; readers turn these into the errors of their own.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, cast

MAX_DEPTH = 100
"""Levels of tables and lists in one another. Our own have ten, and four more for each run started from."""

CHUNK = 1 << 16

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file, opened for reading. OSError for anything else there, without waiting for it."""
    check_regular(path, os.stat(path))  # first, as opening a device can set it to work
    file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 (the caller closes it)
    try:
        check_regular(path, os.fstat(file.fileno()))
    except OSError:
        file.close()
        raise
    return cast(BinaryIO, file)


def check_regular(path: str | os.PathLike[str], found: os.stat_result) -> None:
    """Raise OSError where what `os.stat` found at `path` is no regular file."""
    if stat.S_ISREG(found.st_mode):
        return
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    kind = KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
    raise OSError(errno.EINVAL, f"it is {kind}, no file", os.fspath(Path(path)))


def read_regular(path: str | os.PathLike[str], limit: int) -> bytes:
    """The bytes of a regular file. OSError where there are more than `limit`."""
    data = b""
    with open_regular(path) as file:
        expected = os.fstat(file.fileno()).st_size
        while max(expected, len(data)) <= limit:
            more = file.read(max(expected - len(data) + 1, CHUNK))
            if not more:
                return data
            data += more
    raise OSError(errno.EFBIG, f"larger than {limit:,} bytes", os.fspath(path))


def read_text(path: str | os.PathLike[str], limit: int) -> str:
    """The text of a UTF-8 file of at most `limit` bytes. OSError, ValueError."""
    return read_regular(path, limit).decode("utf-8")


def read_json(path: str | os.PathLike[str], limit: int) -> Any:
    """What a JSON file of at most `limit` bytes holds. OSError, ValueError."""
    return parse_json(read_text(path, limit))


def parse_json(text: str) -> Any:
    """What the JSON `text` says, as `check_plain` allows it. ValueError for all else."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from error
    check_plain(value)
    return value


def check_plain(value: Any) -> None:
    """Raise ValueError where tables and lists are nested too deep, or a whole number has more than 64 bits.

    Both are legal in JSON and TOML, and break what comes after: recursion, and arithmetic in floats.
    """
    level, depth = [value], 0
    while level:
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
            elif isinstance(each, int) and not -(2**63) <= each < 2**64:
                raise ValueError("a whole number of more than 64 bits")
        level, depth = inner, depth + 1


def reason(error: Exception) -> str:
    """Why a file could not be read, without the path that an OSError repeats."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe may have come since `stat`
