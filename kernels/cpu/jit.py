"""The one decorator of the CPU kernels.

A kernel is a serial function over the part [start, stop) of its outermost axis. It runs without the GIL, so
the caller's threads can work on other parts at the same time; no `parallel=True`, which compiles for seconds,
breaks after a fork and competes with BLAS for the cores.

A part must give the same bits wherever it begins and ends. Elementwise kernels may therefore fuse a
multiplication with an addition, nothing more; `reorder=True` also lets the compiler reorder the sums inside
one chunk. Neither assumes that there are no NaNs.

Arrays are copied element by element. For a slice set to an array Numba compiles what would say that the
shapes do not fit, for 1.5 seconds on an AMD EPYC.
"""

from __future__ import annotations

from types import FunctionType

from tinynet.kernels.cpu import crew
from tinynet.kernels.cpu.compiling import compiled, is_disabled
from tinynet.kernels.cpu.numba_private import CPUDispatcher


def _renamed(function):
    """The same function under another name, as the cache knows compiled code by names."""
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__module__, copy.__qualname__ = function.__module__, f"{function.__qualname__}_direct"
    return copy


class Kernel(CPUDispatcher):
    """A compiled function that other compiled functions call, `launch` among them; Python by `direct`."""

    def __call__(self, *arguments):
        return self.direct(*arguments)


def jit(function=None, *, reorder=False, fuse=True):
    """Compile `function` on its first call for each combination of argument types.

    Without `fuse` it gives the very bits that NumPy gives, operation by operation.
    `launch` of the result runs it on several threads: see `crew`.
    """
    if function is None:
        return lambda function: jit(function, reorder=reorder, fuse=fuse)
    options = {"reorder": reorder, "fuse": fuse}
    kernel = compiled(function, **options, from_python=False)
    if not is_disabled():
        kernel.__class__ = Kernel
        kernel.launch = compiled(crew.launcher(kernel, function))
        kernel.direct = compiled(_renamed(function), **options)
    return kernel
