"""The fast CPU backend: the reference operations as compiled loops on every core.

Dense layers and convolutions are built from one microkernel (`kernels.cpu.brgemm`). For the rest memory costs
more than arithmetic: each operation is one pass over its arrays, writes into a buffer that is there already,
and leaves what the next one needs in cache.

Results do not depend on the number of threads: what is summed is cut by its shape alone, into chunks whose
sums are added in order.

One layer may use each operation once a step: its buffers are named by operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, ClassVar, Self

import numba
import numpy as np

from tinynet import threads
from tinynet.backends.base import CONVOLUTIONS, Backend, Penalty, Running, Status
from tinynet.backends.compiled import CompiledBackend
from tinynet.backends.cpu_convolution.base import MIN_MULTIPLY_ADDS_PER_PART, Convolution, packed
from tinynet.backends.cpu_convolution.im2col import Im2col
from tinynet.backends.cpu_convolution.neighbours import DirectNeighbours
from tinynet.backends.cpu_convolution.winograd import Winograd
from tinynet.backends.workspace import Memory, Workspace, aligned_empty
from tinynet.distributed.group import WHOLE, Shard
from tinynet.geometry import Pair, Window
from tinynet.kernels.cpu import (
    activations,
    augmentation,
    brgemm,
    cache_folder,
    depthwise,
    elementwise,
    normalization,
    optimizers,
    philox,
    pooling,
    product,
    transpose,
)
from tinynet.rng import LOW_32, Key, drop_threshold
from tinynet.threads import compiling
from tinynet.types import Array, Shape

ALGORITHMS: dict[str, type[Convolution]] = {
    "im2col": Im2col,
    "direct": DirectNeighbours,
    "winograd": Winograd,
}
KERNELS = vars(activations) | {
    "rescale": elementwise.rescale,
    "residual": elementwise.residual,
    "dropout_backward": philox.dropout_backward,
}
"""Kernels by the names under which `CompiledBackend` asks for them."""
MAX_CONVOLUTIONS = 64
"""Shapes whose convolution a layer keeps: a batch size each."""
SUMMED_COLUMNS = 128
"""Numbers that are added side by side: in a narrower row, most of the time goes into beginning it."""
MIN_ELEMENTS_PER_PART = 1 << 16
"""Below this, handing a part to another thread costs more than the loop over it."""
ALIGN = 4096
"""Elementwise parts end at multiples of this: vector loops then group the same elements for any parts."""
PANEL_ROWS = 512
"""Rows of a panel that all tiles use before the next rows are read: 64 KiB, for a second-level cache."""
MULTIPLY_ADDS_PER_FETCH = 8
"""Multiply-adds in the time that it takes to read a value from main memory."""
MAX_PACKED_ROWS = 8
"""Packing the weights of a dense layer pays only up to this batch size."""
SAME_SETS = 4096
"""Bytes between addresses that a first-level cache keeps in the same few places: such rows collide."""
MIN_COLLIDING_ROWS = 64
"""From so many rows of A, copying colliding rows of B into panels takes less time than it saves."""
SPLIT_DEPTH_FROM = 2 * MIN_MULTIPLY_ADDS_PER_PART
"""Products of this many multiply-adds, up to twice as many, are split in depth for two threads."""
CHUNK_ELEMENTS = 1 << 14
"""Elements that are summed up in one piece; the pieces are then added in order."""
COMPILED_DTYPES = "?bBhHiIlLqQfd"
"""Characters of the dtypes that kernels can read: not half or extended precision."""


class NumbaBackend(CompiledBackend):
    """Compiled loops from `kernels.cpu`; NumPy's BLAS for convolutions through im2col alone."""

    name = "numba"
    recorded_phases: tuple[str, ...] = ("evaluate", "gradients", "whole gradients")
    settings: ClassVar[dict[str, tuple[str, ...]]] = Backend.settings | {"convolution": CONVOLUTIONS}

    def __init__(self, convolution: str = "auto", precision: str = "float32") -> None:
        super().__init__(convolution, precision, Memory())
        self.convolutions: dict[tuple[Shape, Shape, Window], Convolution] = {}

    def bound_to(self, workspace: Workspace, owner: str) -> Self:
        bound = super().bound_to(workspace, owner)
        bound.convolutions = {}
        return bound

    @classmethod
    def status(cls) -> Status:
        return Status(cls.name, True, f"numba {numba.__version__}")

    def announce_compiling(self, announce: Callable[[int, int], None] | None) -> None:
        def tell() -> None:
            if announce is not None:
                announce(*compiling.progress())

        cache_folder.announce = tell if announce else None

    def compiling_together(self, *calls: Callable[[], object]) -> AbstractContextManager[None]:
        return compiling.shared_out(*calls)

    def record(self, run: Callable[[], object]) -> Callable[[], object]:
        return threads.RecordedKernels(run)

    # --- arrays ---------------------------------------------------------------------------------------

    def random_bits(self, key: Key, count: int) -> Array:
        skipped = key.first % 4
        bits = aligned_empty(skipped + count, np.dtype(np.uint32))
        threads.over(
            philox.random_bits, len(bits), bits, _words(key), least=MIN_ELEMENTS_PER_PART, align=ALIGN
        )
        return bits[skipped:]

    def rescale(self, x: Array, scale: float, offset: float, dtype: str) -> Array:
        if x.dtype.char not in COMPILED_DTYPES:
            return super().rescale(x, scale, offset, dtype)
        y = self.memory.own("rescale", x.shape, np.dtype(dtype))
        self._each(elementwise.rescale, x, y, scalars=(y.dtype.type(scale), y.dtype.type(offset)))
        return y

    # --- augmentation -----------------------------------------------------------------------------------

    def displacement(self, key: Key, shape: Shape, taps: Array, gain: float) -> Array:
        N, H, W = shape
        skipped, size = key.first % 4, N * 2 * H * W
        bits = self.memory.scratch("noise", (skipped - (-size // 4),), np.dtype(np.uint32))
        threads.over(
            philox.random_bits, len(bits), bits, _words(key), least=MIN_ELEMENTS_PER_PART // 16, align=ALIGN
        )
        noise = bits[skipped:].view(np.uint8)[:size].reshape(N, 2, H, W)
        field = self.memory.own("displacement", noise.shape, np.dtype(np.int32))
        slots = threads.size()
        shape = (slots, augmentation.flat_size(H, W, len(taps) - 1))
        scratch = (self.memory.scratch(role, shape, taps.dtype) for role in ("before", "between", "after"))
        least = -(-MIN_ELEMENTS_PER_PART // (8 * H * W))
        arguments = (noise, taps, np.float32(gain), field, *scratch)
        threads.over(augmentation.displacement, N, *arguments, least=least, slots=slots)
        return field

    def grow(self, x: Array, growth: Array, passes: int) -> Array:
        N, H, W, C = x.shape
        y = self.memory.own("grow", x.shape, x.dtype)
        slots, is_whole = threads.size(), x.dtype == np.uint8
        number = np.dtype(np.float32) if is_whole else x.dtype
        scratch = [self.memory.scratch(role, (slots, H, W * C), number) for role in ("grown", "wide")]
        rows, pixels = (_contiguous(array).reshape(N, H, W * C) for array in (x, y))
        arguments = (rows, _contiguous(growth), pixels, C, is_whole, *scratch)
        least = -(-MIN_ELEMENTS_PER_PART // (8 * H * W * C))
        threads.over(augmentation.grow, N, *arguments, least=least, slots=slots)
        return y

    def warp(
        self, x: Array, places: Array, contrast: Array, erased: Array, displacement: Array | None
    ) -> Array:
        N, H, W, C = x.shape
        is_whole = x.dtype == np.uint8
        number = np.dtype(np.float64) if is_whole else x.dtype
        limits = tuple(map(number.type, (0, 255) if is_whole else (0, 0)))
        field = _no_displacement(H, W) if displacement is None else _contiguous(displacement)
        y = self.memory.own("warp", x.shape, x.dtype)
        slots, border = threads.size(), augmentation.BORDER
        scratch = (
            self.memory.scratch("padded", (slots, (H + border) * (W + border) * C), number),
            self.memory.scratch("corners", (slots, 2, W), np.dtype(np.int64)),
            self.memory.scratch("weights", (slots, 2, W), number),
        )
        rows, pixels = (_contiguous(array).reshape(N, H, W * C) for array in (x, y))
        drawn = map(_contiguous, (places, contrast, erased))
        arguments = (rows, *drawn, field, limits, pixels, *scratch)
        least = -(-MIN_ELEMENTS_PER_PART // (8 * H * W * C))
        threads.over(augmentation.warp, N, *arguments, least=least, slots=slots)
        return y

    # --- dense ----------------------------------------------------------------------------------------

    def dense(self, x: Array, W: Array, b: Array) -> Array:
        x, W, b = (_contiguous(array) for array in (x, W, b))
        (N, I), O = x.shape, len(b)
        y = self.memory.own("dense", (N, O), x.dtype)
        tile = brgemm.tile_for(N, O, x.itemsize)
        width = brgemm.width_of(tile)
        strides = (width, O)
        is_small = self.memory.is_packed and N <= MAX_PACKED_ROWS
        if is_small or (N >= MIN_COLLIDING_ROWS and _collide(W)):
            W, strides = packed(W, width, self.memory), (I * width, width)
        if SPLIT_DEPTH_FROM <= N * I * O < 2 * SPLIT_DEPTH_FROM and min(N, O) > 1 and 4 * max(N, O) <= I:
            sums = self.memory.scratch("halves", (2, N, O), x.dtype)
            _product_in_halves(x, (I, 1), W, strides, b, y, I, tile, self.fusion.floor, sums)
        else:
            _product(x, (I, 1), W, strides, b, y, I, tile, self.fusion.floor, by_row=N > O)
        return y

    def dense_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array, need_dx: bool
    ) -> Array | None:
        x, dy, W = (_contiguous(array) for array in (x, dy, W))
        (N, I), O = x.shape, dy.shape[1]
        tile = brgemm.tile_for(I, O, x.itemsize)
        width = brgemm.width_of(tile)
        rows, strides, by_row = dy, (width, O), True
        if I >= MIN_COLLIDING_ROWS and (_collide(x) or _collide(dy)):
            rows, strides = (
                self.memory.scratch("dy panels", (-(-O // width), N, width), x.dtype),
                (N * width, width),
            )
            threads.over(product.pack, len(rows), dy, rows, least=-(-MIN_ELEMENTS_PER_PART // (N * width)))
            by_row = False
        _product(x, (1, I), rows, strides, _zeros(O, x.dtype), dW, N, tile, by_row=by_row)
        self._sum_rows(dy, db)
        if not need_dx:
            return None
        dx = self.memory.own("dense dx", x.shape, x.dtype)
        tile = brgemm.tile_for(N, I, x.itemsize)
        width = brgemm.width_of(tile)
        panels = self.memory.scratch("W panels", (-(-I // width), O, width), x.dtype)
        least = -(-MIN_ELEMENTS_PER_PART // (O * width))
        threads.over(transpose.pack_transposed, len(panels), W, panels, tile[2], least=least)
        _product(dy, (O, 1), panels, (O * width, width), _zeros(I, x.dtype), dx, O, tile)
        return dx

    # --- convolution and pooling ------------------------------------------------------------------------

    def conv2d(self, x: Array, W: Array, b: Array, window: Window) -> tuple[Array, Any]:
        x, W, b = (_contiguous(array) for array in (x, W, b))
        convolution = self._convolution(x.shape, W.shape, window)
        y = self.memory.own("conv2d", (len(x), *convolution.output, W.shape[3]), x.dtype)
        convolution.forward(x, W, b, self.fusion.floor, y)
        return y, x

    def conv2d_backward(
        self, dy: Array, saved: Any, W: Array, dW: Array, db: Array, window: Window, need_dx: bool
    ) -> Array | None:
        x, dy, W = saved, _contiguous(dy), _contiguous(W)
        convolution = self._convolution(x.shape, W.shape, window)
        convolution.kernel_gradient(x, dy, dW)
        self._sum_rows(dy.reshape(-1, W.shape[3]), db)
        if not need_dx:
            return None
        dx = self.memory.own("conv2d dx", x.shape, x.dtype)
        convolution.input_gradient(dy, W, dx)
        return dx

    def depthwise_conv2d(self, x: Array, W: Array, b: Array, window: Window) -> tuple[Array, Any]:
        x, W, b = (_contiguous(array) for array in (x, W, b))
        y = self.memory.own("depthwise", (len(x), *window.output(x.shape[1:]), len(b)), x.dtype)
        floor, taps = x.dtype.type(self.fusion.floor), W.reshape(*window.size, len(b))
        _over_images(depthwise.depthwise, x, taps, b, y, window.stride, window.corner, floor)
        return y, x

    def depthwise_conv2d_backward(
        self, dy: Array, saved: Any, W: Array, dW: Array, db: Array, window: Window, need_dx: bool
    ) -> Array | None:
        x, dy, W = saved, _contiguous(dy), _contiguous(W)
        images = max(1, CHUNK_ELEMENTS // math.prod(dy.shape[1:]))
        taps = (*window.size, len(db))
        sums = self.memory.own("depthwise sums", (-(-len(x) // images), *taps), np.dtype(np.float64))
        geometry = (window.stride, window.corner)
        threads.over(depthwise.depthwise_dW, len(sums), dy, x, images, *geometry, sums)
        threads.over(normalization.add_chunks, dW.size, sums.reshape(len(sums), -1), dW.reshape(-1))
        self._sum_rows(dy.reshape(-1, len(db)), db)
        if not need_dx:
            return None
        dx = self.memory.own("depthwise dx", x.shape, x.dtype)
        _over_images(depthwise.depthwise_dx, dy, W.reshape(taps), dx, *geometry)
        return dx

    def algorithm_for(self, x: Shape, W: Shape, window: Window) -> str:
        if self.convolution == "auto":
            wins = Winograd.applies(W, window) and Winograd.is_faster(x, W, window)
            return "winograd" if wins else "direct"
        if self.convolution == "winograd" and not Winograd.applies(W, window):
            return "direct"
        return self.convolution

    def _convolution(self, x: Shape, W: Shape, window: Window) -> Convolution:
        """The algorithm for these shapes, made once for each."""
        key = (x, W, window)
        found = self.convolutions.get(key)
        if found is None:
            if len(self.convolutions) == MAX_CONVOLUTIONS:
                self.convolutions.clear()
            algorithm = ALGORITHMS[self.algorithm_for(x, W, window)]
            found = self.convolutions[key] = algorithm(x, W, window, self.memory)
        return found

    def maxpool(self, x: Array, window: Window) -> tuple[Array, Any]:
        x = _contiguous(x)
        y = self.memory.own("maxpool", (len(x), *window.output(x.shape[1:]), x.shape[3]), x.dtype)
        number = np.dtype(np.uint8 if math.prod(window.size) < 256 else np.int32)
        winner = self.memory.own("maxpool winner", y.shape, number)
        positive = self.fusion.masks_gradient and self.memory.is_training
        _over_images(pooling.maxpool, x, y, winner, window.size, window.stride, window.corner, positive)
        return y, (winner, x.shape)

    def maxpool_backward(self, dy: Array, saved: Any, window: Window) -> Array:
        winner, shape = saved
        dx = self.memory.own("maxpool dx", shape, dy.dtype)
        dy = _contiguous(dy)
        arguments = (winner, dx, window.size, window.stride, window.corner)
        _over_images(pooling.maxpool_backward, dy, *arguments, elements=dx.size)
        return dx

    def avgpool(self, x: Array, window: Window) -> Array:
        x = _contiguous(x)
        y = self.memory.own("avgpool", (len(x), *window.output(x.shape[1:]), x.shape[3]), x.dtype)
        _over_images(pooling.avgpool, x, y, window.size, window.stride, window.corner)
        return y

    def avgpool_backward(self, dy: Array, shape: Shape, window: Window) -> Array:
        dx = self.memory.own("avgpool dx", shape, dy.dtype)
        arguments = (dx, window.size, window.stride, window.corner)
        _over_images(pooling.avgpool_backward, _contiguous(dy), *arguments, elements=dx.size)
        return dx

    # --- normalisation and regularisation ---------------------------------------------------------------

    def batchnorm(
        self,
        x: Array,
        gamma: Array,
        beta: Array,
        epsilon: float,
        shard: Shard = WHOLE,
        running: Running | None = None,
    ) -> tuple[Array, Array, Array, Any]:
        x = _contiguous(x)
        C, double, wide = x.shape[1], np.dtype(np.float64), _side_by_side(x)
        chunks = self._in_chunks(normalization.chunk_statistics, wide, results=2).reshape(2, -1, C)
        ours, around_ours = self.memory.own("batchnorm statistics", (2, C), double)
        merged = (*chunks, _chunk_rows(wide), len(wide), wide.shape[1] // C, ours, around_ours)
        threads.over(normalization.merge_statistics, C, *merged, least=MIN_ELEMENTS_PER_PART)
        center = shard.mean(ours)
        spread = shard.mean(around_ours if center is ours else around_ours + (ours - center) ** 2)
        mean, variance, scale, shift = self.memory.own("batchnorm scale", (4, C), x.dtype)
        inverse_std = self.memory.own("batchnorm 1/std", (C,), double)
        scaled = (center, spread, gamma, beta, epsilon, mean, variance, inverse_std, scale, shift)
        threads.over(normalization.training_scale, C, *scaled, least=MIN_ELEMENTS_PER_PART)
        y = self._normalized("batchnorm", x, mean, scale, shift)
        self._average(running, mean, variance)
        return y, mean, variance, (x, center, mean, inverse_std)

    def running_average(self, running: Array, batch: Array, keep: float, scale: float) -> None:
        numbers = tuple(map(running.dtype.type, (keep, 1.0 - keep, scale)))
        averaged = (running, batch, *numbers)
        threads.over(normalization.running_average, running.size, *averaged, least=MIN_ELEMENTS_PER_PART)

    def batchnorm_inference(
        self, x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float
    ) -> Array:
        scale = self.memory.own("batchnorm inference scale", gamma.shape, gamma.dtype)
        number = gamma.dtype.type(epsilon)
        threads.over(
            normalization.inference_scale,
            len(scale),
            gamma,
            variance,
            number,
            scale,
            least=MIN_ELEMENTS_PER_PART,
        )
        return self._normalized("batchnorm inference", _contiguous(x), mean, scale, beta)

    def _normalized(self, role: str, x: Array, mean: Array, scale: Array, shift: Array) -> Array:
        y = self.memory.own(role, x.shape, x.dtype)
        _over_rows(normalization.normalize, x, y, mean, scale, shift, x.dtype.type(self.fusion.floor))
        return y

    def batchnorm_backward(
        self, dy: Array, saved: Any, gamma: Array, dgamma: Array, dbeta: Array, shard: Shard = WHOLE
    ) -> Array:
        x, center, mean, inverse_std = saved
        dy = _contiguous(dy)
        C, wide = x.shape[1], (_side_by_side(dy), _side_by_side(x))
        chunks = self._in_chunks(normalization.chunk_gradients, *wide, mean, results=2).reshape(2, -1, C)
        sums, products = totals = self.memory.own("batchnorm sums", (2, C), inverse_std.dtype)
        for parts, total in zip(chunks, totals, strict=True):
            threads.over(normalization.add_chunks, C, parts, total, least=MIN_ELEMENTS_PER_PART)
        factors = self.memory.own("batchnorm factors", (3, C), x.dtype)
        means = (shard.mean(sums), shard.mean(products))
        channels = (center, mean, gamma, inverse_std, dgamma, dbeta, factors)
        scaled = (sums, products, *means, len(x), *channels)
        threads.over(normalization.backward_scale, C, *scaled, least=MIN_ELEMENTS_PER_PART)
        dx = self.memory.own("batchnorm dx", x.shape, x.dtype)
        _over_rows(normalization.normalize_backward, dy, x, dx, mean, *factors)
        return dx

    def dropout(self, x: Array, rate: float, key: Key) -> tuple[Array, Any]:
        if key.first % 4:  # the kernel draws whole blocks of words
            return super().dropout(x, rate, key)
        y = self.memory.own("dropout", x.shape, x.dtype)
        keep = self.memory.own("dropout keep", x.shape, np.dtype(np.bool_))
        step = np.asarray(key.step, np.float64).reshape(1)  # of a recording: the array itself
        numbers = (np.int64(drop_threshold(rate)), x.dtype.type(1.0 / (1.0 - rate)))
        scalars = (_words(key._replace(step=0)), step, *numbers)
        self._each(philox.dropout, x, y, keep, scalars=scalars, least=MIN_ELEMENTS_PER_PART // 4)
        return y, keep

    # --- activations and losses: see also `CompiledBackend` -------------------------------------------------

    def softmax(self, x: Array) -> Array:
        y = self.memory.own("softmax", x.shape, x.dtype)
        _over_rows(activations.softmax, _rows(x), _rows(y))
        return y

    def _loss(
        self, kernel: str, outputs: Array, targets: Array, setting: float, weights: Array | None
    ) -> tuple[Array, Array]:
        outputs = _contiguous(outputs)
        targets = _contiguous(targets, np.int64 if targets.ndim == 1 else np.float64)
        gradient = self.memory.own("loss gradient", outputs.shape, outputs.dtype)
        losses = self.memory.own("losses", outputs.shape[:1], np.dtype(np.float64))
        _over_rows(KERNELS[kernel], outputs, targets, gradient, losses, setting)
        if weights is not None:
            _over_rows(activations.weigh, gradient, losses, _contiguous(weights, np.float64))
        mean = self.memory.own("loss", (), losses.dtype)
        threads.over(activations.mean, 1, losses, mean)
        return mean, gradient

    def count_correct(self, outputs: Array, labels: Array) -> Array:
        result = self.memory.own("correct", (), np.dtype(np.int64))
        threads.over(activations.count_correct, 1, _contiguous(outputs), _contiguous(labels), result)
        return result

    def argmax(self, x: Array) -> Array:  # no faster than NumPy's, but it can be recorded
        places = self.memory.own("argmax", x.shape[:1], np.dtype(np.int64))
        _over_rows(activations.argmax, _contiguous(x), places)
        return places

    def l2_penalty(
        self, loss: float | Array, values: Array, grads: Array, penalties: Sequence[Penalty]
    ) -> float | Array:
        total, least = 0.0, MIN_ELEMENTS_PER_PART // CHUNK_ELEMENTS
        for first, stop, rate in penalties:
            W, gradient = values[first:stop], grads[first:stop]
            sums, factor = np.empty(-(-len(W) // CHUNK_ELEMENTS)), W.dtype.type(2.0 * rate)
            parts = (len(sums), W, gradient, factor, CHUNK_ELEMENTS, sums)
            threads.over(optimizers.l2_penalty, *parts, least=least)
            total += rate * sums.sum()
        sum_of_both: float | Array = loss + total
        return sum_of_both

    # --- optimisers --------------------------------------------------------------------------------------

    def sgd(
        self,
        values: Array,
        grads: Array,
        velocity: Array,
        rate: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        decayed: int,
    ) -> None:
        number = values.dtype.type
        scalars = (number(rate), number(momentum), nesterov, number(1.0 - rate * weight_decay), decayed)
        self._each(optimizers.sgd, values, grads, velocity, scalars=scalars)

    def adam(
        self,
        values: Array,
        grads: Array,
        m: Array,
        v: Array,
        step: int,
        rate: float,
        beta1: float,
        beta2: float,
        epsilon: float,
        weight_decay: float,
        decayed: int,
    ) -> None:
        gains = (1.0 - beta1, 1.0 - beta2)
        unbiases = (1.0 / (1.0 - beta1**step), 1.0 / (1.0 - beta2**step))
        scalars = (rate, *gains, *unbiases, epsilon, 1.0 - rate * weight_decay)
        scalars = (*map(values.dtype.type, scalars), decayed)
        self._each(optimizers.adam, values, grads, m, v, scalars=scalars, least=MIN_ELEMENTS_PER_PART // 4)

    def moving_average(self, average: Array, values: Array, gain: float) -> None:
        self._each(optimizers.moving_average, average, values, scalars=(values.dtype.type(gain),))

    def clip_global_norm(self, grads: Array, limit: float) -> None:
        sums = np.empty(-(-grads.size // CHUNK_ELEMENTS))
        least = MIN_ELEMENTS_PER_PART // CHUNK_ELEMENTS
        threads.over(optimizers.sum_of_squares, len(sums), grads, CHUNK_ELEMENTS, sums, least=least)
        norm = np.sqrt(sums.sum())
        if not norm <= limit:  # true for NaN, which must show in the gradients
            self._each(elementwise.scale_in_place, grads, scalars=(grads.dtype.type(limit / norm),))

    # --- buffers and threads -----------------------------------------------------------------------------

    def _sum_rows(self, x: Array, sums: Array) -> None:
        """sums (C,) = Σ over the rows of x (M, C)."""
        chunks = self._in_chunks(normalization.column_sums, _side_by_side(x), results=1)
        parts = (chunks.reshape(-1, len(sums)), sums)
        threads.over(normalization.add_chunks, len(sums), *parts, least=MIN_ELEMENTS_PER_PART)

    def _in_chunks(self, kernel: Callable[..., None], x: Array, *others: Array, results: int) -> Array:
        """kernel's `results` sums over each chunk of rows of x (M, C): float64 (results, chunks, C)."""
        rows = _chunk_rows(x)
        chunks = -(-len(x) // rows)
        sums = self.memory.own("chunk sums", (results, chunks, x.shape[1]), np.dtype(np.float64))
        threads.over(kernel, chunks, x, *others, rows, *sums, least=MIN_ELEMENTS_PER_PART // CHUNK_ELEMENTS)
        return sums

    def _map(self, kernel: str, *inputs: Array, scalars: tuple[float, ...] = (), role: str = "") -> Array:
        output = self.memory.own(role or kernel, inputs[0].shape, inputs[0].dtype)
        self._each(KERNELS[kernel], *inputs, output, scalars=tuple(map(output.dtype.type, scalars)))
        return output

    def _each(
        self,
        kernel: Callable[..., None],
        *arrays: Array,
        scalars: tuple[Any, ...] = (),
        least: int = MIN_ELEMENTS_PER_PART,
    ) -> None:
        """kernel(start, stop, *arrays, *scalars) over the elements of arrays of one shape."""
        flat = [_contiguous(array).reshape(-1) for array in arrays]
        threads.over(kernel, flat[0].size, *flat, *scalars, least=least, align=ALIGN)


def _product(
    a: Array,
    a_strides: Pair,
    b: Array,
    b_strides: Pair,
    bias: Array,
    c: Array,
    depth: int,
    tile: Any,
    floor: float = -math.inf,
    by_row: bool = False,
) -> None:
    """c (M, N) = max(A · B + bias, floor), tile by tile; see `kernels.cpu.product.product` for the layout."""
    height, width = len(tile[0]), brgemm.width_of(tile)
    tiles = -(-c.shape[0] // height) * -(-c.shape[1] // width)
    work = max(height, MULTIPLY_ADDS_PER_FETCH) * width * depth  # with few rows, reading B takes longer
    least = -(-MIN_MULTIPLY_ADDS_PER_PART // work)
    before = np.ndarray(c.shape, c.dtype, bias, 0, (0, bias.itemsize))  # every row of it is the bias
    chunk = PANEL_ROWS if c.shape[0] % height == 0 else max(depth, 1)
    floor = c.dtype.type(floor)
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    arguments = (flat_a, a_strides, flat_b, b_strides, before, c, depth, chunk, floor, by_row, tile)
    threads.over(product.product, tiles, *arguments, least=least)


def _product_in_halves(
    a: Array,
    a_strides: Pair,
    b: Array,
    b_strides: Pair,
    bias: Array,
    c: Array,
    depth: int,
    tile: Any,
    floor: float,
    sums: Array,
) -> None:
    """`_product` for a large depth, through sums (2, M, N): each thread computes half of the depth.

    A thread then reads the rows of the weights that it has just updated, which are in its core's cache.
    """
    chunk = PANEL_ROWS if c.shape[0] % len(tile[0]) == 0 else depth
    nothing = np.empty((0, 0), c.dtype)
    factors = (a.reshape(-1), a_strides, b.reshape(-1), b_strides)
    threads.over(product.product_of_parts, len(sums), *factors, nothing, sums, depth, chunk, tile)
    least = -(-MIN_ELEMENTS_PER_PART // c.shape[1])
    threads.over(product.add_parts, len(c), sums, bias, c.dtype.type(floor), c, least=least)


def _collide(matrix: Array) -> bool:
    """Whether its rows drive each other out of a first-level cache."""
    return matrix.shape[1] * matrix.itemsize % SAME_SETS == 0


def _contiguous(array: Array, dtype: Any = None) -> Array:
    """`array` itself, where it is contiguous and of the dtype, else a copy."""
    contiguous = np.ascontiguousarray(array, dtype)
    if contiguous is not array:
        threads.break_recording()
    return contiguous


@cache
def _zeros(size: int, dtype: np.dtype[Any]) -> Array:
    """Zeros (size,), to be read only."""
    return np.zeros(size, dtype)


@cache
def _no_displacement(height: int, width: int) -> Array:
    """Zeros (1, 2, height, width), to be read only."""
    return np.zeros((1, 2, height, width), np.int32)


def _side_by_side(x: Array) -> Array:
    """x (M, C) with a few rows that follow each other as one: (M / 2ᵏ, 2ᵏ C)."""
    M, C = x.shape
    count = math.gcd(M, 1 << (max(1, SUMMED_COLUMNS // C).bit_length() - 1))
    return x.reshape(M // count, count * C)


def _chunk_rows(x: Array) -> int:
    return max(1, CHUNK_ELEMENTS // x.shape[1])


def _over_rows(kernel: Callable[..., None], x: Array, *arguments: Any) -> None:
    """kernel(start, stop, x, *arguments) over the rows of x (M, C)."""
    threads.over(kernel, len(x), x, *arguments, least=-(-MIN_ELEMENTS_PER_PART // x.shape[1]))


def _over_images(kernel: Callable[..., None], x: Array, *arguments: Any, elements: int | None = None) -> None:
    """kernel(start, stop, x, *arguments) over the images of x (N, H, W, C); `elements`: if not x.size."""
    least = -(-MIN_ELEMENTS_PER_PART * len(x) // max(1, elements or x.size))
    threads.over(kernel, len(x), x, *arguments, least=least)


def _rows(x: Array) -> Array:
    return _contiguous(x).reshape(-1, x.shape[-1])


def _words(key: Key) -> tuple[np.uint64, ...]:
    """The key as the kernels take it: seed low, seed high, step, layer, stream, first block."""
    words = (key.seed, key.seed >> 32, key.step, key.layer, key.stream, key.first // 4)
    return tuple(np.uint64(word & LOW_32) for word in words)
