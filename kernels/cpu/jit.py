"""The one decorator of the CPU kernels.

A kernel is a serial function over the part [start, stop) of its outermost axis. It runs without the GIL, so
the caller's threads can work on other parts at the same time; no `parallel=True`, which compiles for seconds,
breaks after a fork and competes with BLAS for the cores.

A part must give the same bits wherever it begins and ends. Elementwise kernels may therefore fuse a
multiplication with an addition, nothing more; `reorder=True` also lets the compiler reorder the sums inside
one chunk. Neither assumes that there are no NaNs.

Compiled code is kept on disk, in $NUMBA_CACHE_DIR/tinynet or else in the user's cache folder. There, each
version has a folder of its own: the bytes of all files beside this one, as kernels are built out of one
another, and Numba's version. Installations of the same version share it, wherever they lie.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path

import llvmlite
import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, _CacheLocator
from numba.core.runtime import rtsys

announce = None
"""Called without arguments before a kernel that is not in the cache is compiled, if set."""

FUSE = {"contract"}
REORDER = {"contract", "reassoc", "nsz"}
KEPT_VERSIONS = 4
"""Folders kept on disk, this version's among them: those last used."""


def jit(function=None, *, reorder=False):
    """Compile `function` on its first call for each combination of argument types.

    `launch` of the result runs it on several threads: see `crew`.
    """
    if function is None:
        return lambda function: jit(function, reorder=reorder)
    from tinynet.kernels.cpu import crew  # which needs this file

    kernel = compiled(function, reorder=reorder)
    if not is_disabled():
        kernel.launch = compiled(crew.launcher(kernel, function))
    return kernel


def is_disabled():
    """Whether NUMBA_DISABLE_JIT is set: kernels then run as they are, in Python."""
    return bool(numba.config.DISABLE_JIT)


def compiled(function, *, reorder=False):
    """The same without `launch`; the function itself under NUMBA_DISABLE_JIT."""
    if is_disabled():
        return function
    fastmath = REORDER if reorder else FUSE
    kernel = numba.jit(nopython=True, nogil=True, error_model="numpy", fastmath=fastmath)(function)
    kernel._cache = KernelCache(function)  # what enable_caching does, with our cache
    return kernel


# --- the cache on disk --------------------------------------------------------------------------------------


def cache_folder():
    """Where this version's compiled kernels are kept."""
    return _root() / version()


def cache_contents():
    """(kernels, bytes) in `cache_folder`; a kernel counts once for each combination of argument types."""
    sizes = [file.stat().st_size for file in cache_folder().glob("*.nbc")]
    return len(sizes), sum(sizes)


@cache
def version():
    """A name for all that compiled code depends on, but for the processor and Python: files name these."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _root():
    if numba.config.CACHE_DIR:
        return Path(numba.config.CACHE_DIR) / "tinynet"
    import platformdirs

    return platformdirs.user_cache_path("tinynet") / "kernels"


@cache
def _mark_used(folder):
    """Once in each process: make the folder, or renew its date; delete those not used for longest."""
    with suppress(OSError):  # without a folder to write to, kernels are compiled in each process
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        versions = sorted(folder.parent.glob("[0-9a-f]" * 16), key=os.path.getmtime, reverse=True)
        for unused in versions[KEPT_VERSIONS:]:
            shutil.rmtree(unused, ignore_errors=True)


class _Locator(_CacheLocator):
    """Tells Numba where a function's compiled code is kept."""

    def __init__(self, function):
        self._line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, function, file):
        _mark_used(cache_folder())
        return cls(function)

    def get_cache_path(self):
        return str(cache_folder())

    def get_source_stamp(self):
        return version()

    def get_disambiguator(self):
        return str(self._line)


class _Implementation(CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class _Files(IndexDataCacheFile):
    """A file for each kernel and combination of argument types, named by both.

    Numba's own are numbered, and an index says which is which: of two processes that compile at the same
    time, both take the next number. A file here begins with its checksum, so a damaged one is not read.
    """

    def save(self, key, data):
        content = self._dump((self._source_stamp, key, data))
        with self._open_for_write(self._path(key)) as file:  # writes another file, then renames it
            file.write(hashlib.sha256(content).digest() + content)

    def load(self, key):
        try:
            written = Path(self._path(key)).read_bytes()
        except OSError:
            return None
        checksum, content = written[:32], written[32:]
        if hashlib.sha256(content).digest() != checksum:
            return None
        stamp, found, data = pickle.loads(content)  # noqa: S301 (we wrote it, as Numba does)
        return data if (stamp, found) == (self._source_stamp, key) else None

    def _path(self, key):
        digest = hashlib.sha256(repr(key).encode()).digest()
        return self._data_path(self._data_name(int.from_bytes(digest[:8], "big")))


class KernelCache(FunctionCache):
    """Numba's cache on disk, kept in `_Files`; that nothing can be written costs only the next start."""

    _impl_class = _Implementation

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = _Files(self.cache_path, self._impl.filename_base, version())

    def load_overload(self, sig, target_context):
        rtsys.initialize(target_context)  # Numba's own would load all that it can compile, too
        with self._guard_against_spurious_io_errors():
            found = self._load_overload(sig, target_context)
        if found is None and announce is not None:
            announce()
        return found

    def save_overload(self, sig, data):
        with suppress(OSError):
            super().save_overload(sig, data)
