"""The one building block of dense layers and convolutions: a batch of small products, summed in registers.

    C[p, v] = start[v] + Σ_q Σ_r Σ_t  A[q·qa + r·ra + t·ta + p·sa] · B[q·qb + r·rb + t·tb + v]

for a tile of P rows and `width` columns of C. Strides do the rest: with r running over the rows of a window
and t along one row, it is a convolution that never builds the matrix of windows; with q over images, r and t
over pixels, it is that convolution's weight gradient. (Georganas et al., "High-performance deep learning via
a single building block", 2019.)

Why a tile, and why this size. A multiply-add needs two operands. Taken from memory for every use, they cost
far more than the arithmetic; so P·V vectors of C stay in registers while A and B stream by, and each step t
loads V vectors of B and P single values of A for P·V multiply-adds. With AVX-512 there are 32 registers of
16 floats: 14 × 2 of them hold C, two a row of B, one the value of A that is being spread over its lanes.
With AVX2 (16 registers of 8) the tile is 6 × 2. A multiply-add takes 4 cycles and two start in each, so at
least 8 must be under way at once: P·V ≥ 8.

What each step brought, in GFLOP/s on one thread of an Intel Xeon with AVX-512 (`python bench/brgemm.py`):

                                          576 × 288 · 288 × 64      128 × 9216 · 9216 × 128
    1. three loops, compiled                     27                         19
    2. NumPy's product (OpenBLAS)               127                        122
    3. the tile in registers                    130                         47
    4. ... with B packed into panels first      144                         97
    5. ... 128 of the depth at a time           140                        118

Packing costs a pass over B. It pays for convolutions, which read their kernel for every pixel. A deep product
(second column) is cut in depth instead: so much of B stays in a cache until all tiles have used it, and each
tile goes on from the sums it has left in C.

The tile's shape is part of a *type*: a tuple of three tuples, whose lengths are P, V and the lanes W of a
vector. So Numba compiles a tile when a layer first needs it, and keeps it on disk with the rest. They are
tuples of None: what has no value needs no code that takes it from Python.
"""

from __future__ import annotations

import os
from functools import cache

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from tinynet.kernels.cpu.numba_private import cgutils


def _definition(tile, a, a0, b, b0, c, c0, start, counts, a_strides, sa, b_strides, sc, columns, floor):
    """The sum at the top of this file, in NumPy.

    tile          a tuple of three tuples: P long, V long, and as long as a vector has lanes
    a, a0         flat A, and where the operand begins in it; b, b0 and c, c0 likewise
    start         what the sums begin with: a row (columns or more,) for all rows of the tile, or
                  (P or more, columns or more); empty: 0
    counts        (Q, R, T)
    a_strides     (qa, ra, ta), of A
    sa            from one row of the tile to the next, in A
    b_strides     (qb, rb, tb), of B
    sc            from one row of the tile to the next, in C
    columns       so many of the tile's columns exist
    floor         the least value stored: 0 makes it a ReLU, -∞ changes nothing
    """
    rows = np.arange(len(tile[0]))
    total = np.zeros((len(rows), columns), a.dtype)
    if start.size:
        total += np.atleast_2d(start)[: len(rows), :columns]
    for place in np.ndindex(counts):
        left = a[a0 + np.dot(place, a_strides) + rows * sa]
        first = b0 + np.dot(place, b_strides)
        total += left[:, None] * b[first : first + columns]
    for p in rows:
        c[c0 + p * sc : c0 + p * sc + columns] = np.where(total[p] < floor, floor, total[p])


