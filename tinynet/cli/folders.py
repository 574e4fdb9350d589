"""Folders that a command writes to: whether it can, and what the kernel cache holds."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tinynet.printable import counted

KERNEL_CACHE_FIX = "name a writable folder in NUMBA_CACHE_DIR; else kernels are compiled at every start"


def writable(folder: Path, fix: str) -> tuple[bool, str, str]:
    """(whether a file can be made in `folder`, a sentence about it, `fix` or "").

    A folder that does not exist yet is judged by the nearest one above it.
    """
    nearest = nearest_existing(folder)
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return True, f"{folder}{'' if nearest == folder else ' (made when needed)'}, can be written", ""
    except OSError as error:
        return False, f"{folder} cannot be written: {error.strerror}", fix


def nearest_existing(path: Path) -> Path:
    """`path` if it exists, else the nearest above it that does."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def kernel_cache_contents() -> str:
    """How many compiled kernels of this version are on disk, and their size."""
    from tinynet.kernels.cpu import cache_folder

    kernels, size = cache_folder.contents()
    return f"{counted(kernels, 'compiled kernel')}, {size / 1e6:.1f} MB"
