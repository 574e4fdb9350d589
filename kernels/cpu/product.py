"""Matrix products out of tiles, and packing: dense layers, forward and both gradients.

Work is numbered by tile, so that a part of it stays with few panels of B (a panel is as many columns as a
tile is wide) or with few rows of A. The last tile of a column is moved up to end with the matrix: it computes
some rows again, with the same result.
"""

import numpy as np

from tinynet.kernels.cpu.brgemm import product_tile
from tinynet.kernels.cpu.jit import jit


@jit
def product(start, stop, a, a_strides, b, b_strides, before, c, depth, chunk, floor, by_row, tile):
    """Tiles [start, stop) of c = before + A · B, at least `floor`.

    a           flat: A[m, t] is a[m · a_strides[0] + t · a_strides[1]]
    a_strides   from one row of A (M, depth) to the next, and from one column to the next
    b           flat, in panels: B[t, n] is b[(n // width) · b_strides[0] + t · b_strides[1] + n % width]
    b_strides   from one panel of B (depth, N) to the next, and from one row to the next
    before      (M, N), or empty: 0
    c           (M, N), written
    depth       columns of A, rows of B
    chunk       so many of the depth at a time: this part of B stays in a cache while all tiles use it. Less
                than `depth` only where the tile's height divides M: overlapping tiles would add rows twice
    floor       the least value of c; 0: a ReLU
    by_row      number the tiles row by row (better where A is the large one), else panel by panel
    tile        see `brgemm`
    """
    M, N = c.shape
    flat = c.reshape(-1)
    height, width = len(tile[0]), len(tile[1]) * len(tile[2])
    down, across = (M + height - 1) // height, (N + width - 1) // width
    for first in range(0, depth, chunk):
        count = min(chunk, depth - first)
        lowest = floor if first + count == depth else c.dtype.type(-np.inf)
        for number in range(start, stop):
            panel, row = (number % across, number // across) if by_row else (number // down, number % down)
            n, m = panel * width, min(row * height, M - height)
            begin = before[m:, n:] if first == 0 else c[m:, n:]
            product_tile(
                tile, a, m * a_strides[0] + first * a_strides[1],
                b, panel * b_strides[0] + first * b_strides[1], flat, m * N + n, begin,
                (1, 1, count), (0, 0, a_strides[1]), a_strides[0], (0, 0, b_strides[1]),
                N, min(width, N - n), lowest,
            )  # fmt: skip


@jit
def product_of_parts(start, stop, a, a_strides, b, b_strides, nothing, sums, depth, chunk, tile):
    """sums[k] of sums (K, M, N): A · B over the k-th of K equal parts of the depth, for k in [start, stop).

    Each part has columns of A and rows of B of its own. Where B changes row by row between products, on the
    same threads, each thread then finds its rows in its own core's cache. `nothing` is an empty matrix; the
    other arguments are those of `product`.
    """
    share = (depth + len(sums) - 1) // len(sums)
    down = (sums.shape[1] + len(tile[0]) - 1) // len(tile[0])
    width = len(tile[1]) * len(tile[2])
    tiles = down * ((sums.shape[2] + width - 1) // width)
    for k in range(start, stop):
        first = k * share
        count = max(0, min(share, depth - first))
        left, right = a[first * a_strides[1] :], b[first * b_strides[1] :]
        lowest = a.dtype.type(-np.inf)
        product(
            0, tiles, left, a_strides, right, b_strides, nothing, sums[k], count, chunk, lowest, False, tile
        )


@jit
def add_parts(start, stop, sums, bias, floor, c):
    """Rows [start, stop) of c (M, N) = bias + Σ of sums (K, M, N), in order, at least `floor`."""
    for m in range(start, stop):
        for n in range(c.shape[1]):
            value = bias[n]
            for k in range(len(sums)):
                value += sums[k, m, n]
            c[m, n] = floor if value < floor else value


@jit
def pack(start, stop, b, panels):
    """panels (N / width, M, width) of b (M, N), the last one filled up with 0."""
    M, N = b.shape
    width = panels.shape[2]
    for panel in range(start, stop):
        columns = min(width, N - panel * width)
        for m in range(M):
            source, target = b[m, panel * width :], panels[panel, m]
            for v in range(columns):
                target[v] = source[v]
            for v in range(columns, width):
                target[v] = 0
