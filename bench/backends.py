"""The numba backend beside the reference, one operation at a time, at the sizes of a LeNet and batch 128.

    python bench/backends.py                 # a table
    python bench/backends.py --markdown      # and bench/results/backends.md

The two take turns, so that whatever else the machine does falls on both. Times are medians in milliseconds,
± half the range from the first to the third quartile; the ratio is that of the medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from tinynet import machine, threads
from tinynet.backends.base import Backend
from tinynet.backends.numba_ import NumbaBackend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.backends.workspace import Workspace
from tinynet.data.augmentation import Augmentation, gaussian
from tinynet.geometry import Window
from tinynet.rng import Key

RESULTS = Path(__file__).parent / "results" / "backends.md"
BATCH = 128
PAUSE = 0.03
"""Seconds between turns: OpenBLAS' threads spin on after a product and would take a core from the next."""

Operation = Callable[[Backend], Any]


class Timing(NamedTuple):
    operation: str
    reference: float
    reference_spread: float
    ours: float
    spread: float

    @property
    def cells(self) -> tuple[str, ...]:
        return (
            self.operation,
            f"{self.reference:.3f} ± {self.reference_spread:.3f}",
            f"{self.ours:.3f} ± {self.spread:.3f}",
            f"{self.reference / self.ours:.1f}",
        )


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape, dtype=np.float32)


def convolution(
    size: int, channels: int, filters: int, kernel: int = 3, stride: int = 1
) -> dict[str, Operation]:
    x, W, b = normal(BATCH, size, size, channels), normal(kernel, kernel, channels, filters), normal(filters)
    window = Window((kernel, kernel), (stride, stride))
    dy, dW, db = normal(BATCH, *window.output(x.shape[1:]), filters), np.empty_like(W), np.empty_like(b)
    saved: dict[str, Any] = {}

    def forward(ops: Backend) -> None:
        saved[ops.name] = ops.conv2d(x, W, b, window)[1]

    def backward(ops: Backend) -> Any:
        if ops.name not in saved:
            forward(ops)
        return ops.conv2d_backward(dy, saved[ops.name], W, dW, db, window, True)

    name = f"conv2d {kernel}x{kernel}, {size}x{size}x{channels} to {filters}"
    if stride > 1:
        name += f", stride {stride}"
    return {name: forward, f"{name}, backward": backward}


def depthwise(size: int, channels: int) -> dict[str, Operation]:
    x, W, b = normal(BATCH, size, size, channels), normal(3, 3, 1, channels), normal(channels)
    window = Window((3, 3), padding=((1, 1), (1, 1)))
    dy, dW, db = normal(*x.shape)[::-1].copy(), np.empty_like(W), np.empty_like(b)
    name = f"depthwise_conv2d 3x3, {size}x{size}x{channels}"
    return {
        name: lambda ops: ops.depthwise_conv2d(x, W, b, window),
        f"{name}, backward": lambda ops: ops.depthwise_conv2d_backward(dy, x, W, dW, db, window, True),
    }


def dense(inputs: int, units: int) -> dict[str, Operation]:
    x, W, b, dy = normal(BATCH, inputs), normal(inputs, units), normal(units), normal(BATCH, units)
    dW, db = np.empty_like(W), np.empty_like(b)
    name = f"dense {inputs} to {units}"
    return {
        name: lambda ops: ops.dense(x, W, b),
        f"{name}, backward": lambda ops: ops.dense_backward(dy, x, W, dW, db, True),
    }


