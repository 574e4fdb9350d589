"""Two ways to convolve on a CPU: through a matrix of windows (im2col), and directly from the image.

Both write into arrays they are handed and take scratch memory from `Memory`. Both give
the same bits for any number of threads: what is summed over images is cut into groups by shape alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from tinynet import threads
from tinynet.backends.base import Padding, Pair
from tinynet.backends.numpy_ import output_size
from tinynet.backends.workspace import Memory
from tinynet.kernels.cpu import brgemm, direct, im2col, product
from tinynet.types import Array, Shape

MOST_GROUPS = 32
"""Groups of images that each have a kernel gradient of their own."""
COLUMNS = 1 << 18
"""Elements of the matrix of windows made at a time: about 1 MiB."""
BLOCK = 1 << 18
"""Elements of input and output images that a direct convolution treats at a time: about 1 MiB."""
FEW_CHANNELS = 4
WORTH_PACKING = 256
"""Pixels that packed kernels must serve."""
WORTH_A_THREAD = 1 << 21
"""Multiply-adds in a part of the work: at least 20 µs of them, several times what handing it over costs."""


class Im2col:
    """Any convolution as a product with the matrix of windows, for a block of images at a time.

    So the matrix never leaves the second-level cache. The kernel gradient makes it again, which is cheaper
    than keeping it. x (N, H, W, C), W (KH, KW, C, F), dy and y (N, OH, OW, F).
    """

    def __init__(self, x: Shape, W: Shape, stride: Pair, padding: Padding, memory: Memory) -> None:
        self.images, self.channels, self.filters = x[0], x[3], W[3]
        self.window, self.stride, self.padding, self.memory = (W[0], W[1]), stride, padding, memory
        self.output = output_size(x, self.window, stride, padding)
        self.depth = math.prod(W[:3])
        self.is_pointwise = self.window == stride == (1, 1) and not any(padding[0] + padding[1])
        most = max(4, (1 << 22) // math.prod(W))  # each group has a dW of its own: bound their memory
        self.per_group = max(1, -(-self.images // min(MOST_GROUPS, most)))
        per_image = math.prod(self.output) * self.depth
        self.per_block = max(1, min(COLUMNS // per_image, self.per_group))
        self.columns = 0 if self.is_pointwise else self.per_block * per_image

    @property
    def groups(self) -> int:
        """Groups of images in the batch."""
        return -(-self.images // self.per_group)

    @property
    def corner(self) -> Pair:
        """Rows above and columns left of the image."""
        return self.padding[0][0], self.padding[1][0]

    def forward(self, x: Array, W: Array, b: Array, floor: float, y: Array) -> None:
        """y = max(x * W + b, floor)."""
        matrix = W.reshape(self.depth, -1)

        def compute(start: int, stop: int, columns: Array) -> None:
            for images in self._blocks(start, stop):
                rows = y[images].reshape(-1, self.filters)
                np.matmul(self._im2col(x[images], columns), matrix, out=rows)
                rows += b
                if floor == 0:
                    np.maximum(rows, 0, out=rows)

        self._in_groups(compute, x.dtype, self.columns)

    def kernel_gradient(self, x: Array, dy: Array, dW: Array) -> None:
        """dW = Σ over images and pixels of windowᵀ · dy."""
        size = self.depth * self.filters
        sums = self.memory.scratch("conv2d dW", (self.groups, self.depth, self.filters), x.dtype)

        def compute(start: int, stop: int, scratch: Array) -> None:
            columns, block = scratch[: self.columns], scratch[self.columns :].reshape(sums.shape[1:])
            for group in range(start, stop):
                sums[group] = 0
                for images in self._blocks(group, group + 1):
                    rows = dy[images].reshape(-1, self.filters)
                    np.matmul(self._im2col(x[images], columns).T, rows, out=block)
                    sums[group] += block

        self._in_groups(compute, x.dtype, self.columns + size)
        np.sum(sums.reshape(len(sums), *dW.shape), axis=0, out=dW)

    def input_gradient(self, dy: Array, W: Array, dx: Array) -> None:
        """dx = col2im(dy · Wᵀ)."""
        matrix = W.reshape(self.depth, -1)

        def compute(start: int, stop: int, columns: Array) -> None:
            for images in self._blocks(start, stop):
                rows, target = dy[images].reshape(-1, self.filters), dx[images]
                if self.is_pointwise:
                    np.matmul(rows, matrix.T, out=target.reshape(-1, self.channels))
                    continue
                cols = self._columns(len(target), columns)
                np.matmul(rows, matrix.T, out=cols.reshape(len(rows), -1))
                im2col.col2im(0, len(target), cols, lines(target), self.channels, self.stride, self.corner)

        self._in_groups(compute, dy.dtype, self.columns)

    def _blocks(self, start: int, stop: int) -> Iterator[slice]:
        """The blocks of images in groups [start, stop)."""
        for group in range(start, stop):
            end = min((group + 1) * self.per_group, self.images)
            for first in range(group * self.per_group, end, self.per_block):
                yield slice(first, min(first + self.per_block, end))

    def _im2col(self, x: Array, memory: Array) -> Array:
        """The windows of a block x (B, H, W, C) as rows (B·OH·OW, KH·KW·C), in `memory`."""
        if self.is_pointwise:
            return x.reshape(-1, self.channels)
        cols = self._columns(len(x), memory)
        im2col.im2col(0, len(x), lines(x), cols, self.channels, self.stride, self.corner)
        return cols.reshape(-1, self.depth)

    def _columns(self, images: int, memory: Array) -> Array:
        shape = (images, *self.output, self.window[0], self.window[1] * self.channels)
        return memory[: math.prod(shape)].reshape(shape)

    def _in_groups(self, task: Callable[[int, int, Array], None], dtype: Any, scratch: int) -> None:
        """task(start, stop, its own scratch array) over the groups of images."""
        number = threads.parts(self.groups, 1, 1, threads.size())
        edges = [self.groups * i // number for i in range(number + 1)]
        memory = self.memory.scratch("conv2d scratch", (number, scratch), dtype)
        with threads.serial_blas():
            parts = zip(pairwise(edges), memory, strict=True)
            threads.together([partial(task, *part, own) for part, own in parts])


class Axis(NamedTuple):
    """Where a direct convolution reads and writes along one axis."""

    phases: Array
    """A table, to be read only: see `kernels.cpu.direct`."""
    padding: Pair
    """How many pixels it reads before the input's and behind them."""

    @property
    def narrowest(self) -> int:
        """Output pixels of the smallest phase that has any."""
        return int(min(filter(None, self.phases[:, direct.COUNT])))


