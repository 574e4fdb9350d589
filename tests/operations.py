"""Every operation of a backend, as a case that any of them can run on arrays of any geometry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
from hypothesis import strategies as st

from tinynet.backends.base import Backend, Penalty, Running
from tinynet.data.augmentation import Augmentation, gaussian
from tinynet.distortions import Limits
from tinynet.geometry import Window
from tinynet.rng import Key

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
KEY = Key(seed=2**40 + 17, stream=2, layer=3, step=9)


class Draw:
    """The shapes of a case and its arrays: the same ones whenever they are asked for in the same order.

    `place` brings an array to where the backend computes.
    """

    def __init__(self, geometry: Geometry, place: Callable[[Any], Any] = np.asarray) -> None:
        self.g, self.place = geometry, place
        self.random = np.random.default_rng(geometry.seed)

    def __call__(self, *shape: int) -> np.ndarray:
        return self.place(self.random.standard_normal(shape).astype(self.g.dtype))

    def labels(self, count: int, classes: int) -> np.ndarray:
        return self.place(self.random.integers(0, classes, count).astype(np.uint8))

    def weights(self, count: int) -> np.ndarray:
        return self.place(2 * self.random.random(count))

    def shares(self, count: int, classes: int) -> np.ndarray:
        """Rows of probabilities, some of them 0."""
        drawn = np.maximum(self.random.random((count, classes)) - 0.5, 0) + np.eye(count, classes) / 4
        drawn[:, 0] += drawn.sum(axis=1) == 0
        return self.place(drawn / drawn.sum(axis=1, keepdims=True))

    def number(self, value: float) -> np.ndarray:
        """A number as an array of no axes."""
        return self.place(np.array([value]))[0, ...]

    def images(self) -> np.ndarray:
        return self(self.g.N, self.g.H, self.g.W, self.g.C)

    def distinct_images(self) -> np.ndarray:
        """No two values alike, so that every maximum has one place."""
        size = self.g.N * self.g.H * self.g.W * self.g.C
        values = self.random.permutation(size).astype(self.g.dtype) / size - 0.5
        return self.place(values.reshape(self.g.N, self.g.H, self.g.W, self.g.C))


class Geometry(NamedTuple):
    N: int = 3
    H: int = 9
    W: int = 8
    C: int = 5
    F: int = 7
    window: Window = Window((3, 2), (2, 1), ((1, 2), (0, 1)))
    dtype: str = "float32"
    seed: int = 0


# Large enough that every operation is cut into several parts and chunks.
LARGE = Geometry(N=37, H=21, W=23, C=19, F=33, window=Window((3, 3), padding=((1, 1), (1, 1))))


@st.composite
def geometries(draw: Any) -> Geometry:
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    window = draw(pair)
    rows, columns = (
        (draw(st.integers(0, extent - 1)), draw(st.integers(0, extent - 1))) for extent in window
    )
    padding = (rows, columns)
    small = [max(1, extent - sum(pad)) for extent, pad in zip(window, padding, strict=True)]
    return Geometry(
        N=draw(st.integers(1, 5)),
        H=draw(st.integers(small[0], 11)),
        W=draw(st.integers(small[1], 11)),
        C=draw(st.sampled_from((1, 2, 3, 8, 17))),
        F=draw(st.sampled_from((1, 4, 5, 16))),
        window=Window(window, draw(pair), padding),
        dtype=draw(st.sampled_from(("float32", "float64"))),
        seed=draw(st.integers(0, 10_000)),
    )


def dense(ops: Backend, draw: Draw) -> list[Any]:
    N, I, O = draw.g.N * draw.g.H, draw.g.W * draw.g.C, draw.g.F
    x, W, b, dy = draw(N, I), draw(I, O), draw(O), draw(N, O)
    dW, db = np.empty_like(W), np.empty_like(b)
    return [ops.dense(x, W, b), ops.dense_backward(dy, x, W, dW, db, True), dW, db]


def conv2d(ops: Backend, draw: Draw) -> list[Any]:
    return convolved(ops, draw, draw.g.window)


def conv2d_pointwise(ops: Backend, draw: Draw) -> list[Any]:
    return convolved(ops, draw, Window((1, 1)))


def convolved(ops: Backend, draw: Draw, window: Window) -> list[Any]:
    x, W, b = draw.images(), draw(*window.size, draw.g.C, draw.g.F), draw(draw.g.F)
    y, saved = ops.conv2d(x, W, b, window)
    dy, dW, db = draw(*y.shape), np.empty_like(W), np.empty_like(b)
    dx = ops.conv2d_backward(dy, saved, W, dW, db, window, True)
    without = np.empty_like(W)
    assert ops.conv2d_backward(dy, saved, W, without, db, window, False) is None
    np.testing.assert_array_equal(ops.to_host(without), ops.to_host(dW))
    return [y, dx, dW, db]


def depthwise_conv2d(ops: Backend, draw: Draw) -> list[Any]:
    return depthwise(ops, draw, 1)


def depthwise_conv2d_multiplied(ops: Backend, draw: Draw) -> list[Any]:
    return depthwise(ops, draw, 3)


def depthwise(ops: Backend, draw: Draw, multiplier: int) -> list[Any]:
    window, filters = draw.g.window, draw.g.C * multiplier
    x, W, b = draw.images(), draw(*window.size, 1, filters), draw(filters)
    y, saved = ops.depthwise_conv2d(x, W, b, window)
    dy, dW, db = draw(*y.shape), np.empty_like(W), np.empty_like(b)
    dx = ops.depthwise_conv2d_backward(dy, saved, W, dW, db, window, True)
    without = np.empty_like(W)
    assert ops.depthwise_conv2d_backward(dy, saved, W, without, db, window, False) is None
    np.testing.assert_array_equal(ops.to_host(without), ops.to_host(dW))
    return [y, dx, dW, db]


def maxpool(ops: Backend, draw: Draw) -> list[Any]:
    g = draw.g
    y, saved = ops.maxpool(draw.distinct_images(), g.window)
    return [y, ops.maxpool_backward(draw(*y.shape), saved, g.window)]


def avgpool(ops: Backend, draw: Draw) -> list[Any]:
    g, x = draw.g, draw.images()
    y = ops.avgpool(x, g.window)
    return [y, ops.avgpool_backward(draw(*y.shape), x.shape, g.window)]


def residual(ops: Backend, draw: Draw) -> list[Any]:
    f, s = draw.images(), draw.images()
    return [ops.residual(f, s), ops.residual_backward(s, f + 1)]


def batchnorm(ops: Backend, draw: Draw) -> list[Any]:
    x, dy = draw.images().reshape(-1, draw.g.C) * 3 + 2, draw.images().reshape(-1, draw.g.C)
    gamma, beta, mean, variance = (draw(draw.g.C) for _ in range(4))
    evaluated = ops.batchnorm_inference(x, gamma, beta, mean, variance**2, 1e-3)
    running = Running(draw(draw.g.C), draw(draw.g.C), 0.9, 1.25)
    y, mean, variance, saved = ops.batchnorm(x, gamma, beta, 1e-3, running=running)
    dgamma, dbeta = np.empty_like(gamma), np.empty_like(beta)
    dx = ops.batchnorm_backward(dy, saved, gamma, dgamma, dbeta)
    return [evaluated, y, mean, variance, *running[:2], dx, dgamma, dbeta]


def running_average(ops: Backend, draw: Draw) -> list[Any]:
    running, batch = draw(draw.g.C), draw(draw.g.C)
    for keep, scale in ((0.9, 1.25), (0.0, 1.0)):
        ops.running_average(running, batch, keep, scale)
    return [running]


def dropout(ops: Backend, draw: Draw) -> list[Any]:
    x, dy = draw.images(), draw.images()
    y, saved = ops.dropout(x, 0.3, KEY)
    return [y, ops.dropout_backward(dy, saved, 0.3), ops.to_host(saved)]


def random_bits(ops: Backend, draw: Draw) -> list[Any]:
    return [ops.random_bits(KEY, draw.images().size)]


def permutation(ops: Backend, draw: Draw) -> list[Any]:
    return [ops.permutation(KEY, draw.images().size)]


def steps_of_a_plan(ops: Backend, draw: Draw) -> list[Any]:
    """Two steps each on samples of several kinds, with weights and without."""
    M = draw.g.N + 5
    order, totals = ops.permutation(KEY, M), draw.place(np.array([0.1, 3.0]))
    x = draw(M, draw.g.H, draw.g.C)
    labels, soft = draw.place(draw.random.integers(0, 9, M)), draw.shares(M, draw.g.F)
    found = []
    for samples in ((x, labels), (as_pixels(x), soft, draw.weights(M)), (x[:, 0, 0], soft)):
        plan, now = draw.place(draw.random.random((4, 6))), draw.place(np.zeros(6))
        plan[:, 4], plan[0, 0] = 2.0, 1.0
        plan[2, 4] = M - 3.0
        for _ in range(2):
            found += [part.copy() for part in ops.begin_step(plan, now, 4, order, samples, 3)]
            found.append(now.copy())
            ops.end_step(plan, totals, draw.number(0.7), draw.number(5), 7)
        found.append(plan)
    return [*found, totals]


def as_pixels(x: Any) -> Any:
    """Normal numbers as uint8, cut off at its ends: a GPU makes 0 of a negative number, NumPy does not."""
    return (x * 50 + 128).clip(0, 255).astype(np.uint8)


def rescale(ops: Backend, draw: Draw) -> list[Any]:
    pixels = as_pixels(draw.images())
    inputs = (pixels, pixels.astype(np.float16), pixels > 128, draw.images())
    return [ops.rescale(x, 1 / 255, -0.5, draw.g.dtype).copy() for x in inputs]


def rescale_backward(ops: Backend, draw: Draw) -> list[Any]:
    return [ops.rescale_backward(draw.images(), 0.3)]


def count_correct(ops: Backend, draw: Draw) -> list[Any]:
    N, K = draw.g.N * draw.g.H * draw.g.W, draw.g.F
    outputs, labels = draw(N, K), draw.labels(N, K)
    outputs[::2] = np.round(outputs[::2])  # ties
    outputs[1::4, K // 2 :] = np.nan
    return [ops.count_correct(outputs, labels)]


def argmax(ops: Backend, draw: Draw) -> list[Any]:
    x = draw(draw.g.N * draw.g.H * draw.g.W, draw.g.F)
    x[::2] = np.round(x[::2])  # ties
    x[1::4, draw.g.F // 2 :] = np.nan
    return [ops.argmax(x)]


def distortions(ops: Backend, draw: Draw) -> list[Any]:
    N, H, W, _ = draw.images().shape
    key, most, found = KEY._replace(seed=draw.g.seed), (180, 1, 0.9, 60, 1, 0.9, 4), []
    for first, share in ((0, 1.0), (3, 0.1), (2**20, 0.0)):
        limits, step = Limits(*(share * limit for limit in most)), cast(Any, draw.number(4.0))
        drawn = ops.distortions(key._replace(step=4), first, N, (H, W), limits)
        found += [each.copy() for each in drawn]
        there = key._replace(step=step), draw.number(float(first))
        found += [each.copy() for each in ops.distortions(*there, N, size=(H, W), limits=limits)]
    return found


def displacement(ops: Backend, draw: Draw) -> list[Any]:
    shape = draw.images().shape[:3]
    taps = (draw.place(gaussian(sigma)) for sigma in (0.5, 3.0))
    return [ops.displacement(KEY, shape, each, 0.3).copy() for each in taps]


def warp(ops: Backend, draw: Draw) -> list[Any]:
    x = draw.images()
    N, H, W, _ = x.shape
    settings = Augmentation(rotation=180, shift=0.4, scale=0.5, shear=30, contrast=0.9, erase=0.5)
    drawn = settings.draw(KEY._replace(seed=draw.g.seed), N, (H, W), ops)
    bend = (90_000 * draw(N, 2, H, W)).astype(np.int32)
    pixels, fields = as_pixels(x), (bend, None)
    return [ops.warp(old, *drawn[:3], field).copy() for old in (x, pixels) for field in fields]


def grow(ops: Backend, draw: Draw) -> list[Any]:
    x = draw.images()
    growth = draw.place(np.arange(len(x), dtype=np.int64) * 271 % 1025 - 512)  # -2 to 2 pixels
    return [ops.grow(old, growth, passes).copy() for old in (x, as_pixels(x)) for passes in (2, 3)]


def softmax(ops: Backend, draw: Draw) -> list[Any]:
    y = ops.softmax(8 * draw.images())
    return [y, ops.softmax_backward(draw.images(), y)]


def softmax_cross_entropy(ops: Backend, draw: Draw) -> list[Any]:
    N, K = draw.g.N * draw.g.H * draw.g.W, draw.g.F
    logits, labels = 8 * draw(N, K), draw.labels(N, K)
    loss, gradient = ops.softmax_cross_entropy(logits, labels, 0.1)
    assert loss.dtype == np.float64
    assert loss.shape == ()
    return [loss, gradient]


def softmax_cross_entropy_weighted(ops: Backend, draw: Draw) -> list[Any]:
    N, K = draw.g.N * draw.g.H * draw.g.W, draw.g.F
    logits, labels, weights = 8 * draw(N, K), draw.labels(N, K), draw.weights(N)
    return list(ops.softmax_cross_entropy(logits, labels, 0.1, weights))


def soft_cross_entropy(ops: Backend, draw: Draw) -> list[Any]:
    N, K = draw.g.N * draw.g.H * draw.g.W, draw.g.F
    logits, targets, weights = 8 * draw(N, K), draw.shares(N, K), draw.weights(N)
    plain = [result.copy() for result in ops.soft_cross_entropy(logits, targets, 0.0)]
    return [*plain, *ops.soft_cross_entropy(logits, targets, 0.1, weights)]


def cross_entropy(ops: Backend, draw: Draw) -> list[Any]:
    N, K = draw.g.N * draw.g.H * draw.g.W, draw.g.F
    scores, labels = np.abs(draw(N, K)), draw.labels(N, K)
    return list(ops.cross_entropy(scores, labels, 0.05))


def cross_entropy_weighted(ops: Backend, draw: Draw) -> list[Any]:
    N, K = draw.g.N * draw.g.H * draw.g.W, draw.g.F
    scores, labels, weights = np.abs(draw(N, K)), draw.labels(N, K), draw.weights(N)
    return list(ops.cross_entropy(scores, labels, 0.05, weights))


def l2_penalty(ops: Backend, draw: Draw) -> list[Any]:
    """Of two stretches of a flat buffer, one from its start; and of three, where the last does not learn."""
    values, grads = draw.images().reshape(-1), draw.images().reshape(-1)
    third, half = len(values) // 3, len(values) // 2
    two = [Penalty(0, third, 0.01), Penalty(half, len(values), 0.3)]
    three = [Penalty(0, third, 0.2), Penalty(third, half, 0.1), Penalty(half, len(values), 0.01)]
    first = ops.l2_penalty(ops.asarray(np.array([0.5])).reshape(()), values, grads, two)
    return [first, ops.l2_penalty(first, values, grads[:half], three), grads]


def sgd(ops: Backend, draw: Draw) -> list[Any]:
    values, grads, velocity = (draw.images().reshape(-1) for _ in range(3))
    for nesterov in (True, False):
        ops.sgd(values, grads, velocity, 0.1, 0.9, nesterov, 0.01, values.size // 3)
    return [values, velocity]


def adam(ops: Backend, draw: Draw) -> list[Any]:
    values, grads, m, v = (draw.images().reshape(-1) for _ in range(4))
    v *= v
    for step in (1, 2):
        ops.adam(values, grads, m, v, step, 1e-2, 0.9, 0.999, 1e-8, 0.1, values.size // 3)
    return [values, m, v]


def moving_average(ops: Backend, draw: Draw) -> list[Any]:
    average, values = (draw.images().reshape(-1) for _ in range(2))
    for gain in (1.0, 0.3, 0.001):
        ops.moving_average(average, values, gain)
        values *= 0.9
    return [average]


def clip_global_norm(ops: Backend, draw: Draw) -> list[Any]:
    large, small = draw.images().reshape(-1), draw.images().reshape(-1) / 1e6
    ops.clip_global_norm(large, 0.1)
    ops.clip_global_norm(small, 0.1)
    return [large, small]


def activation(name: str, backward_takes: str, *settings: float) -> Callable[[Backend, Draw], list[Any]]:
    def run(ops: Backend, draw: Draw) -> list[Any]:
        x, dy = 4 * draw.images(), draw.images()
        y = getattr(ops, name)(x, *settings)
        return [y, getattr(ops, f"{name}_backward")(dy, x if backward_takes == "x" else y, *settings)]

    return run


CASES: dict[str, Callable[[Backend, Draw], list[Any]]] = {
    "dense": dense,
    "conv2d": conv2d,
    "conv2d_pointwise": conv2d_pointwise,
    "depthwise_conv2d": depthwise_conv2d,
    "depthwise_conv2d_multiplied": depthwise_conv2d_multiplied,
    "maxpool": maxpool,
    "avgpool": avgpool,
    "residual": residual,
    "batchnorm": batchnorm,
    "running_average": running_average,
    "dropout": dropout,
    "random_bits": random_bits,
    "permutation": permutation,
    "steps_of_a_plan": steps_of_a_plan,
    "rescale": rescale,
    "rescale_backward": rescale_backward,
    "count_correct": count_correct,
    "argmax": argmax,
    "distortions": distortions,
    "displacement": displacement,
    "warp": warp,
    "grow": grow,
    "softmax": softmax,
    "softmax_cross_entropy": softmax_cross_entropy,
    "softmax_cross_entropy_weighted": softmax_cross_entropy_weighted,
    "soft_cross_entropy": soft_cross_entropy,
    "cross_entropy": cross_entropy,
    "cross_entropy_weighted": cross_entropy_weighted,
    "l2_penalty": l2_penalty,
    "sgd": sgd,
    "adam": adam,
    "moving_average": moving_average,
    "clip_global_norm": clip_global_norm,
    "relu": activation("relu", "y"),
    "leaky_relu": activation("leaky_relu", "x", 0.1),
    "elu": activation("elu", "y", 0.7),
    "gelu": activation("gelu", "x"),
    "gelu_tanh": activation("gelu_tanh", "x"),
    "sigmoid": activation("sigmoid", "y"),
    "tanh": activation("tanh", "y"),
}
every_operation = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def copies(results: list[Any]) -> list[np.ndarray]:
    return [np.array(result) for result in results]


def assert_close(ours: list[Any], reference: list[Any], dtype: str) -> None:
    for mine, theirs in zip(ours, reference, strict=True):
        mine, theirs = np.asarray(mine), np.asarray(theirs)
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        if theirs.dtype.kind == "f":
            scale = max(1.0, float(np.abs(theirs).max(initial=0.0)))
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=TOLERANCE[dtype] * scale)
        else:
            np.testing.assert_array_equal(mine, theirs)
