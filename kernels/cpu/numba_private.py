"""Every private name of Numba's that the kernels use. No other file imports one.

Numba promises nothing of these: any release may move or drop them. Without those of the cache, kernels are
kept by Numba's own (`cache=True`; see `jit`). Nothing can take the place of `cgutils`, which writes code.
"""

from __future__ import annotations

import numba

NEEDED = "numba>=0.61,<0.69"
"""The releases that the kernels were tested with, as in pyproject.toml."""

try:
    from numba.core import cgutils, compiler
    from numba.core.registry import CPUDispatcher
except ImportError as error:
    raise ImportError(
        f"the kernels are compiled by {NEEDED}, and this is {numba.__version__}: {error}"
    ) from error

try:
    from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, _CacheLocator
    from numba.core.runtime import rtsys
except ImportError:
    HAS_CACHE = False
else:
    HAS_CACHE = True

__all__ = [
    "HAS_CACHE",
    "NEEDED",
    "CPUDispatcher",
    "CompileResultCacheImpl",
    "FunctionCache",
    "IndexDataCacheFile",
    "_CacheLocator",
    "cgutils",
    "compiler",
    "rtsys",
]
