"""Convolution with 3 × 3 kernels by Winograd's algorithm (`kernels.cpu.winograd`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet import threads
from tinynet.backends.cpu_convolution.base import Convolution, lines
from tinynet.backends.cpu_convolution.direct import Direct
from tinynet.backends.workspace import Memory
from tinynet.geometry import Pair, Window
from tinynet.kernels.cpu import brgemm, winograd
from tinynet.types import Array, Shape

TRANSFORMED_PER_THREAD = 1 << 18
"""Transformed values that a thread works on at a time: half of a second-level cache of 2 MiB."""
MIN_TILES = 64
"""Tiles that a thread works on at a time, at least: for each such block it reads all transformed kernels."""
MIN_CHANNEL_PAIRS = 1 << 10
"""Channels × filters below which the transformations of a forward cost more than they save."""
MANY_CHANNEL_PAIRS, MIN_TILES_OF_FEW = 1 << 11, 16
"""With fewer pairs, images of fewer tiles gain too little to be worth the compilation of these kernels."""
TRANSFORMED_PER_SUM = 1 << 21
"""Transformed values out of which the kernel gradient is added up at a time."""
PAD = 80
"""Values between one place and the next: five cache lines, so that places do not share cache sets."""


class Winograd(Convolution):
    """3 × 3 kernels with stride 1, by fewer multiplications; `applies` says to what."""

    @staticmethod
    def applies(W: Shape, window: Window) -> bool:
        """Whether kernels are 3 × 3, the stride is 1, and channels and filters fill whole vectors."""
        return (
            window.size == (winograd.KERNEL, winograd.KERNEL)
            and window.stride == (1, 1)
            and W[2] % winograd.CHANNEL_MULTIPLE == W[3] % winograd.CHANNEL_MULTIPLE == 0
        )

    @staticmethod
    def is_faster(x: Shape, W: Shape, window: Window) -> bool:
        """Whether it is faster than `Direct`: enough tiles to pay for the transformed kernels (measured)."""
        tiles, pairs = math.prod(_grid(window.output(x[1:]))), W[2] * W[3]
        gains_enough = pairs >= MANY_CHANNEL_PAIRS or tiles >= MIN_TILES_OF_FEW
        return pairs >= MIN_CHANNEL_PAIRS and gains_enough and x[0] * tiles >= MIN_TILES

    def __init__(self, x: Shape, W: Shape, window: Window, memory: Memory) -> None:
        super().__init__(x, W, window, memory)
        (top, bottom), (left, right) = window.padding
        far = winograd.KERNEL - 1  # from one end of the kernel to the other
        padding = (far - top, far - bottom), (far - left, far - right)
        self.backward_window = Window(window.size, padding=padding)  # slides over dy and gives dx
        is_possible = min(padding[0] + padding[1]) >= 0
        self.direct = None if is_possible else Direct(x, W, window, memory)

    def forward(self, x: Array, W: Array, b: Array, floor: float, y: Array) -> None:
        self._by_tiles(x, W, self.window, b, floor, y)

    def kernel_gradient(self, x: Array, dy: Array, dW: Array) -> None:
        C, F, dtype = self.channels, self.filters, x.dtype
        grid = _grid(self.output)
        per_image = grid[0] * grid[1]
        block = max(1, min(self.images, TRANSFORMED_PER_SUM // (winograd.PLACES * per_image * (C + F))))
        V = self._places("V", (), block * per_image, C, dtype)
        D = self._places("D", (), block * per_image, F, dtype)
        dU = self._spread("dU", C * F, dtype)
        padded = self._scratch_images("x", grid, 2, C, dtype)
        padded_dy = self._scratch_images("dy", grid, 0, F, dtype)
        corner = (self.window.corner[0], self.window.corner[1] * C)
        lanes = brgemm.lanes_for(x.itemsize)
        tile = brgemm.tile_for(winograd.CHANNEL_MULTIPLE, F, x.itemsize)
        for first in range(0, self.images, block):
            images = min(block, self.images - first)
            both = (padded, padded_dy, lines(x), corner, lines(dy), first, V, D, lanes)
            threads.over(winograd.transform_both, images, *both, slots=len(padded))
            summed = (V, D, images * per_image, dU, first > 0, tile)
            threads.over(winograd.kernel_gradient, winograd.PLACES, *summed)
        threads.over(winograd.transform_kernel_gradient, C, dU, dW, lanes)

    def input_gradient(self, dy: Array, W: Array, dx: Array) -> None:
        if self.direct is not None:
            self.direct.input_gradient(dy, W, dx)
            return
        rotated = self.memory.scratch("winograd rotated", (*W.shape[:2], W.shape[3], W.shape[2]), W.dtype)
        threads.over(winograd.rotate_kernel, self.filters, W, rotated)
        self._by_tiles(dy, rotated, self.backward_window, np.empty(0, dy.dtype), -math.inf, dx)

    def _by_tiles(self, x: Array, W: Array, window: Window, bias: Array, floor: float, y: Array) -> None:
        C, F, dtype = x.shape[3], y.shape[3], x.dtype
        grid = _grid(y.shape[1:3])
        per_image = grid[0] * grid[1]
        fitting = max(MIN_TILES, TRANSFORMED_PER_THREAD // (winograd.PLACES * (C + F)))
        block = max(1, min(-(-len(x) // threads.size()), fitting // per_image))
        tile = brgemm.tile_for(block * per_image, F, x.itemsize)
        lanes, width = brgemm.lanes_for(x.itemsize), brgemm.width_of(tile)
        U = self._spread("U", -(-F // width) * C * width, dtype)
        threads.over(winograd.transform_kernel, C, W, U, width, lanes)
        each = (threads.size(),)
        V = self._places("V", each, block * per_image, C, dtype)
        M = self._places("M", each, block * per_image, F, dtype)
        padded = self._scratch_images("x", grid, 2, C, dtype)
        out = self._scratch_images("out", grid, 0, F, dtype)[:, 0]
        corner = (window.corner[0], window.corner[1] * C)
        images = (V, M, padded, out, lines(x), corner)
        arguments = (*images, U, width, bias, dtype.type(floor), lines(y), tile, lanes)
        threads.over(winograd.forward, len(x), *arguments, align=block, slots=len(V))

    def _spread(self, role: str, size: int, dtype: Any) -> Array:
        """(36, `size` or more), one row a place."""
        return self.memory.scratch(f"winograd {role}", (winograd.PLACES, size + PAD), dtype)

    def _places(self, role: str, leading: Shape, tiles: int, depth: int, dtype: Any) -> Array:
        """(*leading, 36, T, depth) for `tiles` or more; T is odd, so that places do not share cache sets."""
        return self.memory.scratch(f"winograd {role}", (*leading, winograd.PLACES, tiles | 1, depth), dtype)

    def _scratch_images(self, role: str, grid: Pair, border: int, depth: int, dtype: Any) -> Array:
        """Images (threads, 1, H, W·depth) of `grid` tiles and a border on two sides."""
        H, W = (winograd.TILE * tiles + border for tiles in grid)
        return self.memory.scratch(f"winograd {role} images", (threads.size(), 1, H, W * depth), dtype)


def _grid(output: Shape) -> Pair:
    """The rows and columns of tiles in an output (OH, OW)."""
    return -(-output[0] // winograd.TILE), -(-output[1] // winograd.TILE)
