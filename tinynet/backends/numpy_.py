"""The reference backend: every operation in plain array code, written to be read.

Everything is spelled against `self.xp`, so a GPU array module with NumPy's interface can stand in for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from tinynet import distortions, threads
from tinynet.backends.base import Backend, Penalty, Running, Status
from tinynet.distortions import Distortions, Limits
from tinynet.distributed.group import WHOLE, Shard
from tinynet.geometry import Window
from tinynet.rng import Key, drop_threshold, permutation, philox_bits
from tinynet.types import Array, Shape


class NumpyBackend(Backend):
    """Readable first; fast where the array library is."""

    name = "numpy"
    xp: Any = np

    def __init__(self, convolution: str = "auto", precision: str = "float32") -> None:
        super().__init__(convolution, precision)
        threads.limit_blas()  # how BLAS cuts a product, hence its last bits, depends on its threads

    @classmethod
    def status(cls) -> Status:
        return Status(cls.name, True, f"numpy {np.__version__}")

    def announce_compiling(self, announce: Callable[[int, int], None] | None) -> None:
        """Nothing is compiled here."""

    # --- arrays ---------------------------------------------------------------------------------------

    def asarray(self, array: Array) -> Array:
        return self.xp.ascontiguousarray(array)

    def to_host(self, array: Array) -> Array:
        return np.asarray(array)

    def zeros_flat(self, size: int, dtype: str) -> Array:
        return self.xp.zeros(size, dtype=dtype)

    def random_bits(self, key: Key, count: int) -> Array:
        return philox_bits(key, count, self.xp)

    def take(self, array: Array, index: Array) -> Array:
        return array.take(index, axis=0)

    # --- what a stretch of steps reads and adds up -------------------------------------------------------

    def permutation(self, key: Key, count: int) -> Array:
        return self.asarray(permutation(key, count))

    def begin_step(
        self, plan: Array, now: Array, at_first: int, order: Array, samples: Sequence[Array], count: int
    ) -> tuple[Array, ...]:
        now[...] = plan[int(plan[0, 0])]
        first = int(now[at_first])
        return tuple(self.take(array, order[first : first + count]) for array in samples)

    def end_step(self, plan: Array, totals: Array, loss: Array, right: Array, samples: int) -> None:
        totals[0] += loss * samples
        totals[1] += right
        plan[0, 0] += 1

    def rescale(self, x: Array, scale: float, offset: float, dtype: str) -> Array:
        return x.astype(dtype) * scale + offset

    def rescale_backward(self, dy: Array, scale: float) -> Array:
        return dy * scale

    # --- augmentation -----------------------------------------------------------------------------------

    def distortions(
        self, key: Key, first: int | Array, count: int, size: tuple[int, int], limits: Limits
    ) -> Distortions:
        key = key._replace(step=int(key.step))
        return Distortions(*map(self.asarray, distortions.draw(key, int(first), count, size, limits)))

    def displacement(self, key: Key, shape: Shape, taps: Array, gain: float) -> Array:
        N, H, W = shape
        count = N * 2 * H * W
        words = self.random_bits(key, -(-count // 4))
        noise = words.view("uint8")[:count].reshape(N, 2, H, W).astype("float32") * 2 - 255
        field = self._weighting(taps, H) @ noise @ self._weighting(taps, W)
        return self.xp.rint(field * np.float32(gain)).astype("int32")

    def _weighting(self, taps: Array, size: int) -> Array:
        """The matrix (size, size) with taps[|i - j|] at (i, j), and zeros beyond the last tap."""
        numbers = self.xp.arange(size)
        distance = self.xp.abs(numbers[:, None] - numbers)
        last = len(taps) - 1
        return taps[self.xp.minimum(distance, last)] * (distance <= last)

    def grow(self, x: Array, growth: Array, passes: int) -> Array:
        xp, (_, H, W, _) = self.xp, x.shape
        is_whole = x.dtype == "uint8"
        y, grows = x.astype("float32") if is_whole else x, (growth > 0)[:, None, None, None]
        for done in range(passes):
            share = xp.clip(abs(growth) - 256 * done, 0, 256).astype(y.dtype)[:, None, None, None] / 256
            padded = xp.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
            around = xp.stack([padded[:, i : i + H, j : j + W] for i in range(3) for j in range(3)])
            way = share * xp.where(grows, around.max(axis=0) - y, y - around.min(axis=0))
            way = xp.floor(way + 0.5) if is_whole else way
            y = xp.where(grows, y + way, y - way)
        return y.astype(x.dtype)

    def warp(
        self, x: Array, places: Array, contrast: Array, erased: Array, displacement: Array | None
    ) -> Array:
        xp, (N, H, W, _) = self.xp, x.shape
        is_whole = x.dtype == "uint8"  # then all numbers below are whole, and far less than float64 can hold
        number = "float64" if is_whole else x.dtype
        i, j, n = xp.arange(H)[:, None], xp.arange(W), xp.arange(N)[:, None, None]
        a, b, c, d, e, f = (places[:, k, None, None] for k in range(6))
        row, column = a * i + b * j + c, d * i + e * j + f
        if displacement is not None:
            row, column = row + displacement[:, 0], column + displacement[:, 1]
        top, below = neighbour(xp, row, H, number)
        left, beside = neighbour(xp, column, W, number)

        padded = xp.pad(x.astype(number), ((0, 0), (1, 2), (1, 2), (0, 0)))
        upper = (256 - beside) * padded[n, top, left] + beside * padded[n, top, left + 1]
        lower = (256 - beside) * padded[n, top + 1, left] + beside * padded[n, top + 1, left + 1]
        y = (256 - below) * upper + below * lower  # in 65536ths

        mean = 65536 * x.sum(axis=(1, 2, 3), dtype="float64") / (H * W * x.shape[3])
        mean = (xp.rint(mean) if is_whole else mean).astype(number)[:, None, None, None]
        factor = contrast.astype(number)[:, None, None, None]
        y = (factor * y + (256 - factor) * mean) * 2.0**-24
        if is_whole:
            y = xp.clip(xp.floor(y + 0.5), 0, 255)

        first, bottom, begin, end = (erased[:, k, None, None] for k in range(4))
        is_erased = (first <= i) & (i < bottom) & (begin <= j) & (j < end)
        return xp.where(is_erased[..., None], 0, y).astype(x.dtype)

    # --- dense ----------------------------------------------------------------------------------------

    def dense(self, x: Array, W: Array, b: Array) -> Array:
        return x @ W + b

    def dense_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array, need_dx: bool
    ) -> Array | None:
        dW[...] = x.T @ dy
        db[...] = column_sums(dy)
        return dy @ W.T if need_dx else None

    # --- convolution and pooling ------------------------------------------------------------------------

    def windows(self, x: Array, window: Window, fill: float = 0.0) -> Array:
        """Every window of x (N, H, W, C), as a view (N, OH, OW, KH, KW, C) of the padded image."""
        if any(window.padding[0] + window.padding[1]):
            x = self.xp.pad(x, ((0, 0), *window.padding, (0, 0)), constant_values=fill)
        every = self.xp.lib.stride_tricks.sliding_window_view(x, window.size, axis=(1, 2))
        return every[:, :: window.stride[0], :: window.stride[1]].transpose(0, 1, 2, 4, 5, 3)

    def fold(self, windows: Array, shape: Shape, window: Window) -> Array:
        """`windows` transposed: add every window (N, OH, OW, KH, KW, C) back into `shape` (N, H, W, C)."""
        N, H, W, C = shape
        _, OH, OW, KH, KW, _ = windows.shape
        (down, across), (top, left) = window.stride, window.corner
        padded = self.xp.zeros((N, *window.padded((H, W)), C), dtype=windows.dtype)
        for i in range(KH):
            for j in range(KW):
                rows, columns = slice(i, i + down * OH, down), slice(j, j + across * OW, across)
                padded[:, rows, columns] += windows[:, :, :, i, j]
        return padded[:, top : top + H, left : left + W]

    def im2col(self, x: Array, window: Window) -> Array:
        """Each window of x (N, H, W, C) as one row: (N·OH·OW, KH·KW·C). A convolution is then a product."""
        windows = self.windows(x, window)
        return windows.reshape(math.prod(windows.shape[:3]), -1)

    def col2im(self, cols: Array, shape: Shape, window: Window) -> Array:
        """`im2col` transposed: add the rows of cols (N·OH·OW, KH·KW·C) back into `shape` (N, H, W, C)."""
        N, H, W, C = shape
        return self.fold(cols.reshape(N, *window.output((H, W)), *window.size, C), shape, window)

    def conv2d(self, x: Array, W: Array, b: Array, window: Window) -> tuple[Array, Any]:
        KH, KW, C, F = W.shape
        cols = self.im2col(x, window)
        y = cols @ W.reshape(KH * KW * C, F) + b
        return y.reshape(len(x), *window.output(x.shape[1:]), F), (cols, x.shape)

    def conv2d_backward(
        self, dy: Array, saved: Any, W: Array, dW: Array, db: Array, window: Window, need_dx: bool
    ) -> Array | None:
        cols, shape = saved
        KH, KW, C, F = W.shape
        rows = dy.reshape(-1, F)
        dW[...] = (cols.T @ rows).reshape(W.shape)
        db[...] = column_sums(rows)
        if not need_dx:
            return None
        return self.col2im(rows @ W.reshape(KH * KW * C, F).T, shape, window)

    def depthwise_conv2d(self, x: Array, W: Array, b: Array, window: Window) -> tuple[Array, Any]:
        windows, kernels = self.windows(x, window), W.reshape(*window.size, x.shape[3], -1)
        y = self.xp.einsum("nijuvc,uvcm->nijcm", windows, kernels)
        return y.reshape(*y.shape[:3], -1) + b, x

    def depthwise_conv2d_backward(
        self, dy: Array, saved: Any, W: Array, dW: Array, db: Array, window: Window, need_dx: bool
    ) -> Array | None:
        x, C = saved, saved.shape[3]
        kernels, gradients = W.reshape(*window.size, C, -1), dy.reshape(*dy.shape[:3], C, -1)
        products = self.xp.einsum("nijuvc,nijcm->nuvcm", self.windows(x, window), gradients)
        dW[...] = products.sum(axis=0, dtype="float64").reshape(W.shape)
        db[...] = column_sums(dy.reshape(-1, len(db)))
        if not need_dx:
            return None
        return self.fold(self.xp.einsum("nijcm,uvcm->nijuvc", gradients, kernels), x.shape, window)

    def maxpool(self, x: Array, window: Window) -> tuple[Array, Any]:
        windows = self.windows(x, window, fill=-math.inf)
        N, OH, OW, KH, KW, C = windows.shape
        candidates = windows.reshape(N, OH, OW, KH * KW, C)
        return candidates.max(axis=3), (candidates.argmax(axis=3), x.shape)

    def maxpool_backward(self, dy: Array, saved: Any, window: Window) -> Array:
        winner, shape = saved
        places = self.xp.arange(math.prod(window.size)).reshape(*window.size, 1)
        is_winner = winner[:, :, :, None, None, :] == places
        return self.fold(is_winner * dy[:, :, :, None, None, :], shape, window)

    def avgpool(self, x: Array, window: Window) -> Array:
        sums = self.windows(x, window).sum(axis=(3, 4), dtype="float64")
        return (sums / self._window_sizes(x, x.shape, window)).astype(x.dtype)

    def avgpool_backward(self, dy: Array, shape: Shape, window: Window) -> Array:
        share = dy / self._window_sizes(dy, shape, window)
        N, OH, OW, C = dy.shape
        spread = self.xp.broadcast_to(share[:, :, :, None, None, :], (N, OH, OW, *window.size, C))
        return self.fold(spread, shape, window)

    def _window_sizes(self, like: Array, shape: Shape, window: Window) -> Array:
        """How many real pixels each window holds: (1, OH, OW, 1)."""
        ones = self.xp.ones((1, shape[1], shape[2], 1), dtype=like.dtype)
        return self.windows(ones, window).sum(axis=(3, 4))

    # --- shortcuts ------------------------------------------------------------------------------------------

    def residual(self, f: Array, s: Array) -> Array:
        return f + s

    def residual_backward(self, df: Array, ds: Array) -> Array:
        return df + ds

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
        number = x.dtype
        mean = shard.mean(column_sums(x) / len(x))
        centred = (x - mean).astype(number)
        variance = shard.mean(column_sums(self.xp.square(centred, dtype="float64")) / len(x))
        inverse_std = (1.0 / self.xp.sqrt(variance + epsilon)).astype(number)
        normalised = centred * inverse_std
        y = gamma * normalised + beta
        mean, variance = mean.astype(number), variance.astype(number)
        self._average(running, mean, variance)
        return y, mean, variance, (normalised, inverse_std)

    def _average(self, running: Running | None, mean: Array, variance: Array) -> None:
        if running:
            self.running_average(running.mean, mean, running.keep, 1.0)
            self.running_average(running.variance, variance, running.keep, running.unbias)

    def batchnorm_inference(
        self, x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float
    ) -> Array:
        return gamma * (x - mean) / self.xp.sqrt(variance + epsilon) + beta

    def batchnorm_backward(
        self, dy: Array, saved: Any, gamma: Array, dgamma: Array, dbeta: Array, shard: Shard = WHOLE
    ) -> Array:
        normalised, inverse_std = saved
        products, sums = column_sums(dy * normalised), column_sums(dy)
        dgamma[...], dbeta[...] = products, sums
        slope, shift = ((shard.mean(each) / len(dy)).astype(dy.dtype) for each in (products, sums))
        return gamma * inverse_std * (dy - shift - normalised * slope)

    def running_average(self, running: Array, batch: Array, keep: float, scale: float) -> None:
        running *= keep
        running += (1.0 - keep) * (batch * scale)

    def dropout(self, x: Array, rate: float, key: Key) -> tuple[Array, Any]:
        keep = (self.random_bits(key, x.size) >= drop_threshold(rate)).reshape(x.shape)
        return x * keep * (1.0 / (1.0 - rate)), keep

    def dropout_backward(self, dy: Array, saved: Any, rate: float) -> Array:
        return dy * saved * (1.0 / (1.0 - rate))

    # --- activations ------------------------------------------------------------------------------------

    def relu(self, x: Array) -> Array:
        return self.xp.maximum(x, 0)

    def relu_backward(self, dy: Array, y: Array) -> Array:
        return dy * (y > 0)

    def leaky_relu(self, x: Array, slope: float) -> Array:
        return self.xp.where(x > 0, x, slope * x)

    def leaky_relu_backward(self, dy: Array, x: Array, slope: float) -> Array:
        return self.xp.where(x > 0, dy, slope * dy)

    def elu(self, x: Array, alpha: float) -> Array:
        return self.xp.where(x > 0, x, alpha * self.xp.expm1(self.xp.minimum(x, 0)))

    def elu_backward(self, dy: Array, y: Array, alpha: float) -> Array:
        return self.xp.where(y > 0, dy, dy * (y + alpha))

    def gelu(self, x: Array) -> Array:
        return self.xp.maximum(x, -NORMAL_FLAT) * normal_below(self.xp, x)[0]

    def gelu_backward(self, dy: Array, x: Array) -> Array:
        below, density = normal_below(self.xp, x)
        return dy * (below + self.xp.clip(x, -NORMAL_FLAT, NORMAL_FLAT) * density)

    def gelu_tanh(self, x: Array) -> Array:
        z = self.xp.clip(x, -GELU_FLAT, GELU_FLAT)
        t = self.xp.tanh(GELU_SCALE * (z + GELU_CUBIC * z * z * z))
        return 0.5 * self.xp.maximum(x, -GELU_FLAT) * (1.0 + t)

    def gelu_tanh_backward(self, dy: Array, x: Array) -> Array:
        z = self.xp.clip(x, -GELU_FLAT, GELU_FLAT)
        t = self.xp.tanh(GELU_SCALE * (z + GELU_CUBIC * z * z * z))
        slope_of_t = (1.0 - t * t) * GELU_SCALE * (1.0 + 3.0 * GELU_CUBIC * z * z)
        return dy * (0.5 * (1.0 + t) + 0.5 * z * slope_of_t)

    def sigmoid(self, x: Array) -> Array:
        small = self.xp.exp(-self.xp.abs(x))  # in (0, 1]: never overflows
        return self.xp.where(x >= 0, 1.0, small) / (1.0 + small)

    def sigmoid_backward(self, dy: Array, y: Array) -> Array:
        return dy * y * (1.0 - y)

    def tanh(self, x: Array) -> Array:
        return self.xp.tanh(x)

    def tanh_backward(self, dy: Array, y: Array) -> Array:
        return dy * (1.0 - y * y)

    def softmax(self, x: Array) -> Array:
        e = self.xp.exp(below_largest(x))
        return (e / e.sum(axis=-1, keepdims=True)).astype(x.dtype)

    def softmax_backward(self, dy: Array, y: Array) -> Array:
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))

    # --- loss --------------------------------------------------------------------------------------------

    def softmax_cross_entropy(
        self, logits: Array, labels: Array, smoothing: float, weights: Array | None = None
    ) -> tuple[Array, Array]:
        N, K = logits.shape
        shifted = below_largest(logits)
        log_p = shifted - self.xp.log(self.xp.exp(shifted).sum(axis=-1, keepdims=True))
        losses = -(1.0 - smoothing) * self.xp.take_along_axis(log_p, labels[:, None], axis=-1)[:, 0]
        if smoothing > 0:  # log p may be -∞, and 0 · -∞ is NaN
            losses -= smoothing * log_p.mean(axis=-1)
        q = (1.0 - smoothing) * (labels[:, None] == self.xp.arange(K)) + smoothing / K
        gradient = (self.xp.exp(log_p) - q) / N
        if weights is not None:
            losses, gradient = losses * weights, gradient * weights[:, None]
        return losses.mean(), gradient.astype(logits.dtype)

    def soft_cross_entropy(
        self, logits: Array, targets: Array, smoothing: float, weights: Array | None = None
    ) -> tuple[Array, Array]:
        N, K = logits.shape
        shifted = below_largest(logits)
        log_p = shifted - self.xp.log(self.xp.exp(shifted).sum(axis=-1, keepdims=True))
        q = (1.0 - smoothing) * targets.astype("float64") + smoothing / K
        losses = -(q * self.xp.where(q == 0, 0, log_p)).sum(axis=-1)  # log p may be -∞, and 0 · -∞ is NaN
        gradient = (self.xp.exp(log_p) - q) / N
        if weights is not None:
            losses, gradient = losses * weights, gradient * weights[:, None]
        return losses.mean(), gradient.astype(logits.dtype)

    def cross_entropy(
        self, scores: Array, labels: Array, floor: float, weights: Array | None = None
    ) -> tuple[Array, Array]:
        N, K = scores.shape
        live = scores >= floor
        number = scores.dtype
        scores = self.xp.maximum(scores, number.type(floor)).astype("float64")  # which their sum may need
        picked = self.xp.take_along_axis(scores, labels[:, None], axis=-1)
        total = scores.sum(axis=-1, keepdims=True)
        is_label = labels[:, None] == self.xp.arange(K)
        losses = self.xp.log(total / picked)[:, 0]
        gradient = (1.0 / total - is_label / scores) * live / N
        if weights is not None:
            losses, gradient = losses * weights, gradient * weights[:, None]
        return losses.mean(), gradient.astype(number)

    def count_correct(self, outputs: Array, labels: Array) -> Array:
        return (outputs.argmax(axis=-1) == labels).sum()

    def argmax(self, x: Array) -> Array:
        return x.argmax(axis=-1)

    def l2_penalty(
        self, loss: float | Array, values: Array, grads: Array, penalties: Sequence[Penalty]
    ) -> float | Array:
        total: Any = 0.0
        for first, stop, rate in penalties:
            W, gradient = values[first:stop], grads[first:stop]
            gradient += 2.0 * rate * W[: len(gradient)]
            total = total + rate * self.xp.square(W, dtype="float64").sum()
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
        values[:decayed] *= 1.0 - rate * weight_decay
        velocity *= momentum
        velocity += grads
        values -= rate * (grads + momentum * velocity if nesterov else velocity)

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
        values[:decayed] *= 1.0 - rate * weight_decay
        m += (1.0 - beta1) * (grads - m)
        v += (1.0 - beta2) * (grads * grads - v)
        m_hat = m / (1.0 - beta1**step)
        v_hat = v / (1.0 - beta2**step)
        values -= rate * m_hat / (self.xp.sqrt(v_hat) + epsilon)

    def moving_average(self, average: Array, values: Array, gain: float) -> None:
        average += gain * (values - average)

    def clip_global_norm(self, grads: Array, limit: float) -> None:
        norm = self.xp.sqrt(self.xp.square(grads, dtype="float64").sum())
        grads *= self.xp.minimum(1.0, limit / self.xp.maximum(norm, 1e-30)).astype(grads.dtype)


GELU_SCALE = math.sqrt(2.0 / math.pi)
GELU_CUBIC = 0.044715
GELU_FLAT = 10.0
"""From here on tanh u is 1 in float64, too, and GELU is 0 or x; x³ beyond could overflow."""
NORMAL_FLAT = 40.0
"""From here on e^{-x²/2} is 0 in float64, too."""
MILLS_ABOVE = (
    0.5,
    0.66847752713592476,
    0.445075406124296495,
    0.186086313174779466,
    0.0527428701045175879,
    0.0103201115675456414,
    0.0013608403328391652,
    0.000111004399459045644,
    4.32904262028544642e-6,
)
MILLS_BELOW = (
    1.0,
    2.13483961507471858,
    2.09350638090691731,
    1.24109075834939823,
    0.491764893938899809,
    0.135595952353848326,
    0.0261469422878283268,
    0.00342197171487329489,
    0.00027824677652015194,
    0.0000108513005214954147,
)
"""P and Q by rising powers: e^{v²/2} Φ(-v) = P(v) / Q(v) for v ≥ 0, to 3 · 10⁻¹⁷ of itself up to v = 10.

