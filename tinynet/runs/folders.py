"""Folders that runs, cross-validations and reports are written into: each is taken by one process."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from tinynet.errors import FolderInUseError, RunError
from tinynet.io.lock import FolderLock, is_free


def take(folder: Path, advice: str = "choose another --out") -> FolderLock:
    """Make and lock a folder that is new or empty. RunError, with that advice, where it is not."""
    lock = FolderLock(folder)
    if not is_free(folder):
        lock.release()
        raise not_empty(folder, advice)
    return lock


def take_next(name: str, parent: Path = Path("runs")) -> FolderLock:
    """Make and lock the first of parent/name-1, -2, … that is not there: no two processes get the same."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            folder = parent / f"{name}-{number}"
            try:
                folder.mkdir()
                return FolderLock(folder)
            except (FileExistsError, FolderInUseError):
                continue
    except OSError as error:
        raise RunError(
            f"no folder can be made in {parent}: {error.strerror}", fix="name another one: --out"
        ) from error
    raise AssertionError("numbers do not end")


def check_free(folder: Path) -> None:
    """Raise RunError unless `folder` is new or empty, without making it."""
    try:
        if is_free(folder):
            return
    except OSError as error:
        raise RunError(
            f"the folder {folder} cannot be used: {error.strerror}", fix="choose another --out"
        ) from error
    raise not_empty(folder)


def not_empty(folder: Path, advice: str = "choose another --out") -> RunError:
    """What to raise of a folder that holds something else."""
    return RunError(f"the folder {folder} is not empty", expected="a new folder, or an empty one", fix=advice)
