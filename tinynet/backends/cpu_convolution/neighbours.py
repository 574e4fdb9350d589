"""Direct convolution to few filters: neighbouring output pixels share a vector (`kernels.cpu.neighbours`)."""

from __future__ import annotations

import math
from collections.abc import Callable

from tinynet import threads
from tinynet.backends.cpu_convolution.direct import Direct
from tinynet.backends.workspace import Memory
from tinynet.geometry import Window
from tinynet.kernels.cpu import brgemm, neighbours
from tinynet.types import Array, Shape

MIN_UNDER_WAY = 8
"""A tile of fewer vectors takes as long as one of so many: see `kernels.cpu.brgemm`."""
TILE_START = 140
"""Multiply-adds of vectors in the time that a tile of `Direct.forward` takes besides, for a window's row."""
TILE_VECTORS = 2
"""Vectors that fill a tile's row: each value of the other factor is then used twice."""
MAX_VECTORS = 4
"""Vectors of the neighbours' filters together."""

Time = Callable[[int, int], int]
"""The time for so many neighbours of an item size."""


class DirectNeighbours(Direct):
    """`Direct`, which computes so many neighbouring pixels as one as takes the least time.

    Six filters fill 6 of the 16 lanes of a vector. Those of two pixels fill 12, at the price of a window one
    stride wider, of which each pixel multiplies a part by 0. So these pixels meet a NaN or ∞ of x together.
    """

    def __init__(self, x: Shape, W: Shape, window: Window, memory: Memory) -> None:
        super().__init__(x, W, window, memory)
        self.shapes = x, W
        self.together: dict[int, Direct] = {}
        self.counts: dict[tuple[int, Time], int] = {}

    def forward(self, x: Array, W: Array, b: Array, floor: float, y: Array) -> None:
        count = self.fastest(x.itemsize, self.forward_time)
        if count == 1:
            super().forward(x, W, b, floor, y)
            return
        shape, stride = self._kernel(count), self.window.stride[1]
        rows, columns = math.prod(shape[:3]), shape[3]

        def fill(parameters: Array) -> None:
            V, biases = parameters[:rows].reshape(shape), parameters[rows]
            threads.over(neighbours.spread, len(V), W, b, stride, V, biases, least=len(V))

        parameters = self.memory.from_weights("neighbours", (rows + 1, columns), W.dtype, fill)
        V, biases = parameters[:rows].reshape(shape), parameters[rows]
        self._direct(count).forward(x, V, biases, floor, self._pixels(y, count))

    def kernel_gradient(self, x: Array, dy: Array, dW: Array) -> None:
        count = self.fastest(x.itemsize, self.gradient_time)
        if count == 1:
            super().kernel_gradient(x, dy, dW)
            return
        dV = self.memory.scratch("neighbours", self._kernel(count), dW.dtype)
        self._direct(count).kernel_gradient(x, self._pixels(dy, count), dV)
        threads.over(neighbours.gather, len(dV), dV, self.window.stride[1], dW, least=len(dV))

    def fastest(self, itemsize: int, time: Time) -> int:
        """How many neighbours take the least time; filters that fill a tile by themselves stay alone."""
        if (itemsize, time) not in self.counts:
            lanes = len(brgemm.lanes_for(itemsize))
            most = MAX_VECTORS * lanes // self.filters if self.filters < TILE_VECTORS * lanes else 1
            counts = [count for count in range(1, most + 1) if self.output[1] % count == 0]
            self.counts[itemsize, time] = min(counts, key=lambda count: time(count, itemsize))
        return self.counts[itemsize, time]

    def forward_time(self, count: int, itemsize: int) -> int:
        """Of a row of pixels and of windows, in multiply-adds of vectors."""
        _, KW, C, F = self._kernel(count)
        return _tiles_time(self.output[1] // count, F, KW * C, itemsize, TILE_START)

    def gradient_time(self, count: int, itemsize: int) -> int:
        _, KW, C, F = self._kernel(count)
        return _tiles_time(KW * C, F, self.output[1] // count, itemsize)

    def _kernel(self, count: int) -> Shape:
        KH, KW, C, F = self.shapes[1]
        return KH, KW + (count - 1) * self.window.stride[1], C, count * F

    def _direct(self, count: int) -> Direct:
        if count not in self.together:
            kernel, (down, across) = self._kernel(count), self.window.stride
            window = Window((kernel[0], kernel[1]), (down, count * across), self.window.padding)
            self.together[count] = Direct(self.shapes[0], kernel, window, self.memory)
        return self.together[count]

    def _pixels(self, y: Array, count: int) -> Array:
        N, OH, OW, F = y.shape
        return y.reshape(N, OH, OW // count, count * F)


def _tiles_time(rows: int, columns: int, depth: int, itemsize: int, start: int = 0) -> int:
    """Of a product of rows · depth and depth · columns, in multiply-adds of vectors."""
    tile = brgemm.tile_for(rows, columns, itemsize)
    height, vectors, _ = map(len, tile)
    tiles = -(-rows // height) * -(-columns // brgemm.width_of(tile))
    return tiles * (depth * max(height * vectors, MIN_UNDER_WAY) + start)
