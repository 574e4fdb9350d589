"""A crew of threads that share out the parts of one kernel, without the GIL from the first part to the last.

A job is a kernel, its arguments, and the number of parts that its range is cut into. To start one, a thread
writes the job's address on the board, a small array that all see, and adds 1 to the ticket there. A worker
that sees a new ticket enters the job and takes parts until none is left. The thread that started it works
too, closes the job when no part is left, and then waits only for the workers inside: one whose core is busy
with something else delays nobody. Jobs stay in memory and can be run again, many in a row, without Python.

Each thread begins with its own share of the parts, the same at every step, and then helps the others. So what
one kernel leaves in a core's cache, such as a gradient, the next kernel finds there.

Subnormal numbers (below 1.2e-38 in float32) count as 0 here, where a processor can do that: gradients that
fade reach them, and computing with them takes a hundred times longer.

Handing over a job costs about half a microsecond: an atomic write, and a cache line that moves to another
core. Waking a sleeping thread costs 50 and more, and waiting for the GIL up to 5,000.
"""

from __future__ import annotations

import hashlib
import sys
from inspect import signature
from types import FunctionType
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinynet.kernels.cpu.compiling import compile_into, compiled
from tinynet.kernels.cpu.numba_private import cgutils

LINE = 8
"""Words of a cache line: what different threads write lies on lines of their own."""
FUNCTION, THREADS, COUNT, PARTS, ALIGN = range(5)
"""Words of a job (int64): the address of its function, the most threads it may have, the length of its
range, the number of parts, the multiple at which all parts but the last end."""
ARGUMENTS = LINE
"""The first word of a job's arguments."""
JOB_SIZE = ARGUMENTS + 256
LOCK, TICKET, OPEN, INSIDE, JOB = range(0, 5 * LINE, LINE)
"""Words of the board (int64): 1 while a job is under way; jobs so far; 1 while workers may enter; workers
inside; the address of the job."""
MAX_THREADS = 256
NEXT_PART = JOB + LINE
"""The first of one line a slot: the next part of that thread's share."""
BOARD_SIZE = NEXT_PART + MAX_THREADS * LINE
LOOKS_PER_YIELD = 2000
"""So often a thread looks for what should happen at once before it yields its core to other threads."""

WORD = ir.IntType(64)


def _element(context, builder, signature, arguments, position):
    array = context.make_array(signature.args[position])(context, builder, arguments[position])
    return cgutils.gep_inbounds(builder, array.data, arguments[position + 1])


@intrinsic
def atomic_load(context, board, place):
    """board[place], read from memory; the compiler moves nothing that follows to before it."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(_element(context, builder, signature, arguments, 0), "seq_cst", 8)

    return types.int64(board, types.intp), generate


@intrinsic
def atomic_add(context, board, place, amount):
    """Add `amount` to board[place] in one step; return what it was."""

    def generate(context, builder, signature, arguments):
        place = _element(context, builder, signature, arguments, 0)
        return builder.atomic_rmw("add", place, arguments[2], "seq_cst")

    return types.int64(board, types.intp, types.int64), generate


@intrinsic
def compare_and_swap(context, board, place, before, after):
    """Set board[place] to `after` if it is `before`, in one step; return whether it was."""

    def generate(context, builder, signature, arguments):
        place = _element(context, builder, signature, arguments, 0)
        result = builder.cmpxchg(place, arguments[2], arguments[3], "seq_cst", "seq_cst")
        return builder.extract_value(result, 1)

    return types.boolean(board, types.intp, types.int64, types.int64), generate


@intrinsic
def pause(context):
    """Tell an x86 core that this loop waits: it saves power, and leaves the loop without a stall."""

    def generate(context, builder, signature, arguments):
        if builder.module.triple.startswith(("x86_64", "i386", "i686")):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def yield_core(context):
    """Give up the core to a thread that waits for one."""

    def generate(context, builder, signature, arguments):
        if sys.platform != "win32":
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate


FLUSH_SUBNORMALS = 0x8040
"""Bits of an x86 core's floating-point control register: subnormal operands and results count as 0."""


