"""The gradient to the input of a convolution, window by window, into the image (`kernels.cpu.scatter`)."""

from __future__ import annotations

import math

from tinynet import threads
from tinynet.backends.cpu_convolution.base import lines
from tinynet.backends.workspace import Memory
from tinynet.geometry import Window
from tinynet.kernels.cpu import brgemm, scatter
from tinynet.types import Array, Shape

MIN_HEIGHT = 4
"""Images of a tile: with fewer, too few multiply-adds are under way at once."""
TOUCH = 4
"""Multiply-adds in the time that it takes to load a vector of the image and to store it again."""


class Scatter:
    """dx of `Convolution`, for windows that lie without gaps in the image or overlap.

    Of use where `Direct` wastes much: it computes products with the zeros around dy, which are many for large
    kernels without padding, and fills its vectors with channels of x alone, `Scatter` with a window's row.
    """

    def __init__(self, x: Shape, W: Shape, window: Window, memory: Memory) -> None:
        self.x, self.W, self.window, self.memory = x, W, window, memory
        self.output = window.output(x[1:])

    def tile(self, itemsize: int) -> tuple[tuple[None, ...], ...]:
        """For a window's row, and as many images as divide the batch: see `brgemm.tile_for`."""
        _, KW, C, _ = self.W
        lanes = brgemm.lanes_for(itemsize)
        vectors = min(2, -(-KW * C // len(lanes)))
        height = next(p for p in brgemm.heights_for(vectors) if self.x[0] % p == 0)
        return (None,) * height, (None,) * vectors, lanes

    def is_faster(self, itemsize: int) -> bool:
        """Than `Direct`, by the vector instructions that each needs."""
        height, _, lanes = map(len, self.tile(itemsize))
        KH, KW, C, F = self.W
        own = math.prod(self.output) * KH * -(-KW * C // lanes) * (F + TOUCH)
        direct = math.prod(self.x[1:3]) * KH * KW * F * -(-C // lanes) / math.prod(self.window.stride)
        return height >= MIN_HEIGHT and own < direct

    def __call__(self, dy: Array, W: Array, dx: Array) -> None:
        N, H, width, C = dx.shape
        KH, KW, _, F = W.shape
        tile = self.tile(dy.itemsize)
        height, lanes, across = len(tile[0]), tile[2], brgemm.width_of(tile)
        kernels = self.memory.scratch("windows", (KH, -(-KW * C // across), F, across), dy.dtype)
        threads.over(scatter.pack_windows, KH, W.reshape(KH, KW * C, F), kernels, lanes, least=KH)
        (top, bottom), (left, right) = self.window.padding
        shape: Shape = (threads.size(), 0, 0, 0)
        if top or bottom or left or right:
            shape = (threads.size(), height, H + top + bottom, (width + left + right) * C)
        padded = self.memory.scratch("padded", shape, dy.dtype)
        corner, stride = (top, left * C), (self.window.stride[0], self.window.stride[1] * C)
        lowest = dx.dtype.type(-math.inf)
        arguments = (padded, dy, kernels, lines(dx), corner, KW * C, stride, lowest, tile)
        threads.over(scatter.scatter, N // height, *arguments, slots=len(padded))
