"""A lock on a folder that one process holds at a time, and that vanishes with its process.

It is the operating system's lock on a file in the folder; the file's text says which process has it. The file
is removed when the lock is given back. One that a killed process left is locked by nobody, and taken over.
"""

from __future__ import annotations

import errno
import os
import platform
import sys
import time
import weakref
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

from tinynet.errors import FolderInUseError, RunError
from tinynet.io.atomic import is_temporary

P = ParamSpec("P")
T = TypeVar("T")

NAME = ".lock"
WAIT = 60.0
"""Seconds that a writer of some seconds waits for another one."""
POLL = 0.05
"""Seconds between two attempts of a process that waits."""
BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class FolderLock:
    """The lock on `folder`, which is made where it is missing; held until `release`, or for a `with` block.

    wait   seconds to wait where another process has the folder. FolderInUseError after that, and RunError
           where the folder cannot be made or written.
    """

    def __init__(self, folder: Path, *, wait: float = 0.0) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = _take(folder / NAME, wait)
        except OSError as error:
            raise RunError(
                f"the folder {folder} cannot be used: {error.strerror or error}",
                fix="make it writable for you, or use another folder",
            ) from error
        self._finalizer = weakref.finalize(self, _give_back, folder / NAME, descriptor)

    def release(self) -> None:
        """Give the folder to others. Harmless when it is done already."""
        self._finalizer()

    def clean(self) -> None:
        """Remove what killed processes left half written, where none writes without the lock."""
        for path in self.folder.iterdir():
            if is_temporary(path):
                path.unlink(missing_ok=True)

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def one_at_a_time(write: Callable[Concatenate[Path, P], T]) -> Callable[Concatenate[Path, P], T]:
    """Let `write`, whose first parameter is a folder, wait while another process writes there, up to WAIT."""

    @wraps(write)
    def write_alone(folder: Path, /, *arguments: P.args, **settings: P.kwargs) -> T:
        with FolderLock(folder, wait=WAIT):
            return write(folder, *arguments, **settings)

    return write_alone


def is_free(folder: Path) -> bool:
    """Whether there is no such folder, or nothing in it but a lock and what killed processes left half."""
    if not folder.exists():
        return True
    return all(path.name == NAME or is_temporary(path) for path in folder.iterdir())


def _take(path: Path, wait: float) -> int:
    """The descriptor of the locked file."""
    deadline = time.monotonic() + wait
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(descriptor):
                if time.monotonic() >= deadline:
                    raise _in_use(path.parent, os.read(descriptor, 200))
                time.sleep(POLL)
            elif _is_at(path, descriptor):  # else its last owner has removed it since we opened it
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode())
                taken, descriptor = descriptor, -1
                return taken
        finally:
            if descriptor >= 0:
                os.close(descriptor)


def _give_back(path: Path, descriptor: int) -> None:
    if sys.platform != "win32" and _is_at(path, descriptor):  # Windows does not remove a file that is open
        path.unlink()
    os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one at `path`."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _in_use(folder: Path, owner: bytes) -> FolderInUseError:
    return FolderInUseError(
        f"another process is at work in {folder}",
        received=owner.decode("utf-8", "replace").strip() or None,
        fix="wait until it ends, or stop it",
    )


if sys.platform == "win32":
    import msvcrt

    FAR = 2**30
    """The byte that is locked: a locked one cannot be read, and the text should be."""

    def _lock(descriptor: int) -> bool:
        os.lseek(descriptor, FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in BUSY:
                return False
            raise
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        """Lock the file unless another process has it; whether it is locked now."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in BUSY:
                return False
            raise
        return True
