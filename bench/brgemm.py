"""What each step towards the microkernel brought: one matrix product, one thread, five ways, in turn.

python bench/brgemm.py [M K N]
"""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import numba
import numpy as np
from rich.console import Console
from rich.table import Table

from tinynet import threads
from tinynet.kernels.cpu import brgemm, product

ROUNDS, REPEATS = 15, 20


@numba.njit(nogil=True)
def loops(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    """The definition, with the innermost loop along rows of b and c."""
    for m in range(a.shape[0]):
        c[m] = 0
        for k in range(a.shape[1]):
            for n in range(b.shape[1]):
                c[m, n] += a[m, k] * b[k, n]


def contenders(M: int, K: int, N: int) -> dict[str, Callable[[], object]]:
    """Ways to make the same c (M, N) = a (M, K) · b (K, N)."""
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(shape).astype("float32") for shape in ((M, K), (K, N)))
    c, zeros, lowest = np.empty((M, N), "float32"), np.zeros((M, N), "float32"), np.float32(-np.inf)
    tile = brgemm.tile_for(M, N, 4)
    width = brgemm.width_of(tile)
    tiles = -(-M // len(tile[0])) * -(-N // width)
    panels = np.empty((-(-N // width), K, width), "float32")

    def tiled(right: np.ndarray, strides: tuple[int, int], chunk: int = K) -> None:
        operands = (a.reshape(-1), (K, 1), right.reshape(-1), strides, zeros, c)
        product.product(0, tiles, *operands, K, chunk, lowest, False, tile)

    def packed() -> None:
        product.pack(0, len(panels), b, panels)
        tiled(panels, (K * width, width))

    ways: dict[str, Callable[[], object]] = {
        "three loops, compiled": lambda: loops(a, b, c),
        "NumPy (its BLAS)": lambda: np.matmul(a, b, out=c),
        "a tile in registers": lambda: tiled(b, (width, N)),
        "a tile in registers, b packed (packing included)": packed,
        "a tile in registers, 128 of the depth at a time": lambda: tiled(b, (width, N), 128),
    }
    for name, way in ways.items():
        way()
        np.testing.assert_allclose(c, a @ b, atol=1e-5 * K, err_msg=name)
    return ways


def measure(way: Callable[[], object]) -> float:
    """Seconds for one call, over REPEATS of them."""
    began = time.perf_counter()
    for _ in range(REPEATS):
        way()
    return (time.perf_counter() - began) / REPEATS


@click.command()
@click.argument("sizes", nargs=3, type=click.IntRange(min=1), default=(576, 288, 64))
def main(sizes: tuple[int, int, int]) -> None:
    """Time the product of an M × K and a K × N matrix."""
    M, K, N = sizes
    ways = contenders(M, K, N)
    with threads.limit(1):
        rounds = [[measure(way) for way in ways.values()] for _ in range(ROUNDS)]
    table = Table(title=f"{M} × {K} · {K} × {N}, float32, one thread, {brgemm.vector_bits()}-bit vectors")
    for column in ("", "GFLOP/s, median", "best"):
        table.add_column(column, justify="left" if not column else "right")
    for name, seconds in zip(ways, np.transpose(rounds), strict=True):
        rates = 2 * M * K * N / seconds / 1e9
        table.add_row(name, f"{np.median(rates):.0f}", f"{rates.max():.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
