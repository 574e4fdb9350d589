"""The one decorator of the CPU kernels.

A kernel is a serial function over the part [start, stop) of its outermost axis. It runs without the GIL, so
the caller's threads can work on other parts at the same time; no `parallel=True`, which compiles for seconds,
breaks after a fork and competes with BLAS for the cores.

A part must give the same bits wherever it begins and ends. Elementwise kernels may therefore fuse a
multiplication with an addition, nothing more; `reorder=True` also lets the compiler reorder the sums inside
one chunk. Neither assumes that there are no NaNs.
"""

from __future__ import annotations

from tinynet.kernels.cpu import crew
from tinynet.kernels.cpu.compiling import compiled, is_disabled


def jit(function=None, *, reorder=False):
    """Compile `function` on its first call for each combination of argument types.

    `launch` of the result runs it on several threads: see `crew`.
    """
    if function is None:
        return lambda function: jit(function, reorder=reorder)
    kernel = compiled(function, reorder=reorder)
    if not is_disabled():
        kernel.launch = compiled(crew.launcher(kernel, function))
    return kernel
