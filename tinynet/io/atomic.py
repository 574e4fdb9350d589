"""The one place where a file is written so that a crash or a full disk never leaves half of one."""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write into that replaces `path` when the block ends, whole or not at all.

    The bytes go to a temporary file in the same folder, reach the disk (fsync), and then take the name in
    one step (`os.replace`). If anything fails before that step, the temporary file is removed, the old file
    stays as it was, and the error (usually an OSError) propagates. The folder must exist.
    """
    path = Path(path)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        error.filename, error.filename2 = os.fspath(path), None  # the name that a person knows
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def is_temporary(path: Path) -> bool:
    """Whether a file is what `atomic_file` writes into first; one that stays was left by a killed process."""
    return re.fullmatch(r"\.[0-9a-f]{32}\.tmp", path.name) is not None


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the file at `path` by `data`: readers see the old bytes or the new ones, never a mixture."""
    with atomic_file(path) as file:
        file.write(data)


def fix_for(error: OSError) -> str:
    """What a person can do about a file that could not be written; "" where nothing is known."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some disk space"
    if error.errno in (errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST):
        return "a folder of that name lies in the way: move it, or choose another name"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "mend the folder's permissions, or choose another folder"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "make the folder first, or choose another one"
    return ""


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut. Windows cannot open a folder, and does this by itself."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
