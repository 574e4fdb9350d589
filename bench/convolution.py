"""One convolution, from six loops in Python to the limit of the processor and past it: what each step brings.

    python bench/convolution.py --out bench/results/convolution.md

y[n, i, j, f] = Σ over u, v, c of x[n, i + u, j + v, c] · W[u, v, c, f], all float32, stride 1, no padding.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import numba
import numpy as np
import roofline
from rich.console import Console

from tinynet import backends, machine, threads
from tinynet.backends.workspace import Workspace
from tinynet.geometry import Window
from tinynet.kernels.cpu import brgemm

X, W = (4, 30, 30, 64), (3, 3, 64, 64)
"""Shapes: a batch of images (N, H, W, C), and kernels (KH, KW, C, F)."""
ROUNDS, SECONDS = 5, 0.6
"""Rounds of all ways, and for how long each way is repeated in one of them. Its best call counts: others on
the machine can only slow it down."""


class Way(NamedTuple):
    """One way to convolve: convolve(x, W) is y."""

    name: str
    convolve: Callable[[Any, Any], Any]
    part: tuple[int, int] = (X[0], X[1])
    """Images of the batch, and rows and columns of each, that it is timed on: loops in Python take long."""
    threads: int = 1


def six_loops(x, W):
    N, (KH, KW, C, F) = len(x), W.shape
    OH, OW = x.shape[1] - KH + 1, x.shape[2] - KW + 1
    y = np.zeros((N, OH, OW, F), x.dtype)
    for n in range(N):
        for i in range(OH):
            for j in range(OW):
                for f in range(F):
                    for u in range(KH):
                        for v in range(KW):
                            for c in range(C):
                                y[n, i, j, f] += x[n, i + u, j + v, c] * W[u, v, c, f]
    return y


compiled_loops = numba.njit(six_loops)


@numba.njit(fastmath={"contract"})
def filters_innermost(x, W):
    N, (KH, KW, C, F) = len(x), W.shape
    OH, OW = x.shape[1] - KH + 1, x.shape[2] - KW + 1
    y = np.zeros((N, OH, OW, F), x.dtype)
    for n in range(N):
        for i in range(OH):
            for j in range(OW):
                for u in range(KH):
                    for v in range(KW):
                        for c in range(C):
                            for f in range(F):
                                y[n, i, j, f] += x[n, i + u, j + v, c] * W[u, v, c, f]
    return y


def one_product(x, W):
    windows = np.lib.stride_tricks.sliding_window_view(x, W.shape[:2], axis=(1, 2))
    cols = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, W[..., 0].size)
    return (cols @ W.reshape(-1, W.shape[3])).reshape(*windows.shape[:3], -1)


def ours(algorithm: str) -> Callable[[Any, Any], Any]:
    """The numba backend's convolution by one of its algorithms, its result in the same memory each time."""
    backend = backends.get("numba", convolution=algorithm).bound_to(Workspace(), "conv2d")

    def convolve(x, W):
        return backend.conv2d(x, W, np.zeros(W.shape[3], x.dtype), Window(W.shape[:2]))[0]

    return convolve


def ways() -> list[Way]:
    cores = machine.cores()
    return [
        Way("six loops in Python", six_loops, part=(1, 4)),
        Way("the same loops, compiled", compiled_loops, part=(1, X[1])),
        Way("filters innermost", filters_innermost),
        Way("im2col and one product, NumPy", one_product),
        Way("a tile in registers that walks over the image", ours("direct")),
        Way("fewer multiplications: Winograd", ours("winograd")),
        Way(f"the same on {cores} cores", ours("winograd"), threads=cores),
    ]


def data(images: int, side: int) -> tuple[Any, Any]:
    """x for so many images of so many rows and columns, and W."""
    random = np.random.default_rng(0)
    x, kernel = (random.standard_normal(shape).astype("float32") for shape in (X, W))
    return np.ascontiguousarray(x[:images, :side, :side]), kernel / 24


def operations(images: int, side: int) -> int:
    """Multiplications and additions of the direct sum."""
    KH, KW, C, F = W
    return 2 * images * (side - KH + 1) * (side - KW + 1) * KH * KW * C * F


def rate(way: Way, seconds: float = SECONDS) -> float:
    """Useful operations in a second: those of the direct sum, by the best of all calls."""
    x, kernel = data(*way.part)
    with threads.limit(way.threads):
        way.convolve(x, kernel)  # compiles
        best, until = np.inf, time.perf_counter() + seconds
        while time.perf_counter() < until:
            began = time.perf_counter()
            way.convolve(x, kernel)
            best = min(best, time.perf_counter() - began)
    return operations(*way.part) / best


def as_markdown(rates: dict[str, float], limit: float) -> str:
    """A table, each way beside the one before it and beside what one core can do at the most."""
    shape = " × ".join
    lines = [
        f"`python bench/convolution.py` on {machine.summary()}.",
        f"x {shape(map(str, X))}, W {shape(map(str, W))}, float32, {brgemm.vector_bits()}-bit vectors.",
        f"One core does {limit / 1e9:.0f} GFLOP/s at the most: multiply-adds in registers, and nothing else.",
        "",
        "| way | useful GFLOP/s | of one core's limit | times as fast as the way above |",
        "|---|---:|---:|---:|",
    ]
    before = 0.0
    for name, found in rates.items():
        gain = f"{found / before:,.1f}" if before else ""
        share = f"{100 * found / limit:.0f} %" if found > 0.1 * limit else f"{100 * found / limit:.2g} %"
        lines.append(f"| {name} | {found / 1e9:,.3g} | {share} | {gain} |")
        before = found
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--rounds", default=ROUNDS, help="Rounds of all ways, one after another.", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="A file for the table.")
def main(rounds: int, out: Path | None) -> None:
    """Time each way to compute one convolution."""
    with threads.serial_blas():
        contenders = ways()
        found = [[roofline.peak(1, SECONDS), *map(rate, contenders)] for _ in range(rounds)]
    limit, *best = np.max(found, axis=0)
    table = as_markdown(dict(zip([way.name for way in contenders], best, strict=True)), limit)
    Console(markup=False, highlight=False).print(table, soft_wrap=True)
    if out:
        out.write_text(table, "utf-8")


if __name__ == "__main__":
    main()