@intrinsic
def _in_registers(
    context, tile, a, a0, b, b0, c, c0, start, counts, a_strides, sa, b_strides, sc, columns, floor
):
    """`_definition` as vector instructions. Full tiles load and store whole vectors, others masked ones."""
    rows, vectors, lanes = (part.count for part in tile)
    signature = types.void(
        tile, a, types.intp, b, types.intp, c, types.intp, start, counts, a_strides, types.intp,
        b_strides, types.intp, types.intp, a.dtype,
    )  # fmt: skip

    def generate(context, builder, signature, arguments):
        number = context.get_value_type(signature.args[1].dtype)
        vector = ir.VectorType(number, lanes)
        index = context.get_value_type(types.intp)
        zero = ir.Constant(vector, [0.0] * lanes)
        suffix = f"v{lanes}f{32 if isinstance(number, ir.FloatType) else 64}"
        align = 4 if isinstance(number, ir.FloatType) else 8

        def pointer(position):
            return context.make_array(signature.args[position])(context, builder, arguments[position]).data

        def constant(value):
            return ir.Constant(index, value)

        def ahead(base, *distances):
            for distance in distances:
                base = builder.gep(base, [distance])
            return base

        def lane_mask(v):
            """Which lanes of vector v exist."""
            remaining = builder.sub(columns, constant(v * lanes))
            spread = _broadcast(builder, remaining, lanes)
            numbers = ir.Constant(ir.VectorType(index, lanes), list(range(lanes)))
            return builder.icmp_signed("<", numbers, spread)

        def declare(name, result, operands):
            return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, operands), name)

        fma = declare(f"llvm.fma.{suffix}", vector, [vector] * 3)
        masks = ir.VectorType(ir.IntType(1), lanes)
        place = vector.as_pointer()
        masked_load = declare(f"llvm.masked.load.{suffix}.p0", vector, [place, ir.IntType(32), masks, vector])
        masked_store = declare(
            f"llvm.masked.store.{suffix}.p0", ir.VoidType(), [vector, place, ir.IntType(32), masks]
        )
        bytes_aligned = ir.Constant(ir.IntType(32), align)

        def load(base, v, whole):
            at = builder.bitcast(ahead(base, constant(v * lanes)), place)
            if whole:
                value = builder.load(at)
                value.align = align
                return value
            return builder.call(masked_load, [at, bytes_aligned, lane_mask(v), zero])

        def store(value, base, v, whole):
            at = builder.bitcast(ahead(base, constant(v * lanes)), place)
            if whole:
                builder.store(value, at).align = align
            else:
                builder.call(masked_store, [value, at, bytes_aligned, lane_mask(v)])

        a0, b0, c0, sa, sc, columns = (arguments[i] for i in (2, 4, 6, 10, 12, 13))
        counts, a_strides, b_strides = (cgutils.unpack_tuple(builder, arguments[i]) for i in (8, 9, 11))
        a, b, c = ahead(pointer(1), a0), ahead(pointer(3), b0), ahead(pointer(5), c0)
        beginning = context.make_array(signature.args[7])(context, builder, arguments[7])
        is_matrix = signature.args[7].ndim == 2
        line = builder.sdiv(cgutils.unpack_tuple(builder, beginning.strides)[0], beginning.itemsize)
        step = line if is_matrix else constant(0)
        sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]

        def compute(whole):
            for p in range(rows):
                for v in range(vectors):
                    builder.store(zero, sums[p][v])
            with builder.if_then(cgutils.is_not_null(builder, beginning.nitems)):
                for p in range(rows):
                    row = ahead(beginning.data, builder.mul(constant(p), step))
                    for v in range(vectors):
                        builder.store(load(row, v, whole), sums[p][v])
            row_starts = [builder.mul(constant(p), sa) for p in range(rows)]
            with cgutils.for_range(builder, counts[0]) as q:
                aq = ahead(a, builder.mul(q.index, a_strides[0]))
                bq = ahead(b, builder.mul(q.index, b_strides[0]))
                with cgutils.for_range(builder, counts[1]) as r:
                    ar = ahead(aq, builder.mul(r.index, a_strides[1]))
                    br = ahead(bq, builder.mul(r.index, b_strides[1]))
                    with cgutils.for_range(builder, counts[2]) as t:
                        at = ahead(ar, builder.mul(t.index, a_strides[2]))
                        bt = ahead(br, builder.mul(t.index, b_strides[2]))
                        right = [load(bt, v, whole) for v in range(vectors)]
                        for p in range(rows):
                            left = _broadcast(builder, builder.load(ahead(at, row_starts[p])), lanes)
                            for v in range(vectors):
                                total = builder.call(fma, [left, right[v], builder.load(sums[p][v])])
                                builder.store(total, sums[p][v])
            lowest = _broadcast(builder, arguments[14], lanes)
            for p in range(rows):
                row = ahead(c, builder.mul(constant(p), sc))
                for v in range(vectors):
                    total = builder.load(sums[p][v])
                    is_below = builder.fcmp_ordered("<", total, lowest)  # false for NaN, which must show
                    store(builder.select(is_below, lowest, total), row, v, whole)

        is_whole = builder.icmp_signed("==", columns, constant(vectors * lanes))
        with builder.if_else(is_whole, likely=True) as (then, otherwise):
            with then:
                compute(whole=True)
            with otherwise:
                compute(whole=False)
        return context.get_dummy_value()

    return signature, generate


def _broadcast(builder, value, lanes):
    """A vector with `value` in every lane."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    )


product_tile = _definition if numba.config.DISABLE_JIT else _in_registers


# --- the shape of a tile ------------------------------------------------------------------------------------

VARIABLE = "TINYNET_VECTOR_BITS"
"""Environment variable: 512, 256 or 128 forces that vector width, for instance to test it."""

TILE_HEIGHTS = (1, 2, 4, 6, 7, 8, 10, 14)
"""Rows that a tile may have: few choices, since each is compiled by itself."""


@cache
def vector_bits():
    """The widest vectors this processor computes with: 512, 256 or 128 bits."""
    forced = os.environ.get(VARIABLE)
    if forced:
        return int(forced)
    features = binding.get_host_cpu_features()
    return 512 if features.get("avx512f") else 256 if features.get("avx2") else 128


def lanes_for(itemsize):
    """The lanes of a vector, as kernels take them: a tuple that long."""
    return (None,) * (vector_bits() // 8 // itemsize)


@cache
def tile_for(rows, columns, itemsize):
    """The tile that covers `rows` × `columns` in the fewest cycles: of equals the highest of two vectors.

    Three vectors suit 48 columns, with 16 lanes. Two tiles of two would compute 64.
    The last tile of a column is moved up to end with it, so a tile is never higher than `rows`.
    """
    lanes = lanes_for(itemsize)

    def cycles(shape):
        vectors, height = shape
        tiles = -(-rows // height) * -(-columns // (vectors * len(lanes)))
        return tiles * max(height * vectors / 2, 4)  # two multiply-adds start in each, and each takes four

    widths = (1,) if columns <= len(lanes) else (2, 3)
    shapes = [(vectors, p) for vectors in widths for p in heights_for(vectors) if p <= rows]
    vectors, height = min(shapes, key=cycles)
    return (None,) * height, (None,) * vectors, lanes


def heights_for(vectors):
    """Heights of tiles so many vectors wide whose sums fit into the registers, the highest first."""
    registers = 16 if vector_bits() < 512 and not is_arm() else 32
    return [p for p in reversed(TILE_HEIGHTS) if (p + 1) * vectors + 1 <= registers]


def width_of(tile):
    """Columns of a tile."""
    return len(tile[1]) * len(tile[2])


def is_arm():
    return binding.get_process_triple().startswith(("aarch64", "arm64"))