@cache
def forward_axis(size: int, output: int, window: int, stride: int, before: int) -> Axis:
    """From x (`size`) to y (`output`); `before`: the padding there."""
    return _axis([(0, 1, output, -before, stride, window)], size)


@cache
def gradient_axis(size: int, output: int, window: int, stride: int, before: int) -> Axis:
    """From dy (`output`) to dx (`size`): a phase for each remainder of h + `before` by the stride."""
    phases = []
    for remainder in range(stride):
        h = (remainder - before) % stride
        taps = -(-(window - remainder) // stride)
        phases.append((h, stride, -(-(size - h) // stride), (h + before) // stride - taps + 1, 1, taps))
    return _axis(phases, output)


def _axis(phases: Sequence[tuple[int, ...]], size: int) -> Axis:
    begin = min(first for *_, first, _, _ in phases)
    end = max(first + (count - 1) * stride + taps for *_, count, first, stride, taps in phases)
    return Axis(np.array(phases), (max(0, -begin), max(0, end - size)))


class Direct(Im2col):
    """The same without the matrix: tiles of the product straight from the image (`kernels.cpu.direct`)."""

    def __init__(self, x: Shape, W: Shape, stride: Pair, padding: Padding, memory: Memory) -> None:
        super().__init__(x, W, stride, padding, memory)
        per_image = math.prod(x[1:]) + math.prod(self.output) * self.filters
        self.per_group = min(max(self.per_group, BLOCK // per_image), self.images)

    def forward(self, x: Array, W: Array, b: Array, floor: float, y: Array) -> None:
        width = brgemm.width_of(brgemm.tile_for(y.shape[2], self.filters, x.itemsize))
        if math.prod(y.shape[:3]) < WORTH_PACKING and not self.memory.is_packed:
            kernels, strides = W, (width, self.filters)
        else:
            kernels = packed(W.reshape(self.depth, -1), width, self.memory)
            strides = (self.depth * width, width)
        axes = map(forward_axis, x.shape[1:3], self.output, self.window, self.stride, self.corner)
        self._convolve(x, kernels, strides, b, floor, y, *axes)

    def kernel_gradient(self, x: Array, dy: Array, dW: Array) -> None:
        run = self.window[1] * self.channels
        tile = brgemm.tile_for(run, self.filters, x.itemsize)
        sums = self.memory.scratch("conv2d dW", (self.groups, self.window[0], run, self.filters), x.dtype)
        padded = self._padded(x, self.padding, self.per_group)
        corner = (self.padding[0][0], self.padding[1][0] * self.channels)
        nothing = np.empty(0, x.dtype)
        geometry = (self.channels, self.stride, tile)
        arguments = (padded, lines(x), corner, dy, self.per_group, sums, nothing, *geometry)
        threads.over(direct.kernel_gradient, self.groups, *arguments, slots=len(padded))
        np.sum(sums.reshape(len(sums), *dW.shape), axis=0, out=dW)

    def input_gradient(self, dy: Array, W: Array, dx: Array) -> None:
        """dx = convolutions of dy, one for each phase of x, with the kernel turned around.

        By col2im where there are so few channels that most of a tile would be empty.
        """
        if self.channels < FEW_CHANNELS:
            super().input_gradient(dy, W, dx)
            return
        down, across = map(gradient_axis, dx.shape[1:3], self.output, self.window, self.stride, self.corner)
        width = brgemm.width_of(brgemm.tile_for(across.narrowest, self.channels, dy.itemsize))
        depth = math.prod(self.window) * self.filters
        kernels = self.memory.scratch("turned", (-(-self.channels // width), depth, width), dy.dtype)
        threads.over(direct.pack_turned, len(kernels), W, self.stride, kernels)
        strides, nothing = (depth * width, width), np.empty(0, dy.dtype)
        self._convolve(dy, kernels, strides, nothing, -math.inf, dx, down, across)

    def _convolve(
        self,
        x: Array,
        kernels: Array,
        kernel_strides: Pair,
        bias: Array,
        floor: float,
        y: Array,
        down: Axis,
        across: Axis,
    ) -> None:
        images, channels, filters = len(x), x.shape[3], y.shape[3]
        tile = brgemm.tile_for(across.narrowest, filters, x.itemsize)
        panels = -(-filters // brgemm.width_of(tile))
        groups = min(
            panels, -(-threads.size() // max(images, 1))
        )  # few images: threads share out the filters
        block = max(1, min(images, BLOCK // (math.prod(x.shape[1:]) + math.prod(y.shape[1:]))))
        padded = self._padded(x, (down.padding, across.padding), block)
        corner = (down.padding[0], across.padding[0] * channels)
        weights = (kernels.reshape(-1), kernel_strides, -(-panels // groups), bias, y.dtype.type(floor))
        least = -(-WORTH_A_THREAD * groups // (math.prod(self.output) * self.depth * self.filters))
        arguments = (padded, lines(x), corner, *weights, y, block, channels, down.phases, across.phases, tile)
        threads.over(direct.convolve, images * groups, *arguments, least=least, slots=len(padded))

    def _padded(self, x: Array, padding: Padding, images: int) -> Array:
        """Scratch (threads, images, H', W'·C) for padded images; where none is needed, empty arrays."""
        _, H, W, C = x.shape
        if not any(padding[0] + padding[1]):
            return np.empty((threads.size(), 0, 0, 0), x.dtype)
        shape = (threads.size(), images, H + sum(padding[0]), (W + sum(padding[1])) * C)
        return self.memory.scratch("padded", shape, x.dtype)


def packed(W: Array, width: int, memory: Memory) -> Array:
    """W (I, O) in panels (O / width, I, width): what a tile reads lies in one piece."""

    def pack(panels: Array) -> None:
        threads.over(product.pack, len(panels), W, panels)

    return memory.from_weights("panels", (-(-W.shape[1] // width), len(W), width), W.dtype, pack)


def lines(x: Array) -> Array:
    """(N, H, W, C) as (N, H, W·C)."""
    N, H, W, C = x.shape
    return x.reshape(N, H, W * C)