@intrinsic
def float_control(context, setting):
    """Set the floating-point control register, unless `setting` is negative; return what it was."""

    def generate(context, builder, signature, arguments):
        before = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(32), 0))
        if builder.module.triple.startswith(("x86_64", "i386", "i686")):
            kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
            store, load = (
                cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}mxcsr")
                for name in ("st", "ld")
            )
            after = cgutils.alloca_once_value(builder, builder.trunc(arguments[0], ir.IntType(32)))
            builder.call(store, [builder.bitcast(before, ir.IntType(8).as_pointer())])
            with builder.if_then(builder.icmp_signed(">=", arguments[0], ir.Constant(WORD, 0))):
                builder.call(load, [builder.bitcast(after, ir.IntType(8).as_pointer())])
        return builder.zext(builder.load(before), WORD)

    return types.int64(types.int64), generate


TASK = ir.FunctionType(ir.VoidType(), [WORD.as_pointer(), WORD, WORD, WORD])
"""A kernel as workers call it: (its packed arguments, the worker's slot, start, stop)."""


@intrinsic
def write_job(context, kernel, slot, job, arguments):
    """Write the compiled kernel's address and its `arguments` (a tuple) into `job`.

    `slot`: an empty tuple for a kernel that does not ask for its slot.
    """
    taken = (types.intp, types.intp, *[types.intp] * slot.count, *arguments.types)

    def generate(context, builder, signature, values):
        space = (JOB_SIZE - ARGUMENTS) * 8
        needed = context.get_abi_sizeof(values[3].type)
        if needed > space:
            raise ValueError(f"the arguments take {needed} bytes; a job has room for {space}")
        compiled = compile_into(context.active_code_library, kernel.dispatcher, taken)
        task = ir.Function(builder.module, TASK, builder.module.get_unique_name("task"))
        task.linkage = "internal"
        inside = ir.IRBuilder(task.append_basic_block())
        packed, number, start, stop = task.args
        held = inside.load(inside.bitcast(packed, values[3].type.as_pointer()))
        everything = [start, stop, *[number] * slot.count, *cgutils.unpack_tuple(inside, held)]
        callee = context.declare_function(inside.module, compiled.fndesc)
        context.call_conv.call_function(inside, callee, types.none, taken, everything)
        inside.ret_void()

        data = context.make_array(signature.args[2])(context, builder, values[2]).data
        room = builder.gep(data, [ir.Constant(WORD, ARGUMENTS)])
        borrowed = _borrowed(context, builder, arguments, values[3])
        builder.store(borrowed, builder.bitcast(room, borrowed.type.as_pointer()))
        builder.store(builder.ptrtoint(task, WORD), builder.gep(data, [ir.Constant(WORD, FUNCTION)]))
        return context.get_dummy_value()

    return types.void(kernel, slot, job, arguments), generate


def _borrowed(context, builder, kind, arguments):
    """The tuple `arguments` of type `kind`, with arrays that hold no reference to their memory.

    References are counted by an object that lives for one call from Python; the job may run after it.
    """
    items = list(cgutils.unpack_tuple(builder, arguments))
    for position, item in enumerate(kind.types):
        if isinstance(item, types.Array):
            array = context.make_array(item)(context, builder, items[position])
            array.meminfo = cgutils.get_null_value(array.meminfo.type)
            array.parent = cgutils.get_null_value(array.parent.type)
            items[position] = array._getvalue()
    return context.make_tuple(builder, kind, items)


def _word(builder, address, place):
    pointer = builder.inttoptr(address, WORD.as_pointer())
    return builder.gep(pointer, [place])


@intrinsic
def job_word(context, job, place):
    """Word `place` of the job at address `job`."""

    def generate(context, builder, signature, arguments):
        return builder.load(_word(builder, *arguments))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def run_task(context, job, slot, start, stop):
    """Call the function of the job at address `job`, with the arguments that lie there."""

    def generate(context, builder, signature, arguments):
        function = builder.load(_word(builder, arguments[0], ir.Constant(WORD, FUNCTION)))
        packed = _word(builder, arguments[0], ir.Constant(WORD, ARGUMENTS))
        builder.call(builder.inttoptr(function, TASK.as_pointer()), [packed, *arguments[1:]])
        return context.get_dummy_value()

    return types.void(types.int64, types.intp, types.intp, types.intp), generate