def images() -> dict[str, Operation]:
    """What follows a convolution, on its output 26x26x32."""
    shape = (BATCH, 26, 26, 32)
    x, dy, half = normal(*shape), normal(*shape)[::-1].copy(), normal(BATCH, 13, 13, 32)
    rows, drows = x.reshape(-1, 32), dy.reshape(-1, 32)
    gamma, beta, mean, variance = normal(32), normal(32), normal(32), normal(32) ** 2
    keep = x > 0
    pool = Window((2, 2), (2, 2))
    positive = np.maximum(x, 0)
    saved: dict[str, Any] = {}

    def once(ops: Backend, operation: str, make: Callable[[], Any]) -> Any:
        key = f"{ops.name} {operation}"
        if key not in saved:
            saved[key] = make()
        return saved[key]

    def maxpool_backward(ops: Backend) -> Any:
        return ops.maxpool_backward(half, once(ops, "maxpool", lambda: ops.maxpool(x, pool)[1]), pool)

    def batchnorm_backward(ops: Backend) -> Any:
        kept = once(ops, "batchnorm", lambda: ops.batchnorm(rows, gamma, beta, 1e-5)[3])
        return ops.batchnorm_backward(drows, kept, gamma, mean.copy(), mean.copy())

    key = Key(1, 2, 3, 4)
    pixels = (x * 50 + 128).astype(np.uint8)
    return augmentations() | {
        "rescale, uint8": lambda ops: ops.rescale(pixels, 1 / 255, 0.0, "float32"),
        "maxpool 2x2": lambda ops: ops.maxpool(x, pool),
        "maxpool 2x2, backward": maxpool_backward,
        "avgpool 2x2": lambda ops: ops.avgpool(x, pool),
        "avgpool 2x2, backward": lambda ops: ops.avgpool_backward(half, shape, pool),
        "residual": lambda ops: ops.residual(x, dy),
        "residual, backward": lambda ops: ops.residual_backward(dy, x),
        "batchnorm": lambda ops: ops.batchnorm(rows, gamma, beta, 1e-5),
        "batchnorm, inference": lambda ops: ops.batchnorm_inference(rows, gamma, beta, mean, variance, 1e-5),
        "batchnorm, backward": batchnorm_backward,
        "random_bits": lambda ops: ops.random_bits(key, x.size),
        "dropout": lambda ops: ops.dropout(x, 0.25, key),
        "dropout, backward": lambda ops: ops.dropout_backward(dy, keep, 0.25),
        "relu": lambda ops: ops.relu(x),
        "relu, backward": lambda ops: ops.relu_backward(dy, positive),
        "leaky_relu": lambda ops: ops.leaky_relu(x, 0.01),
        "leaky_relu, backward": lambda ops: ops.leaky_relu_backward(dy, x, 0.01),
        "elu": lambda ops: ops.elu(x, 1.0),
        "elu, backward": lambda ops: ops.elu_backward(dy, positive, 1.0),
        "gelu": lambda ops: ops.gelu(x),
        "gelu, backward": lambda ops: ops.gelu_backward(dy, x),
        "gelu_tanh": lambda ops: ops.gelu_tanh(x),
        "gelu_tanh, backward": lambda ops: ops.gelu_tanh_backward(dy, x),
        "sigmoid": lambda ops: ops.sigmoid(x),
        "sigmoid, backward": lambda ops: ops.sigmoid_backward(dy, positive),
        "tanh": lambda ops: ops.tanh(x),
        "tanh, backward": lambda ops: ops.tanh_backward(dy, positive),
    }


def augmentations() -> dict[str, Operation]:
    """A batch of digits, distorted in every way."""
    x, shape, key = (normal(BATCH, 28, 28, 1) * 50 + 128).astype(np.uint8), (BATCH, 28, 28), Key(1, 2, 3, 4)
    every = Augmentation(rotation=10, shift=0.1, scale=0.1, shear=5, contrast=0.2, erase=0.1, stroke=1)
    drawn, taps = every.draw(key, BATCH, (28, 28), NumpyBackend()), gaussian(4.0)
    field = NumpyBackend().displacement(key, shape, taps, 0.1)
    return {
        "displacement, 28x28": lambda ops: ops.displacement(key, shape, taps, 0.1),
        "warp, 28x28x1 of uint8": lambda ops: ops.warp(x, *drawn[:3], field),
        "grow, 28x28x1 of uint8": lambda ops: ops.grow(x, drawn.growth, 1),
    }


