"""The fast CPU backend: the reference operations as compiled loops on every core.

Memory, not arithmetic, is what costs most here: each operation is one pass over its arrays, writes into a
buffer that is there already, and leaves what the next one needs in cache. A convolution is im2col and a
matrix product for a few images at a time, so the matrix of windows never leaves the second-level cache; its
backward makes that matrix again, which is cheaper than keeping it.

Results do not depend on the number of threads. What is summed is cut by its shape alone, into chunks whose
sums are added in order; matrix products run on one thread each, on blocks cut the same way.

One layer may use each operation once a step: its buffers are named by operation.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from tinynet import threads
from tinynet.backends.base import Padding, Pair
from tinynet.backends.numpy_ import NumpyBackend, output_size
from tinynet.backends.workspace import Workspace, aligned_empty
from tinynet.kernels.cpu import (
    activations,
    convolution,
    elementwise,
    normalization,
    optimizers,
    philox,
    pooling,
)
from tinynet.rng import LOW_32, Key, drop_threshold
from tinynet.types import Array, Shape

LEAST = 1 << 16
"""Elements worth a thread: handing a part to one costs about as much as a pass over this many."""
ALIGN = 4096
"""Elementwise parts end at multiples of this, so vector loops meet the same elements whatever the parts."""
CHUNK = 1 << 14
"""Elements of one partial sum."""
BLOCK_PRODUCT = 1 << 22
"""Multiply-adds of one block of a matrix product: some 100 µs."""
MOST_BLOCKS = 32
COLUMNS = 1 << 18
"""Elements of the matrix of windows made at a time: about 1 MiB."""
NUMBERS = "?bBhHiIlLqQfd"
"""Dtypes compiled code reads (not half or extended precision)."""


class NumbaBackend(NumpyBackend):
    """Compiled loops from `kernels.cpu`, NumPy's BLAS for matrix products."""

    name = "numba"

    def __init__(self) -> None:
        self._workspace: Workspace | None = None
        self._owner = ""

    def bound_to(self, workspace: Workspace, owner: str) -> NumbaBackend:
        bound = copy.copy(self)
        bound._workspace, bound._owner = workspace, owner
        return bound

    # --- arrays ---------------------------------------------------------------------------------------

    def zeros_flat(self, size: int, dtype: str) -> Array:
        buffer = aligned_empty(size, np.dtype(dtype))
        buffer[...] = 0
        return buffer

    def random_bits(self, key: Key, count: int) -> Array:
        bits = aligned_empty(count, np.dtype(np.uint32))
        threads.over(philox.random_bits, count, bits, _words(key), least=LEAST, align=ALIGN)
        return bits

    def rescale(self, x: Array, scale: float, offset: float, dtype: str) -> Array:
        if x.dtype.char not in NUMBERS:
            return super().rescale(x, scale, offset, dtype)
        y = self._buffer("rescale", x.shape, np.dtype(dtype))
        self._each(elementwise.rescale, x, y, scalars=(y.dtype.type(scale), y.dtype.type(offset)))
        return y

    # --- dense ----------------------------------------------------------------------------------------

    def dense(self, x: Array, W: Array, b: Array) -> Array:
        y = self._buffer("dense", (len(x), len(b)), x.dtype)
        self._product(x, W, y)
        threads.over(elementwise.add_bias, len(y), y, b, least=-(-LEAST // len(b)))
        return y

    def dense_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array, need_dx: bool
    ) -> Array | None:
        self._product(x.T, dy, dW)
        db[...] = _column_sums(np.ascontiguousarray(dy))
        if not need_dx:
            return None
        dx = self._buffer("dense dx", x.shape, x.dtype)
        self._product(dy, W.T, dx)
        return dx

    # --- convolution and pooling ------------------------------------------------------------------------

    def conv2d(self, x: Array, W: Array, b: Array, stride: Pair, padding: Padding) -> tuple[Array, Any]:
        x, W = np.ascontiguousarray(x), np.ascontiguousarray(W)
        plan = _Windows(x.shape, W.shape, stride, padding)
        y = self._buffer("conv2d", (len(x), *plan.output, W.shape[3]), x.dtype)
        matrix = W.reshape(-1, W.shape[3])

        def forward(start: int, stop: int, columns: Array) -> None:
            for images in plan.blocks(start, stop):
                rows = y[images].reshape(-1, W.shape[3])
                np.matmul(plan.im2col(x[images], columns), matrix, out=rows)
                elementwise.add_bias(0, len(rows), rows, b)

        self._in_groups(forward, plan, x.dtype, plan.columns)
        return y, x

    def conv2d_backward(
        self,
        dy: Array,
        saved: Any,
        W: Array,
        dW: Array,
        db: Array,
        stride: Pair,
        padding: Padding,
        need_dx: bool,
    ) -> Array | None:
        x, dy, W = saved, np.ascontiguousarray(dy), np.ascontiguousarray(W)
        plan = _Windows(x.shape, W.shape, stride, padding)
        matrix = W.reshape(-1, W.shape[3])
        dx = self._buffer("conv2d dx", x.shape, x.dtype) if need_dx else None
        sums = self._buffer("conv2d dW", (plan.groups, *matrix.shape), x.dtype)

        def backward(start: int, stop: int, scratch: Array) -> None:
            columns, product = scratch[: plan.columns], scratch[plan.columns :].reshape(matrix.shape)
            for group in range(start, stop):
                sums[group] = 0
                for images in plan.blocks(group, group + 1):
                    rows = dy[images].reshape(-1, W.shape[3])
                    np.matmul(plan.im2col(x[images], columns).T, rows, out=product)
                    np.add(sums[group], product, out=sums[group])
                    if dx is not None:
                        plan.add_back(rows, matrix, columns, dx[images])

        self._in_groups(backward, plan, x.dtype, plan.columns + matrix.size)
        dW[...] = sums.sum(axis=0).reshape(W.shape)
        db[...] = _column_sums(dy.reshape(-1, W.shape[3]))
        return dx

    def maxpool(self, x: Array, window: Pair, stride: Pair, padding: Padding) -> tuple[Array, Any]:
        x = np.ascontiguousarray(x)
        shape = (len(x), *output_size(x.shape, window, stride, padding), x.shape[3])
        y = self._buffer("maxpool", shape, x.dtype)
        number = np.dtype(np.uint8 if math.prod(window) <= 256 else np.int32)
        winner = self._buffer("maxpool winner", shape, number)
        _over_images(pooling.maxpool, x, y, winner, window, stride, _corner(padding))
        return y, (winner, x.shape)

    def maxpool_backward(self, dy: Array, saved: Any, window: Pair, stride: Pair, padding: Padding) -> Array:
        winner, shape = saved
        dx = self._buffer("maxpool dx", shape, dy.dtype)
        dy = np.ascontiguousarray(dy)
        _over_images(pooling.maxpool_backward, dy, winner, dx, window, stride, _corner(padding))
        return dx

    def avgpool(self, x: Array, window: Pair, stride: Pair, padding: Padding) -> Array:
        x = np.ascontiguousarray(x)
        shape = (len(x), *output_size(x.shape, window, stride, padding), x.shape[3])
        y = self._buffer("avgpool", shape, x.dtype)
        _over_images(pooling.avgpool, x, y, window, stride, _corner(padding))
        return y

    def avgpool_backward(
        self, dy: Array, shape: Shape, window: Pair, stride: Pair, padding: Padding
    ) -> Array:
        dx = self._buffer("avgpool dx", shape, dy.dtype)
        _over_images(pooling.avgpool_backward, np.ascontiguousarray(dy), dx, window, stride, _corner(padding))
        return dx

    # --- normalisation and regularisation ---------------------------------------------------------------

    def batchnorm(
        self, x: Array, gamma: Array, beta: Array, epsilon: float
    ) -> tuple[Array, Array, Array, Any]:
        x = np.ascontiguousarray(x)
        means, squares = _in_chunks(normalization.chunk_statistics, x, results=2)
        rows = _chunk_rows(x)
        counts = np.minimum(rows, len(x) - rows * np.arange(len(means)))[:, None]  # the last chunk is shorter
        mean = (counts * means).sum(axis=0) / len(x)
        variance = (squares + counts * (means - mean) ** 2).sum(axis=0) / len(x)
        inverse_std = 1.0 / np.sqrt(variance + epsilon)
        mean, variance = mean.astype(x.dtype), variance.astype(x.dtype)
        y = self._normalized("batchnorm", x, mean, gamma * inverse_std, beta)
        return y, mean, variance, (x, mean, inverse_std)

    def batchnorm_inference(
        self, x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float
    ) -> Array:
        scale = gamma / np.sqrt(variance + epsilon)
        return self._normalized("batchnorm inference", np.ascontiguousarray(x), mean, scale, beta)

    def _normalized(self, role: str, x: Array, mean: Array, scale: Array, beta: Array) -> Array:
        y = self._buffer(role, x.shape, x.dtype)
        _over_rows(normalization.normalize, x, y, mean, scale.astype(x.dtype), beta)
        return y

    def batchnorm_backward(self, dy: Array, saved: Any, gamma: Array, dgamma: Array, dbeta: Array) -> Array:
        x, mean, inverse_std = saved
        dy = np.ascontiguousarray(dy)
        sums, products = (
            a.sum(axis=0) for a in _in_chunks(normalization.chunk_gradients, dy, x, mean, results=2)
        )
        dbeta[...] = sums
        dgamma[...] = products * inverse_std
        scale = gamma * inverse_std
        slope = -scale * products * inverse_std**2 / len(x)
        shift = -scale * sums / len(x)
        dx = self._buffer("batchnorm dx", x.shape, x.dtype)
        per_channel = (a.astype(x.dtype) for a in (scale, slope, shift))
        _over_rows(normalization.normalize_backward, dy, x, dx, mean, *per_channel)
        return dx

    def dropout(self, x: Array, rate: float, key: Key) -> tuple[Array, Any]:
        y = self._buffer("dropout", x.shape, x.dtype)
        keep = self._buffer("dropout keep", x.shape, np.dtype(np.bool_))
        scalars = (_words(key), np.int64(drop_threshold(rate)), x.dtype.type(1.0 / (1.0 - rate)))
        self._each(philox.dropout, x, y, keep, scalars=scalars)
        return y, keep

    def dropout_backward(self, dy: Array, saved: Any, rate: float) -> Array:
        scale = dy.dtype.type(1.0 / (1.0 - rate))
        return self._map("dropout dx", philox.dropout_backward, dy, saved, scalars=(scale,))

    # --- activations ------------------------------------------------------------------------------------

    def relu(self, x: Array) -> Array:
        return self._map("relu", _relu, x)

    def relu_backward(self, dy: Array, y: Array) -> Array:
        return self._map("relu dx", activations.relu_backward, dy, y)

    def leaky_relu(self, x: Array, slope: float) -> Array:
        return self._map("leaky_relu", activations.leaky_relu, x, scalars=(x.dtype.type(slope),))

    def leaky_relu_backward(self, dy: Array, x: Array, slope: float) -> Array:
        scalars = (dy.dtype.type(slope),)
        return self._map("leaky_relu dx", activations.leaky_relu_backward, dy, x, scalars=scalars)

    def elu(self, x: Array, alpha: float) -> Array:
        return self._map("elu", activations.elu, x, scalars=(x.dtype.type(alpha),))

    def elu_backward(self, dy: Array, y: Array, alpha: float) -> Array:
        return self._map("elu dx", activations.elu_backward, dy, y, scalars=(dy.dtype.type(alpha),))

    def gelu(self, x: Array) -> Array:
        return self._map("gelu", activations.gelu, x)

    def gelu_backward(self, dy: Array, x: Array) -> Array:
        return self._map("gelu dx", activations.gelu_backward, dy, x)

    def sigmoid(self, x: Array) -> Array:
        return self._map("sigmoid", activations.sigmoid, x)

    def sigmoid_backward(self, dy: Array, y: Array) -> Array:
        return self._map("sigmoid dx", activations.sigmoid_backward, dy, y)

    def tanh(self, x: Array) -> Array:
        return self._map("tanh", _tanh, x)

    def tanh_backward(self, dy: Array, y: Array) -> Array:
        return self._map("tanh dx", activations.tanh_backward, dy, y)

    def softmax(self, x: Array) -> Array:
        y = self._buffer("softmax", x.shape, x.dtype)
        _over_rows(activations.softmax, _rows(x), _rows(y))
        return y

    # --- loss --------------------------------------------------------------------------------------------

    def softmax_cross_entropy(self, logits: Array, labels: Array, smoothing: float) -> tuple[Array, Any]:
        logits = np.ascontiguousarray(logits)
        p = self._buffer("cross_entropy p", logits.shape, logits.dtype)
        losses = np.empty(len(logits))
        labels = np.ascontiguousarray(labels, dtype=np.int64)
        _over_rows(activations.softmax_cross_entropy, logits, labels, p, losses, float(smoothing))
        return losses.mean(), p

    # --- optimisers --------------------------------------------------------------------------------------

    def sgd(
        self,
        values: Array,
        grads: Array,
        velocity: Array,
        rate: float,
        momentum: float,
        nesterov: bool,
        decay: float,
        decayed: int,
    ) -> None:
        number = values.dtype.type
        scalars = (number(rate), number(momentum), nesterov, number(1.0 - rate * decay), decayed)
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
        decay: float,
        decayed: int,
    ) -> None:
        gains = (1.0 - beta1, 1.0 - beta2)
        unbiases = (1.0 / (1.0 - beta1**step), 1.0 / (1.0 - beta2**step))
        scalars = (rate, *gains, *unbiases, epsilon, 1.0 - rate * decay)
        self._each(optimizers.adam, values, grads, m, v, scalars=(*map(values.dtype.type, scalars), decayed))

    def clip_global_norm(self, grads: Array, limit: float) -> None:
        sums = np.empty(-(-grads.size // CHUNK))
        threads.over(optimizers.sum_of_squares, len(sums), grads, CHUNK, sums, least=LEAST // CHUNK)
        norm = np.sqrt(sums.sum())
        if not norm <= limit:  # true for NaN, which must show in the gradients
            self._each(elementwise.scale_in_place, grads, scalars=(grads.dtype.type(limit / norm),))

    # --- buffers and threads -----------------------------------------------------------------------------

    def _buffer(self, role: str, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """An array to write into: the model's own, when bound to one; a fresh one otherwise."""
        if self._workspace is None:
            return aligned_empty(math.prod(shape), dtype).reshape(shape)
        return self._workspace.array(self._owner, role, shape, dtype)

    def _map(
        self, role: str, kernel: Callable[..., None], *inputs: Array, scalars: tuple[Any, ...] = ()
    ) -> Array:
        """kernel(start, stop, *inputs, output, *scalars) elementwise; the output is like the first input."""
        output = self._buffer(role, inputs[0].shape, inputs[0].dtype)
        self._each(kernel, *inputs, output, scalars=scalars)
        return output

    def _each(self, kernel: Callable[..., None], *arrays: Array, scalars: tuple[Any, ...] = ()) -> None:
        """kernel(start, stop, *arrays, *scalars) over the elements of arrays of one shape."""
        flat = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
        threads.over(kernel, flat[0].size, *flat, *scalars, least=LEAST, align=ALIGN)

    def _product(self, a: Array, b: Array, out: Array) -> None:
        """out (M, N) = a (M, K) · b (K, N), in blocks along the longest of M, N and K.

        So no block reads much that another reads too. Blocks along K each have a sum of their own.
        """
        (M, K), N = a.shape, b.shape[1]
        longest = max(M, N, K)
        blocks = min(MOST_BLOCKS, max(1, M * N * K // BLOCK_PRODUCT))
        width = -(-longest // (blocks * 16)) * 16  # a multiple of what BLAS takes at a time
        blocks = -(-longest // width)
        sums = self._buffer("product", (blocks, M, N), out.dtype) if longest == K and blocks > 1 else None

        def compute(start: int, stop: int) -> None:
            for block in range(start, stop):
                part = slice(block * width, (block + 1) * width)
                if sums is not None:
                    np.matmul(a[:, part], b[part], out=sums[block])
                elif longest == M:
                    np.matmul(a[part], b, out=out[part])
                else:
                    np.matmul(a, b[:, part], out=out[:, part])

        with threads.serial_blas():
            threads.over(compute, blocks)
        if sums is not None:
            np.sum(sums, axis=0, out=out)

    def _in_groups(
        self, task: Callable[[int, int, Array], None], plan: _Windows, dtype: np.dtype[Any], scratch: int
    ) -> None:
        """task(start, stop, its own scratch array) over a convolution's groups of images."""
        parts = threads.parts(plan.groups)
        memory = self._buffer("conv2d scratch", (len(parts), scratch), dtype)
        with threads.serial_blas():
            threads.together([partial(task, *part, own) for part, own in zip(parts, memory, strict=True)])


class _Windows:
    """Which images a convolution treats at a time, and the windows of one such block as a matrix.

    `groups` of consecutive images are dealt to threads; each is worked through in blocks, small enough for
    their `columns` (elements of the matrix) to stay in cache. Both depend on the shapes alone.
    """

    def __init__(self, shape: Shape, kernel: Shape, stride: Pair, padding: Padding) -> None:
        self.window, self.stride, self.channels = (kernel[0], kernel[1]), stride, kernel[2]
        self.corner = _corner(padding)
        self.output = output_size(shape, self.window, stride, padding)
        self.images = shape[0]
        self.pointwise = self.window == stride == (1, 1) and not any(padding[0] + padding[1])
        most = max(4, (1 << 22) // math.prod(kernel))  # each group has a dW of its own: bound their memory
        self.per_group = max(1, -(-self.images // min(MOST_BLOCKS, most)))
        self.groups = -(-self.images // self.per_group)
        per_image = math.prod(self.output) * math.prod(kernel[:3])
        self.per_block = max(1, min(COLUMNS // per_image, self.per_group))
        self.columns = 0 if self.pointwise else self.per_block * per_image

    def blocks(self, start: int, stop: int) -> Iterator[slice]:
        """The blocks of images in groups [start, stop)."""
        for group in range(start, stop):
            end = min((group + 1) * self.per_group, self.images)
            for first in range(group * self.per_group, end, self.per_block):
                yield slice(first, min(first + self.per_block, end))

    def im2col(self, x: Array, memory: Array) -> Array:
        """The windows of a block x (B, H, W, C) as rows (B·OH·OW, KH·KW·C), in `memory`."""
        if self.pointwise:
            return x.reshape(-1, self.channels)
        cols = self._columns(len(x), memory)
        convolution.im2col(0, len(x), _lines(x), cols, self.channels, self.stride, self.corner)
        return cols.reshape(math.prod(cols.shape[:3]), -1)

    def add_back(self, rows: Array, matrix: Array, memory: Array, dx: Array) -> None:
        """Write a block's dx (B, H, W, C) = col2im(rows · matrixᵀ), with that product in `memory`."""
        if self.pointwise:
            np.matmul(rows, matrix.T, out=dx.reshape(-1, self.channels))
            return
        cols = self._columns(len(dx), memory)
        np.matmul(rows, matrix.T, out=cols.reshape(len(rows), -1))
        convolution.col2im(0, len(dx), cols, _lines(dx), self.channels, self.stride, self.corner)

    def _columns(self, images: int, memory: Array) -> Array:
        shape = (images, *self.output, self.window[0], self.window[1] * self.channels)
        return memory[: math.prod(shape)].reshape(shape)


def _relu(start: int, stop: int, x: Array, y: Array) -> None:
    np.maximum(x[start:stop], 0, out=y[start:stop])  # NumPy's is vectorised: it lacks only threads


def _tanh(start: int, stop: int, x: Array, y: Array) -> None:
    np.tanh(x[start:stop], out=y[start:stop])  # likewise


def _column_sums(x: Array) -> Array:
    """Σ over the rows of x (M, C): float64 (C,)."""
    (sums,) = _in_chunks(normalization.column_sums, x, results=1)
    return np.asarray(sums.sum(axis=0))


def _in_chunks(kernel: Callable[..., None], x: Array, *others: Array, results: int) -> Array:
    """kernel's `results` sums over each chunk of rows of x (M, C): float64 (results, chunks, C)."""
    rows = _chunk_rows(x)
    chunks = -(-len(x) // rows)
    sums = np.empty((results, chunks, x.shape[1]))
    threads.over(kernel, chunks, x, *others, rows, *sums, least=LEAST // CHUNK)
    return sums


def _chunk_rows(x: Array) -> int:
    return max(1, CHUNK // x.shape[1])


def _over_rows(kernel: Callable[..., None], x: Array, *arguments: Any) -> None:
    """kernel(start, stop, x, *arguments) over the rows of x (M, C)."""
    threads.over(kernel, len(x), x, *arguments, least=-(-LEAST // x.shape[1]))


def _over_images(kernel: Callable[..., None], x: Array, *arguments: Any) -> None:
    """kernel(start, stop, x, *arguments) over the images of x (N, H, W, C)."""
    threads.over(kernel, len(x), x, *arguments, least=-(-LEAST // math.prod(x.shape[1:])))


def _rows(x: Array) -> Array:
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


def _lines(x: Array) -> Array:
    """(N, H, W, C) as (N, H, W·C)."""
    return x.reshape(*x.shape[:2], -1)


def _corner(padding: Padding) -> Pair:
    return padding[0][0], padding[1][0]


def _words(key: Key) -> tuple[np.uint64, ...]:
    """The key as the kernels take it: seed low, seed high, step, layer, stream."""
    words = (key.seed, key.seed >> 32, key.step, key.layer, key.stream)
    return tuple(np.uint64(word & LOW_32) for word in words)
