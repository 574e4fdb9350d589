"""The GPU backend: CUDA kernels of our own, on CuPy's arrays, which stay on the device.

Every operation of a training step goes through one door (`kernels.cuda.device`) and writes into buffers that
are there already. So whole steps can be recorded as a CUDA graph and repeated by one launch: nets of this
size take less time to compute than to launch kernel by kernel. What changes with each step (its batch, its
number, the learning rate) is then read from the device: where a number is asked for, a 0-d float64 array will
do. `tinynet.stretch` says how many steps follow each other so.

Threads gather and nothing is added atomically: the same seed gives the same bits.

An operation does for its neighbours what it has the values for anyway: `backends.cuda_neighbours`.

One layer may use each operation once a step: its buffers are named by operation.

Not yet run on a GPU. Its tests run this class on NumPy's arrays, with these kernels built by a host compiler.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from tinynet.backends import cuda_status
from tinynet.backends.base import PRECISIONS, Penalty, Running, Status
from tinynet.backends.cuda_products import CHANNELS, F64, TileProducts
from tinynet.backends.workspace import Memory
from tinynet.distortions import Distortions, Limits
from tinynet.distributed.group import WHOLE, Shard
from tinynet.errors import BackendError
from tinynet.geometry import Window
from tinynet.kernels.cuda.device import THREADS, CudaDevice, Device
from tinynet.kernels.cuda.source import C_NAMES
from tinynet.rng import LOW_32, Key, drop_threshold
from tinynet.types import Array, Shape

MIN_CHUNK_ROWS = 32
"""Rows that are summed up in one piece, at least: see `_chunk_rows`."""
MOST_IN_A_BYTE = 128
"""Pixels of a window that are numbered by a signed byte."""
COLUMN_BLOCKS = 528
"""So many have enough to do: four for each of an H100's 132 processors."""
MOST_BLOCKS = 1056
"""Of a kernel whose threads have several values each: eight for each of an H100's 132 processors."""
OF_A_SUM = 4
"""Values of a thread that adds up their squares, at least."""
PIXEL = Window((1, 1))


