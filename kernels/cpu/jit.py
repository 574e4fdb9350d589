"""The one decorator of the CPU kernels.

A kernel is a serial function over the part [start, stop) of its outermost axis. It runs without the GIL, so
the caller's threads can work on other parts at the same time; no `parallel=True`, which compiles for seconds,
breaks after a fork and competes with BLAS for the cores.

A part must give the same bits wherever it begins and ends. Elementwise kernels may therefore fuse a
multiplication with an addition, nothing more; `reorder=True` also lets the compiler reorder the sums inside
one chunk. Neither assumes that there are no NaNs.

Compiled code is cached on disk. Numba compiles anew when a kernel's own file has changed; here when any file
of this folder has, as kernels are built out of one another.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numba
from numba.core.caching import FunctionCache

announce = None
"""Called without arguments before a kernel that is not in the cache is compiled, if set."""

FUSE = {"contract"}
REORDER = {"contract", "reassoc", "nsz"}


class ForgivingCache(FunctionCache):
    """Numba's cache on disk, valid while no file of this folder changes.

    Failing to write to it (full, read-only by now) costs only the next start.
    """

    def __init__(self, function):
        super().__init__(function)
        self._cache_file._source_stamp = folder_stamp()

    def load_overload(self, sig, target_context):
        found = super().load_overload(sig, target_context)
        if found is None and announce is not None:
            announce()
        return found

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except OSError:
            self.disable()


@cache
def folder_stamp():
    """What changes when a file beside this one does."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def jit(function=None, *, reorder=False):
    """Compile `function` on its first call for each combination of argument types."""
    if function is None:
        return lambda function: jit(function, reorder=reorder)
    fastmath = REORDER if reorder else FUSE
    kernel = numba.jit(nopython=True, nogil=True, error_model="numpy", fastmath=fastmath)(function)
    if hasattr(kernel, "enable_caching"):  # not so under NUMBA_DISABLE_JIT: that hands the function back
        try:
            kernel._cache = ForgivingCache(function)  # what enable_caching does, with our cache
        except RuntimeError:  # no place on this machine can be written: compile anew in each process
            return kernel
    return kernel