def classifier() -> dict[str, Operation]:
    """Ten classes, and the parameters of a small convolutional network."""
    x, labels = normal(BATCH, 10), np.arange(BATCH) % 10
    shares = 0.7 * np.eye(10)[labels] + 0.3 * np.eye(10)[labels[::-1]]
    values, grads, m, v = (normal(400_000 + i)[:400_000] for i in range(4))
    v = v * v
    adam = (1, 1e-3, 0.9, 0.999, 1e-8, 0.01, 300_000)
    return {
        "softmax": lambda ops: ops.softmax(x),
        "softmax_cross_entropy": lambda ops: ops.softmax_cross_entropy(x, labels, 0.1),
        "softmax_cross_entropy, weighted": lambda ops: ops.softmax_cross_entropy(x, labels, 0.1, x[:, 0]),
        "soft_cross_entropy": lambda ops: ops.soft_cross_entropy(x, shares, 0.1),
        "argmax": lambda ops: ops.argmax(shares),
        "sgd, 400,000 values": lambda ops: ops.sgd(values, grads, m, 1e-3, 0.9, True, 0.01, 300_000),
        "adam, 400,000 values": lambda ops: ops.adam(values, grads, m, v, *adam),
        "moving_average, 400,000 values": lambda ops: ops.moving_average(m, values, 1e-3),
        "clip_global_norm, 400,000 values": lambda ops: ops.clip_global_norm(grads, 1.0),
    }


def measure(name: str, operation: Operation, seconds: float) -> Timing:
    """Both backends in turn, for about `seconds` in all; ours with buffers of its own, as in a model."""
    contenders = [NumpyBackend(), NumbaBackend().bound_to(Workspace(), "bench")]
    times: list[list[float]] = [[], []]
    for ops in contenders:
        operation(ops)  # compiles, allocates
    began = time.perf_counter()
    while len(times[0]) < 5 or time.perf_counter() - began < seconds:
        for ops, taken in zip(contenders, times, strict=True):
            time.sleep(PAUSE)
            operation(ops)  # wakes this contender's threads
            for _ in range(3):
                start = time.perf_counter()
                operation(ops)
                taken.append(1e3 * (time.perf_counter() - start))
    (r, r_spread), (o, o_spread) = map(summary, times)
    return Timing(name, r, r_spread, o, o_spread)


def summary(times: list[float]) -> tuple[float, float]:
    first, median, third = statistics.quantiles(times, n=4)
    return median, (third - first) / 2


def as_markdown(results: dict[int, list[Timing]]) -> str:
    lines = [
        "# The numba backend beside the reference",
        "",
        f"`python bench/backends.py --markdown` on {machine.summary()}.",
        f"Batch {BATCH}, float32. Milliseconds: median ± half the interquartile range, the two in turn.",
    ]
    for count, rows in results.items():
        lines += [
            "",
            f"## {heading(count)}",
            "",
            "| operation | numpy | numba | ratio |",
            "|---|---:|---:|---:|",
        ]
        lines += [f"| {' | '.join(row.cells)} |" for row in rows]
    return "\n".join(lines) + "\n"


def as_table(count: int, rows: list[Timing]) -> Table:
    table = Table(title=heading(count))
    table.add_column("operation")
    for column in ("numpy ms", "numba ms", "ratio"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row.cells)
    return table


def heading(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}, for our pool and for BLAS"


@click.command()
@click.option("--only", default="", help="Measure operations whose name contains this.")
@click.option("--seconds", default=0.4, show_default=True, help="Time for one operation.")
@click.option("--threads", "counts", type=int, multiple=True, help="Thread counts [1 and all].")
@click.option("--markdown", is_flag=True, help="Write bench/results/backends.md too.")
def main(only: str, seconds: float, counts: tuple[int, ...], markdown: bool) -> None:
    """Compare the backends, operation by operation."""
    operations = convolution(28, 1, 32) | convolution(26, 32, 64) | convolution(13, 32, 64, kernel=1)
    operations |= convolution(28, 32, 32, kernel=5, stride=2)
    operations |= depthwise(14, 64)
    operations |= images() | dense(1600, 128) | dense(784, 10) | classifier()
    results = {}
    for count in counts or sorted({1, threads.budget()}):
        with threads.limit(count):
            chosen = (item for item in operations.items() if only in item[0])
            results[count] = [measure(name, run, seconds) for name, run in chosen]
        Console().print(as_table(count, results[count]))
    if markdown:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(as_markdown(results), encoding="utf-8")


if __name__ == "__main__":
    main()
