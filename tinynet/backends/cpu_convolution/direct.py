"""Convolution by tiles that walk over the image, without a matrix of windows (`kernels.cpu.direct`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinynet import threads
from tinynet.backends.cpu_convolution.base import (
    MIN_MULTIPLY_ADDS_PER_PART,
    Convolution,
    images_per_group,
    lines,
    packed,
)
from tinynet.backends.cpu_convolution.im2col import Im2col
from tinynet.backends.cpu_convolution.scatter import Scatter
from tinynet.backends.workspace import Memory
from tinynet.geometry import Padding, Pair, Window
from tinynet.kernels.cpu import brgemm, direct, elementwise
from tinynet.types import Array, Shape

BLOCK_ELEMENTS = 1 << 18
"""Elements of input and output images that are treated at a time: 1 MiB of float32, a second-level cache."""
MIN_CHANNELS = 4
"""With fewer channels, most of a tile of dx would be empty: `Im2col` is faster."""
MIN_ADDITIONS_PER_PART = 1 << 15
"""Below this, handing a part of the sum of dW to another thread costs more than adding."""
MIN_PIXELS_TO_PACK = 256
"""With fewer output pixels, packing the kernels costs more than it saves."""


class Axis(NamedTuple):
    """Where a direct convolution reads and writes along one axis."""

    phases: Array
    """A row a phase, to be read only: see `kernels.cpu.direct`."""
    padding: Pair
    """How many pixels it reads before the input's and behind them."""

    @property
    def narrowest(self) -> int:
        """Output pixels of the smallest phase that has any."""
        return int(min(filter(None, self.phases[:, direct.OUT_COUNT])))


def forward_axis(size: int, output: int, window: int, stride: int, before: int) -> Axis:
    """From x (`size`) to y (`output`); `before`: the padding there."""
    return _axis([(0, 1, output, -before, stride, window)], size)


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


class Direct(Convolution):
    """Any convolution, by tiles that walk over the image: no copy of it, except for padding."""

    def __init__(self, x: Shape, W: Shape, window: Window, memory: Memory) -> None:
        super().__init__(x, W, window, memory)
        per_image = math.prod(x[1:]) + math.prod(self.output) * self.filters
        self.per_group = min(max(images_per_group(x, W), BLOCK_ELEMENTS // per_image), self.images)
        along = (x[1:3], self.output, window.size, window.stride, window.corner)
        self.forward_axes = tuple(map(forward_axis, *along))
        self.gradient_axes = tuple(map(gradient_axis, *along))
        self.scatter = Scatter(x, W, window, memory)
        self.im2col = Im2col(x, W, window, memory) if self.channels < MIN_CHANNELS else None

    def forward(self, x: Array, W: Array, b: Array, floor: float, y: Array) -> None:
        width = brgemm.width_of(brgemm.tile_for(y.shape[2], self.filters, x.itemsize))
        if math.prod(y.shape[:3]) < MIN_PIXELS_TO_PACK and not self.memory.is_packed:
            kernels, strides = W, (width, self.filters)
        else:
            kernels = packed(W.reshape(self.depth, -1), width, self.memory)
            strides = (self.depth * width, width)
        self._convolve(x, kernels, strides, b, floor, y, *self.forward_axes)

    def kernel_gradient(self, x: Array, dy: Array, dW: Array) -> None:
        (KH, KW), (top, left) = self.window.size, self.window.corner
        run, groups = KW * self.channels, -(-self.images // self.per_group)
        tile = brgemm.tile_for(run, self.filters, x.itemsize)
        sums = self.memory.scratch("conv2d dW", (groups, KH, run, self.filters), x.dtype)
        padded = self._padded(x, self.window.padding, self.per_group)
        tiles = KH * -(-self.filters // brgemm.width_of(tile)) * -(-run // len(tile[0]))
        are_enough = groups >= threads.PARTS_PER_THREAD * threads.size()
        shares = 1 if are_enough else min(tiles, threads.size())
        images = (padded, lines(x), (top, left * self.channels), dy, self.per_group, shares)
        nothing = np.empty(0, x.dtype)
        geometry = (self.channels, self.window.stride, tile)
        arguments = (*images, sums, nothing, *geometry)
        multiply_adds = self.per_group * math.prod(self.output) * self.depth * self.filters
        least = -(-MIN_MULTIPLY_ADDS_PER_PART * shares // multiply_adds)
        units = groups * shares
        threads.over(direct.kernel_gradient, units, *arguments, least=least, slots=len(padded))
        parts, least = sums.reshape(groups, dW.size), -(-MIN_ADDITIONS_PER_PART // groups)
        threads.over(elementwise.add_up, dW.size, parts, dW.reshape(-1), least=least)

    def input_gradient(self, dy: Array, W: Array, dx: Array) -> None:
        """dx = convolutions of dy, one for each phase of x, with the kernel rotated by 180°."""
        if self.scatter.is_faster(dy.itemsize):
            self.scatter(dy, W, dx)
            return
        if self.im2col is not None:
            self.im2col.input_gradient(dy, W, dx)
            return
        width = brgemm.width_of(brgemm.tile_for(self.gradient_axes[1].narrowest, self.channels, dy.itemsize))
        depth = math.prod(self.window.size) * self.filters
        kernels = self.memory.scratch("rotated", (-(-self.channels // width), depth, width), dy.dtype)
        threads.over(direct.pack_rotated, len(kernels), W, self.window.stride, kernels)
        strides, nothing = (depth * width, width), np.empty(0, dy.dtype)
        self._convolve(dy, kernels, strides, nothing, -math.inf, dx, *self.gradient_axes)

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
        shares = min(panels, -(-threads.size() // max(images, 1)))  # few images: threads share the filters
        block = max(1, min(images, BLOCK_ELEMENTS // (math.prod(x.shape[1:]) + math.prod(y.shape[1:]))))
        padded = self._padded(x, (down.padding, across.padding), block)
        corner = (down.padding[0], across.padding[0] * channels)
        weights = (kernels.reshape(-1), kernel_strides, -(-panels // shares), bias, y.dtype.type(floor))
        multiply_adds = math.prod(self.output) * self.depth * self.filters
        least = -(-MIN_MULTIPLY_ADDS_PER_PART * shares // multiply_adds)
        arguments = (padded, lines(x), corner, *weights, y, block, channels, down.phases, across.phases, tile)
        threads.over(direct.convolve, images * shares, *arguments, least=least, slots=len(padded))

    def _padded(self, x: Array, padding: Padding, images: int) -> Array:
        """Scratch (threads, images, H', W'·C) for padded images; where none is needed, empty arrays."""
        _, H, W, C = x.shape
        if not any(padding[0] + padding[1]):
            return np.empty((threads.size(), 0, 0, 0), x.dtype)
        shape = (threads.size(), images, H + sum(padding[0]), (W + sum(padding[1])) * C)
        return self.memory.scratch("padded", shape, x.dtype)
