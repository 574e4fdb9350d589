"""Transposing a matrix by squares that fit into registers.

Element by element, one of the two matrices is walked through against the order of its memory. A square of
W × W values instead is read as W vectors and written as W vectors. In between, log2 W rounds of shuffles swap
ever larger squares across the diagonal, here for W = 4:

    a b c d      a e c g      a e i m
    e f g h  →   b f d h  →   b f j n        round s swaps with the vector s below
    i j k l      i m k o      c g k o
    m n o p      j n l p      d h l p
"""

from __future__ import annotations

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinynet.kernels.cpu.jit import jit


def _definition(lanes, a, a0, sa, b, b0, sb):
    """b[b0 + j · sb + i] = a[a0 + i · sa + j] for i and j below W = len(lanes); a and b are flat."""
    for i in range(len(lanes)):
        for j in range(len(lanes)):
            b[b0 + j * sb + i] = a[a0 + i * sa + j]


@intrinsic
def _in_registers(context, lanes, a, a0, sa, b, b0, sb):
    """`_definition` as vector instructions."""
    width = lanes.count
    signature = types.void(lanes, a, types.intp, types.intp, b, types.intp, types.intp)

    def generate(context, builder, signature, arguments):
        vector = ir.VectorType(context.get_value_type(a.dtype), width)
        align = a.dtype.bitwidth // 8

        def place(position, first, step, number):
            array = context.make_array(signature.args[position])(context, builder, arguments[position])
            distance = builder.mul(step, ir.Constant(step.type, number))
            return builder.bitcast(
                builder.gep(array.data, [builder.add(first, distance)]), vector.as_pointer()
            )

        def load(number):
            value = builder.load(place(1, arguments[2], arguments[3], number))
            value.align = align
            return value

        def shuffle(left, right, numbers):
            pattern = ir.Constant(ir.VectorType(ir.IntType(32), width), numbers)
            return builder.shuffle_vector(left, right, pattern)

        rows = [load(number) for number in range(width)]
        step = 1
        while step < width:
            upper = [j if not j & step else width + j - step for j in range(width)]
            lower = [j + step if not j & step else width + j for j in range(width)]
            for i in range(width):
                if not i & step:
                    pair = rows[i], rows[i + step]
                    rows[i], rows[i + step] = shuffle(*pair, upper), shuffle(*pair, lower)
            step *= 2
        for number, row in enumerate(rows):
            builder.store(row, place(4, arguments[5], arguments[6], number)).align = align
        return context.get_dummy_value()

    return signature, generate


transpose_square = _definition if numba.config.DISABLE_JIT else _in_registers


@jit
def pack_transposed(start, stop, b, panels, lanes):
    """panels (columns / width, M, width) = panels of bᵀ for b (N, M), the last one filled up with 0.

    lanes       a tuple as long as a vector has lanes; divides width
    """
    N, M = b.shape
    _, _, width = panels.shape
    W = len(lanes)
    flat, out = b.reshape(-1), panels.reshape(-1)
    for panel in range(start, stop):
        for k in range(0, width, W):
            n = panel * width + k
            for m in range(0, M, W):
                at = (panel * M + m) * width + k
                if n + W <= N and m + W <= M:
                    transpose_square(lanes, flat, n * M + m, M, out, at, width)
                else:
                    for j in range(min(W, M - m)):
                        for i in range(W):
                            out[at + j * width + i] = b[n + i, m + j] if n + i < N else 0
