"""Waiting for another thread without giving up the processor: sleeping and waking costs 100 µs and more.

A thread that waits here holds no GIL, so the others go on; and it waits for a bounded number of looks only.
"""

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinynet.kernels.cpu.jit import jit


def _plain_load(flags, place):
    return flags[place]


@intrinsic
def _atomic_load(context, flags, place):
    """flags[place], read anew from memory each time, and nothing after it moved before it."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = cgutils.gep_inbounds(builder, array.data, arguments[1])
        return builder.load_atomic(address, "acquire", 8)

    return types.int64(flags, types.intp), generate


@intrinsic
def _pause(context):
    """Tell an x86 core that this is a waiting loop: it saves power and leaves it without a stall."""

    def generate(context, builder, signature, arguments):
        if builder.module.triple.startswith(("x86_64", "i386", "i686")):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


UNCOMPILED = bool(numba.config.DISABLE_JIT)
look = _plain_load if UNCOMPILED else _atomic_load
pause = (lambda: None) if UNCOMPILED else _pause


@jit
def wait_for(flags, place, value, looks):
    """True as soon as flags[place] == value; False after so many looks. flags: int64."""
    for _ in range(looks):
        if look(flags, place) == value:
            return True
        pause()
    return False


@jit
def hand_over(flags, request, started, value, looks, settle):
    """Set flags[request] to value, wait until flags[started] follows, and `settle` so many pauses more.

    All that without the GIL: the other thread needs it for a few microseconds to begin its work. A thread
    that finds the GIL taken goes to sleep, and that is what costs.
    """
    flags[request] = value
    wait_for(flags, started, value, looks)
    for _ in range(settle):
        pause()


@jit
def report_and_wait(flags, done, value, request, looks):
    """Set flags[done] to value, then wait for flags[request] to be value + 1, as `wait_for` does."""
    flags[done] = value
    return wait_for(flags, request, value + 1, looks)
