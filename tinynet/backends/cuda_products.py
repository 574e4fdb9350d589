"""Products by tiles on the GPU: how the kernels of conv2d.cu are launched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tinynet.backends.cuda_neighbours import NO_ACTIVATION, WINNER, Neighbours
from tinynet.kernels.cuda import tiles
from tinynet.kernels.cuda.device import THREADS, Device
from tinynet.types import Array, Shape

CHANNELS = 32
"""Channels of a block that sums over rows: columns.cuh."""
F64 = np.dtype(np.float64)


class TileProducts(Neighbours):
    """A backend's products of windows on images and weights.

    Shapes as in conv2d.cu: x, dx (N, H, W, C), y, dy (N, OH, OW, F), K, dK (KH, KW, C, F), b, db (F,). An
    axis of size 1 may be left out. `geometry` is (H, W, C, OH, OW, KH, KW, down, across, top, left).
    """

    device: Device

    def multiply_tiles(
        self, x: Array, K: Array, b: Array, y: Array, geometry: tuple[int, ...], alpha: float
    ) -> None:
        """y = windows of x · K + b, then the activation of this alpha, and what is to be done behind that."""
        F = len(b)
        cut = tiles.cut(y.size // F, F, K.size // F, y.dtype)
        arguments = (x, K, b, y, *self._parts("y", cut, y), alpha, *self._behind(y), len(x), F, *geometry)
        self._by_tiles("conv2d", "tensor_conv2d", cut.blocks, arguments)

    def multiply_tiles_back(
        self,
        dy: Array,
        x: Array,
        K: Array,
        dK: Array,
        db: Array,
        dx: Array | None,
        geometry: tuple[int, ...],
        before: dict[str, Any],
    ) -> None:
        """dK, db and, unless it is None, dx; that goes back through what is `before`: neighbours.cuh."""
        C, F = geometry[2], len(db)
        of_dK = tiles.cut(K.size // F + 1, F, dy.size // F, dy.dtype)
        of_dx = tiles.cut(0 if dx is None else x.size // C, C, K.size // C, dy.dtype)
        sums = self.memory.scratch("dK and db", (K.size // F + 1, F), dy.dtype)
        nothing = self.memory.own("no mask", (1,), np.dtype(np.bool_))
        gate = {"keep": nothing, "scale": 0.0, "y": x, "alpha": NO_ACTIVATION} | before
        there = x if dx is None else dx
        arguments = (
            *(dy, x, K, dK, db, *self._parts("dK", of_dK, sums), of_dK.blocks),
            *(there, *self._parts("dx", of_dx, there), *(gate[n] for n in ("keep", "scale", "y", "alpha"))),
            *(len(x), F, *geometry),
        )
        blocks = of_dK.blocks + of_dx.blocks
        self._by_tiles("conv2d_backward", "tensor_conv2d_backward", blocks, arguments)

    def _behind(self, y: Array) -> tuple[Any, ...]:
        """What is done with y (N, …, F) as it is computed, and memory for that: `Behind` of windows.cuh."""
        pool = self.fusion.pool if self.memory.is_training else None
        if pool is None:
            none = (self.memory.own("no pool", (1,), dtype) for dtype in (y.dtype, WINNER))
            return False, *none, *self._statistics_of(y, tiles.ROWS[y.dtype], self.fusion.norm)
        pooled, winner = self._pooled(len(y), y.dtype)
        found = self._statistics_of(pooled, tiles.ROWS[y.dtype] // 4, pool.fusion.norm)
        return True, pooled, winner, *found

    def _statistics_of(self, y: Array, rows: int, norm: str) -> tuple[Any, ...]:
        """Whether the BatchNorm called `norm` wants statistics of y (N, …, F), and memory for them."""
        if not norm or not self.memory.is_training:
            none, value = (self.memory.own("no statistics", (1,), dtype) for dtype in (F64, y.dtype))
            return False, none, none, value, value, self._counters("nothing", 1)
        sums, found = self._statistics(y.reshape(-1, y.shape[-1]), rows)
        self._pass_to(norm, statistics=found[:2])
        return True, *sums, *found

    def _statistics(self, x: Array, rows: int) -> tuple[list[Array], tuple[Array, Array, Array]]:
        """Memory for what kernels find of x (M, C) by chunks of `rows` rows: those of columns.cuh."""
        M, C = x.shape
        chunks, groups = -(-M // rows), -(-C // CHANNELS)
        sums = [self.memory.scratch(f"column sums {i}", (chunks, C), F64) for i in range(2)]
        mean = self.memory.own("column mean", (2, C), x.dtype)
        variance = self.memory.own("column variance", (C,), x.dtype)
        counters = self._counters("columns", groups * (chunks + tiles.MORE_COUNTERS))
        return sums, (mean, variance, counters)

    def _parts(self, role: str, cut: tiles.Cut, result: Array) -> tuple[Array, Array, int]:
        """Memory for the parts of a result, and for the counters of its tiles; the length of a part."""
        sums = result
        if cut.parts > 1:
            sums = self.memory.scratch(f"parts of {role}", (cut.parts, result.size), result.dtype)
        return sums, self._counters(role, cut.counters), cut.length

    def _counters(self, role: str, count: int) -> Array:
        """By which blocks find out who is last (last_block.cuh): 0 before each launch and behind it."""
        return self._zeros(f"counters of {role}", (count,), np.dtype(np.uint32))

    def _zeros(self, role: str, shape: Shape, dtype: Any) -> Array:
        """An array of this layer's that was 0 at the beginning, and stays so where nobody writes into it."""
        return replace(self.memory, allocate=self.device.zeros).own(role, shape, dtype)

    def _by_tiles(self, plain: str, by_tensor_cores: str, blocks: int, arguments: tuple[Any, ...]) -> None:
        """Run the faster of two kernels that compute the same, but for what `precision` allows to round."""
        is_exact = self.precision == "float32"
        if arguments[0].dtype == np.float32 and self.device.prefers_tensor_cores(is_exact):
            number = tiles.PRECISIONS[self.precision]
            self.device.launch(by_tensor_cores, blocks * THREADS, *arguments, number)
        else:
            self.device.launch(plain, blocks * THREADS, *arguments)
