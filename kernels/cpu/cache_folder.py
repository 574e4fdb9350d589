"""The folder of compiled kernels.

Compiled code is kept on disk, in $NUMBA_CACHE_DIR/tinynet or else in the user's cache folder. There, each
version has a folder of its own: the bytes of all files beside this one, as kernels are built out of one
another, and Numba's version. Installations of the same version share it, wherever they lie. Numba unpickles
what it finds there, so no folder is used that others can write to, and no file of theirs. A release of
Numba's whose private classes `cache` cannot build on keeps compiled code its own way.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path

import llvmlite
import numba

announce = None
"""Called without arguments before a kernel that is not in the folder is compiled, if set."""
on_first = None
"""The same, before `announce`; whoever sets it takes it away at the first call."""
KEPT_VERSIONS = 4
"""Folders kept on disk, this version's among them: those last used."""


def current():
    """Where this version's compiled kernels are kept."""
    return _root() / version()


def read_private(path):
    """The bytes of a file that nobody else can have written, else None. OSError where there is none."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # waits for no pipe
    with open(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        return file.read() if stat.S_ISREG(found.st_mode) and _is_private(found) else None


def launches():
    """How many kernels are in `current` ready to be run on several threads, each for its argument types."""
    return sum(1 for _ in current().glob("*_shared_*.nbc"))


def contents():
    """(kernels, bytes) in `current`; a kernel counts once for each combination of argument types."""
    sizes = [file.stat().st_size for file in current().glob("*.nbc")]
    return len(sizes), sum(sizes)


@cache
def version():
    """A name for all that compiled code depends on, but for the processor and Python: files name these."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _root():
    import platformdirs

    try:
        own = platformdirs.user_cache_path("tinynet") / "kernels"
    except RuntimeError:  # a user without a home, as in many containers
        own = Path(tempfile.gettempdir()) / "tinynet-kernels"
    return safe_root(Path(numba.config.CACHE_DIR) / "tinynet" if numba.config.CACHE_DIR else own, own)


@cache
def safe_root(wanted, own):
    """`wanted`, or where others can write to it `own`, or else a folder that ends with this process."""
    if is_ours_alone(wanted):
        return wanted
    place = own
    if not is_ours_alone(own):
        place = Path(tempfile.mkdtemp(prefix="tinynet-kernels-"))
        atexit.register(shutil.rmtree, place, ignore_errors=True)
    warnings.warn(
        f"others can write to {wanted}: compiled kernels are kept in {place}\n"
        f"  fix: a folder of your own with mode 700, or NUMBA_CACHE_DIR for another one",
        stacklevel=2,
    )
    return place


def is_ours_alone(folder):
    """Whether nobody else can write to the folder, or nothing is there yet."""
    try:
        return _is_private(os.lstat(folder)) and _is_private(os.stat(folder))  # a link and what it leads to
    except OSError:
        return True


def _is_private(found):
    """Whether it belongs to this user or to root, and neither a group nor others may write to it."""
    if os.name == "nt":
        return True  # which has no such modes; the user's cache folder is the user's
    link = stat.S_ISLNK(found.st_mode)  # the mode of a link says nothing
    return found.st_uid in (os.geteuid(), 0) and (link or not found.st_mode & 0o022)


@cache
def mark_used(folder):
    """Once in each process: make the folder, or renew its date; delete those not used for longest."""
    with suppress(OSError):  # without a folder to write to, kernels are compiled in each process
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        os.utime(folder)
        versions = sorted(folder.parent.glob("[0-9a-f]" * 16), key=os.path.getmtime, reverse=True)
        for unused in versions[KEPT_VERSIONS:]:
            shutil.rmtree(unused, ignore_errors=True)