class CupyBackend(TileProducts):
    """CUDA kernels from `kernels.cuda`; with convolution "im2col" all products by cuBLAS."""

    name = "cupy"
    recorded_phases: tuple[str, ...] = ("evaluate", "gradients", "step")
    settings: ClassVar[dict[str, tuple[str, ...]]] = {
        "convolution": ("auto", "im2col", "direct"),
        "precision": PRECISIONS,
    }
    max_recorded_bytes = math.inf
    loss_check_every = 50

    def __init__(
        self, convolution: str = "auto", precision: str = "float32", *, device: Device | None = None
    ) -> None:
        """`precision`: with "tf32" or "bf16", factors of float32 products are rounded to 11 or 8 bits, by at
        most 2⁻¹¹ or 2⁻⁸ of each, and tensor cores multiply them; sums, and all that is kept, stay float32.
        A GPU before sm_80 has no such tensor cores, and rounds nothing.
        """
        self.device = device or CudaDevice(precision=precision, failure=BackendError)
        self.xp = self.device.xp
        super().__init__(convolution, precision, Memory(allocate=self.device.empty))

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process: the settings. It computes on that process' device."""
        return type(self), (self.convolution, self.precision)

    @classmethod
    def status(cls) -> Status:
        facts = cuda_status.read()
        problem = cuda_status.diagnose(facts)
        if problem:
            return Status(cls.name, False, *problem)
        return Status(cls.name, True, cuda_status.summary(facts))

    @staticmethod
    def free_bytes() -> int | None:
        try:
            return cuda_status.free_bytes()
        except RuntimeError:  # CUDA does not answer while a step is being recorded
            return None

    @classmethod
    def use_device(cls, rank: int) -> str:
        if cuda_status.diagnose(cuda_status.look()):  # `status` would compute on the first device
            return ""
        import cupy

        runtime = cupy.cuda.runtime
        device: int = rank % runtime.getDeviceCount()
        cupy.cuda.Device(device).use()
        return f"{runtime.getDeviceProperties(device)['uuid'].hex()} {runtime.deviceGetPCIBusId(device)}"

    def announce_compiling(self, announce: Callable[[int, int], None] | None) -> None:
        """Nothing is announced: a file of kernels compiles in some tenths of a second."""

    def record(self, run: Callable[[], object]) -> Callable[[], object]:
        return self.device.record(run)

    def join(self, recordings: Sequence[Callable[[], object]]) -> Callable[[], object]:
        return self.device.join(recordings)

    # --- arrays ---------------------------------------------------------------------------------------

    def asarray(self, array: Array) -> Array:
        there: Array = self.device.from_host(array)
        return there

    def to_host(self, array: Array) -> Array:
        here: Array = self.device.to_host(array)
        return here

    def random_bits(self, key: Key, count: int) -> Array:
        bits = self.memory.own("random bits", (count,), np.dtype(np.uint32))
        self.device.launch("random_bits", _blocks(key, count), bits, count, *self._words(key))
        return bits

    def take(self, array: Array, index: Array) -> Array:
        if array.dtype not in C_NAMES or index.dtype != np.int64:
            self.device.break_recording()
            return super().take(array, index)
        array, index = self._contiguous(array), self._contiguous(index)
        role = f"take from {self.device.address(array)}"
        y = self.memory.own(role, (len(index), *array.shape[1:]), array.dtype)
        self.device.launch("take", y.size, array, index, y, math.prod(array.shape[1:]))
        return y

    # --- what a stretch of steps reads and adds up ---------------------------------------------------------

    def permutation(self, key: Key, count: int) -> Array:
        order: Array = self.xp.argsort(self.random_bits(key, count), kind="stable")
        return order.astype(np.int64)

    def begin_step(
        self, plan: Array, now: Array, at_first: int, order: Array, samples: Sequence[Array], count: int
    ) -> tuple[Array, ...]:
        x, targets, *weights = map(self._contiguous, samples)
        taken = [
            self.memory.own(f"sample {i}", (count, *array.shape[1:]), array.dtype)
            for i, array in enumerate(samples)
        ]
        y, own_targets, *own_weights = taken
        none = self.memory.own("no weights", (1,), F64)
        rescaled, scale, offset = none, 1.0, 0.0
        if self.fusion.rescales:
            settings = scale, offset, dtype = self.fusion.rescales()
            rescaled = self.memory.own("rescaled", y.shape, np.dtype(dtype))
            self._pass(gathered=y, rescaled=rescaled, settings=settings)
        length, wide = (math.prod(array.shape[1:]) for array in (x, targets))
        self.device.launch(
            "begin_step",
            max(len(now), count * max(length, wide)),
            *(plan, now, len(now), at_first, order),
            *(x, targets, *(weights or [none])),
            *(y, own_targets, *(own_weights or [none]), rescaled),
            *(count, length, wide, bool(weights), self.fusion.rescales is not None, scale, offset),
        )
        return tuple(taken)

    def end_step(self, plan: Array, totals: Array, loss: Array, right: Array, samples: int) -> None:
        self.device.launch("end_step", 1, plan, totals, loss, right, samples)

    def rescale(self, x: Array, scale: float, offset: float, dtype: str) -> Array:
        if x.dtype not in C_NAMES:
            self.device.break_recording()
            return super().rescale(x, scale, offset, dtype)
        there = self._rescaled(x, (scale, offset, dtype))
        if there is not None:
            return there
        y = self.memory.own("rescale", x.shape, np.dtype(dtype))
        self.device.launch("rescale", x.size, self._contiguous(x), y, scale, offset)
        return y

    # --- augmentation -----------------------------------------------------------------------------------

    def distortions(
        self, key: Key, first: int | Array, count: int, size: tuple[int, int], limits: Limits
    ) -> Distortions:
        shapes = {"places": (count, 6), "contrast": (count,), "erased": (count, 4), "growth": (count,)}
        own, number = self.memory.own, np.dtype(np.int64)
        drawn = Distortions(*(own(role, shape, number) for role, shape in shapes.items()))
        *words, _ = self._words(key)
        begin = self._on_device("first", first)
        self.device.launch("distortions", count, *drawn, *words, begin, *size, *limits)
        return drawn

    def displacement(self, key: Key, shape: Shape, taps: Array, gain: float) -> Array:
        N, H, W = shape
        count, reach = N * 2 * H * W, len(taps) - 1
        noise = self.random_bits(key, -(-count // 4)).view(np.uint8)
        between = self.memory.scratch("between", (N, 2, H, W), taps.dtype)
        self.device.launch("weigh_columns", count, noise, taps, between, H, W, reach)
        field = self.memory.own("displacement", (N, 2, H, W), np.dtype(np.int32))
        self.device.launch("weigh_rows", count, between, taps, field, W, reach, gain)
        return field

    def grow(self, x: Array, growth: Array, passes: int) -> Array:
        x, growth = self._contiguous(x), self._contiguous(growth)
        for before in range(passes):
            y = self.memory.own(f"grow {before % 2}", x.shape, x.dtype)
            self.device.launch("grow", x.size, x, growth, y, *x.shape[1:], before, x.dtype == np.uint8)
            x = y
        return x

    def warp(
        self, x: Array, places: Array, contrast: Array, erased: Array, displacement: Array | None
    ) -> Array:
        x, places, contrast, erased = map(self._contiguous, (x, places, contrast, erased))
        N, H, W, C = x.shape
        is_whole = x.dtype == np.uint8
        means = self.memory.scratch("means", (N,), F64 if is_whole else x.dtype)
        self.device.launch("image_means", N, x, means, H * W * C, is_whole)
        is_bent = displacement is not None
        none = self.memory.own("no displacement", (1,), np.dtype(np.int32))
        field = none if displacement is None else displacement
        y = self.memory.own("warp", x.shape, x.dtype)
        drawn = (places, contrast, erased, self._contiguous(field))
        self.device.launch("warp", x.size, x, *drawn, means, y, H, W, C, is_bent, is_whole)
        return y

    # --- products: dense layers and convolutions ----------------------------------------------------------

    def dense(self, x: Array, W: Array, b: Array) -> Array:
        x, W = self._contiguous(x), self._contiguous(W)
        y = self.memory.own("dense", (len(x), len(b)), x.dtype)
        if self.convolution == "im2col":
            self.device.product(x, W, y)
            self._add_bias(y, b)
        else:
            geometry = _geometry((1, 1, 1, x.shape[1]), PIXEL)
            self.multiply_tiles(x, W, self._contiguous(b), y, geometry, self._activation())
            self._gather_before()
        return y

    def dense_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array, need_dx: bool
    ) -> Array | None:
        x, dy, W = map(self._contiguous, (x, dy, W))
        dx = self.memory.own("dense dx", x.shape, x.dtype) if need_dx else None
        if self.convolution != "im2col":
            geometry = _geometry((1, 1, 1, x.shape[1]), PIXEL)
            self.multiply_tiles_back(dy, x, W, dW, db, dx, geometry, self._before())
            return dx
        self.device.product(x, dy, dW, transpose_a=True)
        self._sum_rows(dy, db)
        if dx is not None:
            self.device.product(dy, W, dx, transpose_b=True)
        return dx

    def algorithm_for(self, x: Shape, W: Shape, window: Window) -> str:
        return "im2col" if self.convolution == "im2col" else "direct"

    def conv2d(self, x: Array, W: Array, b: Array, window: Window) -> tuple[Array, Any]:
        x, W = self._contiguous(x), self._contiguous(W)
        F = W.shape[3]
        y = self.memory.own("conv2d", (len(x), *window.output(x.shape[1:]), F), x.dtype)
        if self.convolution != "im2col":
            geometry = _geometry(x.shape, window)
            self.multiply_tiles(x, W, self._contiguous(b), y, geometry, self._activation())
            self._gather_before()
            return y, (x, None)
        cols = self._im2col(x, window)
        self.device.product(cols, W.reshape(-1, F), y.reshape(-1, F))
        self._add_bias(y, b)
        return y, (x, cols if self.memory.is_training else None)

    def conv2d_backward(
        self, dy: Array, saved: Any, W: Array, dW: Array, db: Array, window: Window, need_dx: bool
    ) -> Array | None:
        (x, cols), dy, W, F = saved, self._contiguous(dy), self._contiguous(W), W.shape[3]
        dx = self.memory.own("conv2d dx", x.shape, dy.dtype) if need_dx else None
        if self.convolution != "im2col":
            self.multiply_tiles_back(dy, x, W, dW, db, dx, _geometry(x.shape, window), self._before())
            return dx
        rows = dy.reshape(-1, F)
        self._sum_rows(rows, db)
        cols = self._im2col(x, window) if cols is None else cols
        self.device.product(cols, rows, dW.reshape(-1, F), transpose_a=True)
        if dx is not None:
            dcols = self.memory.scratch("conv2d dcols", cols.shape, cols.dtype)
            self.device.product(rows, W.reshape(-1, F), dcols, transpose_b=True)
            self.device.launch("col2im", dx.size, dcols, dx, *_geometry(x.shape, window))
        return dx

    def _im2col(self, x: Array, window: Window) -> Array:
        """Each window of x (N, H, W, C) as a row: (N·OH·OW, KH·KW·C).

        A training step keeps them for its backward. Elsewhere they are large and soon useless, so all layers
        share their memory; a backward, which few ask for, computes them anew.
        """
        (N, *size, C), (KH, KW) = x.shape, window.size
        place = self.memory.own if self.memory.is_training else self.memory.scratch
        cols = place("conv2d cols", (N * math.prod(window.output(tuple(size))), KH * KW * C), x.dtype)
        self.device.launch("im2col", cols.size, x, cols, *_geometry(x.shape, window))
        return cols

    def depthwise_conv2d(self, x: Array, W: Array, b: Array, window: Window) -> tuple[Array, Any]:
        x, W = self._contiguous(x), self._contiguous(W)
        y = self.memory.own("depthwise", (len(x), *window.output(x.shape[1:]), len(b)), x.dtype)
        geometry = (len(b) // x.shape[3], *_geometry(x.shape, window))
        self.device.launch("depthwise", y.size, x, W, self._contiguous(b), y, *geometry, self.fusion.floor)
        return y, x

    def depthwise_conv2d_backward(
        self, dy: Array, saved: Any, W: Array, dW: Array, db: Array, window: Window, need_dx: bool
    ) -> Array | None:
        x, dy, W = saved, self._contiguous(dy), self._contiguous(W)
        rows, geometry = dy.reshape(-1, len(db)), (len(db) // x.shape[3], *_geometry(x.shape, window))
        chunk = _chunk_rows(len(rows))
        sums = self.memory.scratch("depthwise sums", (-(-len(rows) // chunk), dW.size), F64)
        self.device.launch("depthwise_dW", sums.size, dy, x, sums, len(rows), chunk, *geometry)
        self.device.launch("add_chunks", dW.size, sums, dW, len(sums))
        self._sum_rows(rows, db)
        if not need_dx:
            return None
        dx = self.memory.own("depthwise dx", x.shape, x.dtype)
        self.device.launch("depthwise_dx", dx.size, dy, W, dx, *geometry)
        return dx

    def maxpool(self, x: Array, window: Window) -> tuple[Array, Any]:
        done = self._taken(self.memory.owner).get("pooled")
        if done is not None:
            return done[0], (done[1], x.shape)
        x = self._contiguous(x)
        y = self.memory.own("maxpool", (len(x), *window.output(x.shape[1:]), x.shape[3]), x.dtype)
        places = np.dtype(np.int8 if math.prod(window.size) <= MOST_IN_A_BYTE else np.int32)
        winner = self.memory.own("maxpool winner", y.shape, places)
        positive = self.fusion.masks_gradient and self.memory.is_training
        settings = (*_geometry(x.shape, window), positive)
        if self.fusion.norm and self.memory.is_training:
            size, partial, found, (M, _, rows) = self._of_columns(y.reshape(-1, y.shape[3]))
            results = (y, winner, *partial, *found)
            self.device.launch("maxpool_statistics", size, x, *results, M, rows, *settings)
            self._pass_to(self.fusion.norm, statistics=found[:2])
        else:
            self.device.launch("maxpool", y.size, x, y, winner, *settings)
        return y, (winner, x.shape)

    def maxpool_backward(self, dy: Array, saved: Any, window: Window) -> Array:
        winner, shape = saved
        dx = self.memory.own("maxpool dx", shape, dy.dtype)
        dy = self._contiguous(dy)
        self.device.launch("maxpool_backward", dx.size, dy, winner, dx, *_geometry(shape, window))
        return dx

    def avgpool(self, x: Array, window: Window) -> Array:
        y = self.memory.own("avgpool", (len(x), *window.output(x.shape[1:]), x.shape[3]), x.dtype)
        self.device.launch("avgpool", y.size, self._contiguous(x), y, *_geometry(x.shape, window))
        return y

    def avgpool_backward(self, dy: Array, shape: Shape, window: Window) -> Array:
        dx = self.memory.own("avgpool dx", shape, dy.dtype)
        self.device.launch("avgpool_backward", dx.size, self._contiguous(dy), dx, *_geometry(shape, window))
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
        if shard.group.size > 1:
            self.device.break_recording()
            y, *rest = super().batchnorm(x, gamma, beta, epsilon, shard, running)
            return self._rectified(y), *rest
        x = self._contiguous(x)
        found = self._taken(self.memory.owner).get("statistics")
        if found is None:
            size, partial, (*found, counters), sizes = self._of_columns(x)
            self.device.launch("batch_statistics", size, x, *partial, *found, counters, *sizes)
        (mean, rest), variance = found
        y = self._normalized("batchnorm", x, (mean, rest, variance, gamma, beta), epsilon, running)
        return y, mean, variance, (x, mean, rest, variance, epsilon)

    def batchnorm_inference(
        self, x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float
    ) -> Array:
        rest = self._zeros("batchnorm inference rest", mean.shape, mean.dtype)
        return self._normalized("batchnorm inference", x, (mean, rest, variance, gamma, beta), epsilon, None)

    def _normalized(
        self,
        role: str,
        x: Array,
        channels: tuple[Array, ...],
        epsilon: float,
        running: Running | None,
    ) -> Array:
        """The kernel's y; channels (C,): the mean, what rounding took from it, the variance, γ and β."""
        x, y = self._contiguous(x), self.memory.own(role, x.shape, x.dtype)
        settled = [self._contiguous(each) for each in channels]
        *averages, keep, unbias = running or (*settled[:2], 1.0, 1.0)
        settings = (*settled, *averages, epsilon, self.fusion.floor, keep, unbias)
        if self.fusion.pool and self.memory.is_training:
            H, W, C = self.fusion.image
            pooled, winner = self._pooled(x.size // (H * W * C), x.dtype)
            self.device.launch("normalize_and_pool", pooled.size, x, y, pooled, winner, *settings, H, W, C)
        else:
            self.device.launch("normalize", x.size, x, y, *settings, x.shape[1])
        return y

    def batchnorm_backward(
        self, dy: Array, saved: Any, gamma: Array, dgamma: Array, dbeta: Array, shard: Shard = WHOLE
    ) -> Array:
        if shard.group.size > 1:
            self.device.break_recording()
            return super().batchnorm_backward(dy, saved, gamma, dgamma, dbeta, shard)
        x, *statistics, epsilon = saved
        dy, gamma = self._contiguous(dy), self._contiguous(gamma)
        size, sums, (*_, counters), sizes = self._of_columns(x)
        given, into = (dy, x, *statistics), (dgamma, dbeta)
        self.device.launch("batch_gradients", size, *given, *sums, *into, counters, *sizes, epsilon)
        dx = self.memory.own("batchnorm dx", x.shape, x.dtype)
        channels = (*statistics, gamma, dgamma, dbeta)
        self.device.launch("normalize_backward", x.size, dy, x, dx, *channels, *x.shape, epsilon)
        return dx

    def _of_columns(self, x: Array) -> tuple[int, list[Array], tuple[Array, Array, Array], tuple[int, ...]]:
        """What a kernel of columns.cuh takes for x (M, C): threads, sums of each chunk, (mean, variance,
        counters), and (M, C, rows of a chunk). The shape alone decides what is summed with what."""
        M, C = x.shape
        groups = -(-C // CHANNELS)
        rows = max(MIN_CHUNK_ROWS, -(-M * groups // COLUMN_BLOCKS))
        sums, found = self._statistics(x, rows)
        return -(-M // rows) * groups * THREADS, sums, found, (M, C, rows)

    def running_average(self, running: Array, batch: Array, keep: float, scale: float) -> None:
        self.device.launch("running_average", running.size, running, batch, keep, scale)

    def dropout(self, x: Array, rate: float, key: Key) -> tuple[Array, Any]:
        x = self._contiguous(x)
        y = self.memory.own("dropout", x.shape, x.dtype)
        keep = self.memory.own("dropout keep", x.shape, np.dtype(np.bool_))
        settings = (drop_threshold(rate), 1.0 / (1.0 - rate))
        self.device.launch("dropout", _blocks(key, x.size), x, y, keep, x.size, *self._words(key), *settings)
        self._pass(keep=keep, scale=settings[1])
        return y, keep

    # --- activations and losses: see also `CompiledBackend` -------------------------------------------------

    def softmax(self, x: Array) -> Array:
        return self._map_rows("softmax", x)

    def softmax_backward(self, dy: Array, y: Array) -> Array:
        return self._map_rows("softmax_backward", dy, y)

    def _loss(
        self, kernel: str, outputs: Array, targets: Array, setting: float, weights: Array | None
    ) -> tuple[Array, Array]:
        rows = self._contiguous(outputs)
        known = self._contiguous(targets, np.int64 if targets.ndim == 1 else F64)
        N, K = rows.shape
        gradient = self.memory.own("loss gradient", (N, K), rows.dtype)
        losses, loss = self.memory.own("losses", (N,), F64), self.memory.own("loss", (), F64)
        weighted = (losses, False) if weights is None else (self._contiguous(weights, F64), True)
        counts, count, counter = self._counting(N)
        found = (*weighted, gradient, losses, loss, counter)
        self.device.launch(kernel, N, rows, known, counts, count, *found, K, setting)
        self._pass(outputs=outputs, labels=targets)
        return loss, gradient

    def count_correct(self, outputs: Array, labels: Array) -> Array:
        N, K = outputs.shape
        counts, count, counter = self._counting(N)
        passed = self._taken(self.memory.owner)
        if passed.get("outputs") is outputs and passed.get("labels") is labels:
            return count  # the loss has counted them
        pair = (self._contiguous(outputs), self._contiguous(labels, np.int64))
        self.device.launch("count_correct", N, *pair, counts, count, counter, K)
        return count

    def _counting(self, N: int) -> tuple[Array, Array, Array]:
        """For kernels that count right rows of N: counts, count and counter of losses.cu."""
        counts = self.memory.scratch("counts", (-(-N // THREADS),), F64)
        return counts, self.memory.own("correct", (), np.dtype(np.int64)), self._counters("losses", 1)

    def argmax(self, x: Array) -> Array:
        N, K = x.shape
        places = self.memory.own("argmax", (N,), np.dtype(np.int64))
        self.device.launch("argmax", N, self._contiguous(x), places, K)
        return places

    def l2_penalty(
        self, loss: float | Array, values: Array, grads: Array, penalties: Sequence[Penalty]
    ) -> float | Array:
        ends, rates = map(self.asarray, _gapless(penalties))
        count, result = penalties[-1].stop, self.device.empty(1, F64)
        size, sums, counter = self._adding_up(count)
        parts = (ends, rates, count, sums, self._on_device("loss", loss), result, counter)
        self.device.launch("l2_penalty", size, values, grads, len(grads), *parts)
        return result.reshape(())

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
        settings = (self._on_device("rate", rate), momentum, nesterov, weight_decay, decayed)
        self.device.launch("sgd", values.size, values, grads, velocity, *settings)

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
        threads = min(-(-values.size // THREADS), MOST_BLOCKS) * THREADS
        numbers = (self._on_device("step", step), self._on_device("rate", rate), beta1, beta2)
        settings = (values.size, *numbers, epsilon, weight_decay, decayed)
        self.device.launch("adam", threads, values, grads, m, v, *settings)

    def moving_average(self, average: Array, values: Array, gain: float) -> None:
        there = self._on_device("gain", gain)
        self.device.launch("moving_average", average.size, average, values, there)

    def clip_global_norm(self, grads: Array, limit: float) -> None:
        square = self.device.empty(1, F64)
        size, sums, counter = self._adding_up(grads.size)
        self.device.launch("sum_of_squares", size, grads, grads.size, sums, square, counter)
        self.device.launch("clip", grads.size, grads, square, limit)

    # --- buffers and sums --------------------------------------------------------------------------------

    def _map(self, kernel: str, *inputs: Array, scalars: tuple[float, ...] = (), role: str = "") -> Array:
        output = self.memory.own(role or kernel, inputs[0].shape, inputs[0].dtype)
        self.device.launch(kernel, output.size, *map(self._contiguous, inputs), output, *scalars)
        return output

    def _map_rows(self, kernel: str, *inputs: Array) -> Array:
        """The same along the last axis, by one thread a row."""
        output = self.memory.own(kernel, inputs[0].shape, inputs[0].dtype)
        K = output.shape[-1]
        self.device.launch(kernel, output.size // K, *map(self._contiguous, inputs), output, K)
        return output

    def _add_bias(self, y: Array, b: Array) -> None:
        self.device.launch("add_bias", y.size, y, self._contiguous(b), len(b), self.fusion.floor)

    def _sum_rows(self, x: Array, sums: Array) -> None:
        """sums (C,) = Σ over the rows of x (M, C)."""
        rows = _chunk_rows(len(x))
        chunks = self.memory.scratch("chunk sums", (-(-len(x) // rows), x.shape[1]), F64)
        self.device.launch("column_sums", chunks.size, x, chunks, *x.shape, rows)
        self.device.launch("add_chunks", len(sums), chunks, sums, len(chunks))

    def _adding_up(self, count: int) -> tuple[int, Array, Array]:
        """For a kernel that adds up `count` values: threads, and `sums` and `counter` of last_block.cuh."""
        blocks = min(-(-count // (OF_A_SUM * THREADS)), MOST_BLOCKS)
        return blocks * THREADS, self.device.empty(blocks, F64), self._counters("sums", 1)

    def _on_device(self, role: str, value: float | Array) -> Array:
        """A number as a 0-d float64 array: itself, where it is one."""
        if isinstance(value, self.xp.ndarray):
            return value
        result = self.memory.own(f"number {role}", (), F64)
        self.device.launch("put", 1, result, value)
        return result

    def _words(self, key: Key) -> tuple[Any, ...]:
        """The key as kernels take it: seed low, seed high, step, layer, stream, first word."""
        step = key.step if isinstance(key.step, self.xp.ndarray) else key.step & LOW_32
        words = (key.layer & LOW_32, key.stream & LOW_32, key.first & LOW_32)
        return (key.seed & LOW_32, (key.seed >> 32) & LOW_32, self._on_device("step", step), *words)

    def _contiguous(self, array: Array, dtype: Any = None) -> Array:
        """`array` itself, where it is contiguous and of the dtype, else a copy."""
        if array.flags.c_contiguous and dtype in (None, array.dtype):
            return array
        self.device.break_recording()
        return array.astype(dtype or array.dtype, order="C")


def _gapless(penalties: Sequence[Penalty]) -> tuple[Array, Array]:
    """Where each penalty, and each stretch without one, ends, int32, and its λ, float64: from 0 on."""
    ends: list[int] = []
    rates: list[float] = []
    for first, stop, rate in penalties:
        ends += first, stop
        rates += 0.0, rate
    return np.array(ends, np.int32), np.array(rates)


def _blocks(key: Key, count: int) -> int:
    """The blocks of four words in which the `count` words from `key.first` on lie."""
    return -(-(key.first % 4 + count) // 4)


def _chunk_rows(rows: int) -> int:
    """Rows of one chunk: a power of 2 near the root of all rows, so there are about as many chunks."""
    return max(MIN_CHUNK_ROWS, 1 << math.isqrt(max(rows - 1, 0)).bit_length())


def _geometry(x: Shape, window: Window) -> tuple[int, ...]:
    """How windows lie on images x (N, H, W, C): H, W, C, OH, OW, KH, KW, down, across, top, left."""
    return (*x[1:], *window.output(x[1:]), *window.size, *window.stride, *window.corner)