@compiled
def take_parts(board, job, slot):
    """Run the parts of this slot's share, then what is left of the others'."""
    threads, count = job_word(job, THREADS), job_word(job, COUNT)
    parts, align = job_word(job, PARTS), job_word(job, ALIGN)
    units = (count + align - 1) // align
    for neighbour in range(slot, slot + threads):
        owner = neighbour % threads
        end = parts * (owner + 1) // threads
        while True:
            part = atomic_add(board, NEXT_PART + owner * LINE, 1)
            if part >= end:
                break
            start, stop = units * part // parts * align, units * (part + 1) // parts * align
            run_task(job, slot, start, min(stop, count))


@compiled
def share_out(board, job):
    """Run `job` with all workers who come and may take part; return when it is done."""
    address, threads, parts = job.ctypes.data, job[THREADS], job[PARTS]
    board[JOB] = address
    for slot in range(threads):
        board[NEXT_PART + slot * LINE] = parts * slot // threads
    compare_and_swap(board, OPEN, 0, 1)
    atomic_add(board, TICKET, 1)
    take_parts(board, address, 0)
    compare_and_swap(board, OPEN, 1, 0)
    looks = 0
    while atomic_load(board, INSIDE) > 0:
        pause()
        looks += 1
        if looks % LOOKS_PER_YIELD == 0:
            yield_core()
    compare_and_swap(board, LOCK, 1, 0)


@compiled
def serve(board, slot, seen, max_looks):
    """Work on every new job; return the last ticket seen after `max_looks` looks without a new one."""
    idle = 0
    float_control(float_control(-1) | FLUSH_SUBNORMALS)
    while idle < max_looks:
        ticket = atomic_load(board, TICKET)
        if ticket == seen:
            idle += 1
            pause()
        else:
            seen, idle = ticket, 0
            atomic_add(board, INSIDE, 1)
            if atomic_load(board, OPEN) == 1 and slot < job_word(board[JOB], THREADS):
                take_parts(board, board[JOB], slot)
            atomic_add(board, INSIDE, -1)
    return seen


@compiled
def run_all(board, jobs):
    """Run `jobs` (one a row) in turn, alone where a job has one part or others are using the crew."""
    before = float_control(-1)
    float_control(before | FLUSH_SUBNORMALS)
    for number in range(len(jobs)):
        job = jobs[number]
        if job[PARTS] > 1 and compare_and_swap(board, LOCK, 0, 1):
            share_out(board, job)
        else:
            run_task(job.ctypes.data, 0, 0, job[COUNT])
    float_control(before)


kernel: Any = None
slot: tuple[int, ...] = ()
"""Globals of `_launch`; each kernel's copy has its own, from `launcher`."""


def _launch(jobs, threads, count, parts, align, *arguments):
    job = jobs[0]
    write_job(kernel, slot, job, arguments)
    job[THREADS], job[COUNT], job[PARTS], job[ALIGN] = threads, count, parts, align


def first_slot(function):
    """(0,) for a kernel whose third parameter is `slot`, else ()."""
    return (0,) if list(signature(function).parameters)[2:3] == ["slot"] else ()


def launcher(kernel, function):
    """launch(jobs, threads, count, parts, align, *arguments) of a kernel, to be compiled like it.

    It writes the job into the one row of `jobs`, for `run_all`: again, if the row and the arrays are kept.
    `function` is the kernel before compilation. If its third parameter is `slot`, it gets the number
    of the thread that runs it, below `threads`, for scratch memory of its own.
    """
    slot = first_slot(function)
    names = {**globals(), "kernel": kernel, "slot": slot}
    launch = FunctionType(_launch.__code__, names)
    own = hashlib.sha256(function.__code__.co_code).hexdigest()[:8]  # the cache knows launches by name
    launch.__module__, launch.__qualname__ = function.__module__, f"{function.__qualname__}_shared_{own}"
    return launch