Least squares of the relative error, made from 60 digits. That quotient is known as Mills' ratio.
"""


def normal_below(xp: Any, x: Array) -> tuple[Array, Array]:
    """Φ(x), the probability that a standard normal number is below x, and its density φ(x); like x."""
    v = xp.minimum(xp.abs(x), NORMAL_FLAT)
    power = xp.exp(-0.5 * v * v)
    above = power * _polynomial(MILLS_ABOVE, v) / _polynomial(MILLS_BELOW, v)
    return xp.where(x > 0, 1.0 - above, above), power * (1.0 / math.sqrt(2.0 * math.pi))


def _polynomial(coefficients: Sequence[float], v: Array) -> Array:
    """Σ cₖ vᵏ by Horner's rule."""
    return reduce(lambda sum_, c: sum_ * v + c, reversed(coefficients), 0.0 * v)


def column_sums(x: Array) -> Array:
    """Σ over the rows of x (M, C), in float64 (C,).

    NumPy sums pairwise along the last axis alone. Down the columns it adds row after row: in float32 the mean
    of 50,000 times 0.1 would be 0.10005. In float64 the sum of float32 numbers is as good as exact.
    """
    sums: Array = x.sum(axis=0, dtype="float64")
    return sums


def below_largest(x: Array) -> Array:
    """x - max x along the last axis, in float64: differences of float32 numbers may overflow.

    It is -∞ where x is; NaN in a row whose largest value is no finite number, so that this shows.
    """
    wide = x.astype("float64")
    with np.errstate(over="ignore", invalid="ignore"):
        difference: Array = wide - wide.max(axis=-1, keepdims=True)
    return difference


def neighbour(xp: Any, place: Array, size: int, number: Any) -> tuple[Array, Array]:
    """On one axis: the pixel at or before each place (N, H, W), given in 65536ths, in an image with a border
    of one; and how many 256ths beyond that pixel, (N, H, W, 1)."""
    at = xp.clip((place + 128) >> 8, -256, 256 * size)
    return (at >> 8) + 1, (at & 255)[..., None].astype(number)
