"""The one place where a file is written so that a crash or a full disk never leaves half of one."""

from __future__ import annotations

import errno
import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tinynet.io.reading import check_regular


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write into that replaces `path` when the block ends, whole or not at all.

    The bytes go to a temporary file in the same folder, reach the disk (fsync), and then take the name in
    one step (`os.replace`). If anything fails before that step, the temporary file is removed, the old file
    stays as it was, and the error (usually an OSError) propagates. The folder must exist.

    Where `path` is a symbolic link, the file that it names is replaced. A file keeps its permissions. What is
    no regular file, such as a device or a pipe, is refused with an OSError and stays.
    """
    path, target = Path(path), Path(os.path.realpath(path))
    temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        permissions = _permissions(target)
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if permissions is not None:
            os.chmod(temporary, permissions)
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        error.filename, error.filename2 = os.fspath(path), None  # the name that a person knows
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


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
    if error.errno == errno.EINVAL:
        return "name a file that is new, or one that may be replaced"
    return ""


def _permissions(path: Path) -> int | None:
    """Those of the file at `path`; None where there is nothing. OSError where it is no regular file."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    check_regular(path, found)
    return stat.S_IMODE(found.st_mode) & 0o777


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut. Windows cannot open a folder, and does this by itself."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
