"""Any convolution as a matrix product: the windows of the image are the rows of a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from tinynet import threads
from tinynet.backends.cpu_convolution.base import Convolution, images_per_group, lines
from tinynet.backends.workspace import Memory
from tinynet.geometry import Window
from tinynet.kernels.cpu import im2col
from tinynet.types import Array, Shape

MAX_MATRIX_ELEMENTS = 1 << 18
"""Elements of the matrix of windows that is built at a time: 1 MiB of float32."""


class Im2col(Convolution):
    """y = cols · W + b, for a block of images at a time, so that cols never leaves the second-level cache.

    The kernel gradient builds cols again, which is cheaper than keeping it. The products are NumPy's BLAS'.
    """

    def __init__(self, x: Shape, W: Shape, window: Window, memory: Memory) -> None:
        super().__init__(x, W, window, memory)
        self.is_pointwise = window == Window((1, 1))
        self.per_group = images_per_group(x, W)
        self.groups = -(-self.images // self.per_group)
        per_image = math.prod(self.output) * self.depth
        self.per_block = max(1, min(MAX_MATRIX_ELEMENTS // per_image, self.per_group))
        self.matrix_size = 0 if self.is_pointwise else self.per_block * per_image

    def forward(self, x: Array, W: Array, b: Array, floor: float, y: Array) -> None:
        matrix = W.reshape(self.depth, -1)

        def compute(start: int, stop: int, scratch: Array) -> None:
            for images in self._blocks(start, stop):
                rows = y[images].reshape(-1, self.filters)
                np.matmul(self._im2col(x[images], scratch), matrix, out=rows)
                rows += b
                if floor == 0:
                    np.maximum(rows, 0, out=rows)

        self._over_groups(compute, x.dtype, self.matrix_size)

    def kernel_gradient(self, x: Array, dy: Array, dW: Array) -> None:
        size = self.depth * self.filters
        sums = self.memory.scratch("conv2d dW", (self.groups, self.depth, self.filters), x.dtype)

        def compute(start: int, stop: int, scratch: Array) -> None:
            matrix, summand = scratch[: self.matrix_size], scratch[self.matrix_size :].reshape(sums.shape[1:])
            for group in range(start, stop):
                sums[group] = 0
                for images in self._blocks(group, group + 1):
                    rows = dy[images].reshape(-1, self.filters)
                    np.matmul(self._im2col(x[images], matrix).T, rows, out=summand)
                    sums[group] += summand

        self._over_groups(compute, x.dtype, self.matrix_size + size)
        np.sum(sums.reshape(len(sums), *dW.shape), axis=0, out=dW)

    def input_gradient(self, dy: Array, W: Array, dx: Array) -> None:
        """dx = col2im(dy · Wᵀ)."""
        matrix = W.reshape(self.depth, -1)

        def compute(start: int, stop: int, scratch: Array) -> None:
            for images in self._blocks(start, stop):
                rows, target = dy[images].reshape(-1, self.filters), dx[images]
                if self.is_pointwise:
                    np.matmul(rows, matrix.T, out=target.reshape(-1, self.channels))
                    continue
                cols = self._matrix(len(target), scratch)
                np.matmul(rows, matrix.T, out=cols.reshape(len(rows), -1))
                geometry = (self.channels, self.window.stride, self.window.corner)
                im2col.col2im(0, len(target), cols, lines(target), *geometry)

        self._over_groups(compute, dy.dtype, self.matrix_size)

    def _blocks(self, start: int, stop: int) -> Iterator[slice]:
        """The blocks of images in groups [start, stop)."""
        for group in range(start, stop):
            end = min((group + 1) * self.per_group, self.images)
            for first in range(group * self.per_group, end, self.per_block):
                yield slice(first, min(first + self.per_block, end))

    def _im2col(self, x: Array, scratch: Array) -> Array:
        """The windows of a block x (B, H, W, C) as rows (B·OH·OW, KH·KW·C), written into `scratch`."""
        if self.is_pointwise:
            return x.reshape(-1, self.channels)
        cols = self._matrix(len(x), scratch)
        im2col.im2col(0, len(x), lines(x), cols, self.channels, self.window.stride, self.window.corner)
        return cols.reshape(-1, self.depth)

    def _matrix(self, images: int, scratch: Array) -> Array:
        KH, KW = self.window.size
        shape = (images, *self.output, KH, KW * self.channels)
        return scratch[: math.prod(shape)].reshape(shape)

    def _over_groups(self, task: Callable[[int, int, Array], None], dtype: Any, scratch: int) -> None:
        """task(start, stop, its own scratch array) over the groups of images."""
        number = threads.parts(self.groups, 1, 1, threads.size())
        edges = [self.groups * i // number for i in range(number + 1)]
        memory = self.memory.scratch("conv2d scratch", (number, scratch), dtype)
        with threads.serial_blas():
            parts = zip(pairwise(edges), memory, strict=True)
            threads.together([partial(task, *part, own) for part, own in parts])
