"""A function compiled by Numba and kept on disk: a kernel without `launch`. `jit` says what it promises."""

from __future__ import annotations

from contextlib import suppress
from inspect import signature
from pathlib import Path

import numba
from numba import types

from tinynet.kernels.cpu import cache_folder
from tinynet.kernels.cpu.numba_private import HAS_CACHE, compiler

FUSE = {"contract"}
REORDER = {"contract", "reassoc", "nsz"}


def is_disabled():
    """Whether NUMBA_DISABLE_JIT is set: kernels then run as they are, in Python."""
    return bool(numba.config.DISABLE_JIT)


def compiled(function, *, reorder=False, fuse=True, from_python=True):
    """`function`, compiled for each combination of types; `function` itself under NUMBA_DISABLE_JIT.

    `fuse`: whether a multiplication and an addition may become one, which rounds once.
    `from_python`: whether Python calls it. What other compiled functions alone call needs no code that takes
    Python's arguments apart, which is a fifth of what there is to compile; Python must not call it.
    """
    if is_disabled():
        return function
    fastmath = REORDER if reorder else FUSE if fuse else set()
    options = {"no_cfunc_wrapper": True, "no_cpython_wrapper": not from_python}
    kernel = numba.jit(nopython=True, nogil=True, error_model="numpy", fastmath=fastmath, **options)(function)
    if HAS_CACHE:
        from tinynet.kernels.cpu.cache import KernelCache  # which only some releases of Numba have

        kernel._cache = KernelCache(function)  # what enable_caching does, with our cache
    else:
        function.__qualname__ += (
            f"_{cache_folder.version()}"  # Numba's own names files by it, and knows no other sources
        )
        named = numba.config.CACHE_DIR
        if not named or cache_folder.is_ours_alone(Path(named)):
            with suppress(RuntimeError):  # it finds no folder to write to
                kernel.enable_caching()
    return kernel


def compile_into(library, kernel, arguments):
    """Compile the kernel, which returns nothing, for arguments of these types, as a part of `library`.

    It is optimised with what calls it there, and becomes machine code once. As a library of its own, linked
    to the one that calls it, it would become machine code twice. A kernel of tiles gains a few percent where
    it is optimised alone before; others are kept apart from their caller, whose arguments lie in memory.
    """
    target, flags = kernel.targetdescr, compiler.Flags()
    target.options.parse_as_flags(flags, kernel.targetoptions)
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    contexts = target.typing_context, target.target_context
    found = compiler.compile_internal(
        *contexts, library, kernel.py_func, arguments, types.none, flags, locals={}
    )
    if "tile" in signature(kernel.py_func).parameters:
        library._optimize_final_module()
    else:
        library.get_function(found.fndesc.mangled_name).add_function_attribute("noinline")
    return found
