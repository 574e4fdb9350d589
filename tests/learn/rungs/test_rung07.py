"""Rung 7: right answers pass, and each typical wrong one gets its hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinynet.backends.numpy_ import NumpyBackend
from tinynet.geometry import Window
from tinynet.learn.exercise import Wrong
from tinynet.learn.ladder import exercise
from tinynet.types import Array

OPS = NumpyBackend()
Wrongly = Callable[..., Any]


def refused(name: str, wrong: Wrongly, hint: str) -> None:
    with pytest.raises(Wrong) as caught:
        exercise(name).grade(wrong)
    assert hint in str(caught.value)


def pool_backward(dy: Array, x: Array, size: int, stride: int) -> Array:
    window = Window((size, size), (stride, stride))
    return OPS.maxpool_backward(dy, OPS.maxpool(x, window)[1], window)


def pooled_by(share: Callable[[Array, Array], Array], add: bool = True) -> Wrongly:
    """A backward of max-pooling: `share` says what a window (N, K, K, C) gets of dy (N, 1, 1, C)."""

    def backward(dy: Array, x: Array, size: int, stride: int) -> Array:
        dx = np.zeros_like(x)
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                rows = slice(i * stride, i * stride + size)
                columns = slice(j * stride, j * stride + size)
                part = share(x[:, rows, columns], dy[:, i : i + 1, j : j + 1])
                dx[:, rows, columns] = dx[:, rows, columns] + part if add else part
        return dx

    return backward


def largest(window: Array) -> Array:
    """Where a window (N, K, K, C) has its largest pixel, or several."""
    is_largest: Array = window == window.max(axis=(1, 2), keepdims=True)
    return is_largest


def last_wins(dy: Array, x: Array, size: int, stride: int) -> Array:
    window = Window((size, size), (stride, stride))
    candidates = OPS.windows(x, window).reshape(*dy.shape[:3], size * size, -1)
    winner = size * size - 1 - candidates[:, :, :, ::-1].argmax(axis=3)
    return OPS.maxpool_backward(dy, (winner, x.shape), window)


def winner_written(dy: Array, x: Array, size: int, stride: int) -> Array:
    dx = np.zeros_like(x)
    for n, i, j, c in np.ndindex(*dy.shape):
        window = x[n, i * stride : i * stride + size, j * stride : j * stride + size, c]
        u, v = divmod(int(window.argmax()), size)
        dx[n, i * stride + u, j * stride + v, c] = dy[n, i, j, c]
    return dx


def winner_written_without_stride(dy: Array, x: Array, size: int, stride: int) -> Array:
    dx = np.zeros_like(x)
    for n, i, j, c in np.ndindex(*dy.shape):
        u, v = divmod(int(x[n, i : i + size, j : j + size, c].argmax()), size)
        dx[n, i + u, j + v, c] += dy[n, i, j, c]
    return dx


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (pooled_by(lambda window, dy: dy + 0.0 * window), "every pixel of the window gets dy"),
        (
            pooled_by(lambda window, dy: dy / window[0, ..., 0].size + 0.0 * window),
            "shared by the whole window",
        ),
        (pooled_by(lambda window, dy: window * largest(window)), "it should get dy"),
        (
            pooled_by(lambda window, dy: dy * largest(window), add=False),
            "overlapping windows are overwritten",
        ),
        (winner_written, "a pixel may win several windows"),
        (pooled_by(lambda window, dy: dy * largest(window)), "all of several equal pixels win"),
        (
            pooled_by(
                lambda window, dy: dy * largest(window) / largest(window).sum(axis=(1, 2), keepdims=True)
            ),
            "equal pixels share dy",
        ),
        (last_wins, "the last of several equal pixels wins"),
        (
            winner_written_without_stride,
            "at the wrong places: window (i, j) lies at (i * stride, j * stride)",
        ),
        (lambda *a: pool_backward(*a).astype("float64"), "np.zeros(…, x.dtype)"),
        (lambda dy, x, size, stride: -pool_backward(dy, x, size, stride), "the sign"),
        (lambda dy, x, size, stride: dy, "dx has the shape of x"),
        (lambda dy, x, size, stride: None, "missing `return`"),
    ],
)
def test_wrong_backwards_of_max_pooling(wrong: Wrongly, hint: str) -> None:
    refused("07.max_pool_backward", wrong, hint)


def forward(x: Array, gamma: Array, beta: Array, epsilon: float) -> tuple[Array, Array, Array]:
    y, _, _, (x_hat, inverse_std) = OPS.batchnorm(x, gamma, beta, epsilon)
    return y, x_hat, inverse_std


def scaled_by(inverse_std: Callable[[Array, float], Array]) -> Wrongly:
    """A forward that divides by another spread."""

    def wrong(x: Array, gamma: Array, beta: Array, epsilon: float) -> tuple[Array, Array, Array]:
        s = inverse_std(x, epsilon)
        x_hat = (x - x.mean(axis=0)) * s
        return gamma * x_hat + beta, x_hat, s

    return wrong


def with_x_hat(x_hat: Callable[[Array, Array, Array], Array]) -> Wrongly:
    """A forward with the right inverse_std and another x_hat, made of x, mean and inverse_std."""

    def wrong(x: Array, gamma: Array, beta: Array, epsilon: float) -> tuple[Array, Array, Array]:
        s = forward(x, gamma, beta, epsilon)[2]
        found = x_hat(x, x.mean(axis=0), s)
        return gamma * found + beta, found, s

    return wrong


def with_y(y: Callable[[Array, Array, Array], Array]) -> Wrongly:
    """A forward with the right x_hat and another y, made of x_hat, gamma and beta."""

    def wrong(x: Array, gamma: Array, beta: Array, epsilon: float) -> tuple[Array, Array, Array]:
        _, x_hat, s = forward(x, gamma, beta, epsilon)
        return y(x_hat, gamma, beta), x_hat, s

    return wrong


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (scaled_by(lambda x, e: 1 / np.sqrt(x.var(axis=0, ddof=1) + e)), "divided by m - 1"),
        (scaled_by(lambda x, e: 1 / (x.std(axis=0) + e)), "epsilon belongs inside the root"),
        (scaled_by(lambda x, e: 1 / x.std(axis=0)), "epsilon is missing"),
        (scaled_by(lambda x, e: 1 / (x.var(axis=0) + e)), "the root is missing"),
        (scaled_by(lambda x, e: np.sqrt(x.var(axis=0) + e)), "inverse_std is 1 over it"),
        (scaled_by(lambda x, e: x.var(axis=0)), "that is the variance"),
        (scaled_by(lambda x, e: 1 / np.sqrt((x * x).mean(axis=0) + e)), "the mean is missing"),
        (scaled_by(lambda x, e: 1 / np.sqrt(x.var(axis=0, keepdims=True) + e)), "keepdims"),
        (scaled_by(lambda x, e: 1 / np.sqrt(x.var() + e)), "one number over all channels"),
        (scaled_by(lambda x, e: 1 / np.sqrt(((x - x.mean()) ** 2).mean(axis=0) + e)), "one mean over all"),
        (with_x_hat(lambda x, mean, s: x * s), "the mean is not subtracted"),
        (with_x_hat(lambda x, mean, s: x - mean), "is not divided by anything"),
        (with_x_hat(lambda x, mean, s: (x - mean) / s), "instead of multiplied"),
        (with_x_hat(lambda x, mean, s: (x - x.mean()) * s), "one mean over all channels"),
        (with_y(lambda x_hat, gamma, beta: beta * x_hat + gamma), "exchanged"),
        (with_y(lambda x_hat, gamma, beta: x_hat + beta), "gamma is missing"),
        (with_y(lambda x_hat, gamma, beta: gamma * x_hat), "beta is missing"),
        (with_y(lambda x_hat, gamma, beta: x_hat), "gamma and beta are missing"),
        (lambda *a: forward(*a)[0], "received: one ndarray"),
        (lambda *a: forward(*a)[:2], "received: 2 values"),
        (lambda *a: None, "missing `return`"),
        (lambda x, *a: forward(np.subtract(x, x.mean(axis=0), out=x), *a), "was changed by your function"),
    ],
)
def test_wrong_forwards_of_batchnorm(wrong: Wrongly, hint: str) -> None:
    refused("07.batchnorm_forward", wrong, hint)


def test_a_forward_along_the_wrong_axis() -> None:
    def wrong(x: Array, gamma: Array, beta: Array, epsilon: float) -> tuple[Array, Array, Array]:
        s = 1 / np.sqrt(x.var(axis=1) + epsilon)
        x_hat = (x - x.mean(axis=1, keepdims=True)) * s[:, None]
        return gamma * x_hat + beta, x_hat, s

    refused("07.batchnorm_forward", wrong, "a channel is a column")


def backward(dy: Array, x_hat: Array, inverse_std: Array, gamma: Array) -> tuple[Array, Array, Array]:
    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    return gamma * inverse_std * (dy - dbeta / len(dy) - x_hat * dgamma / len(dy)), dgamma, dbeta


def with_dx(dx: Callable[..., Array]) -> Wrongly:
    """A backward with another dx, made of dy, x_hat, s, gamma, the two means and m."""

    def wrong(dy: Array, x_hat: Array, s: Array, gamma: Array) -> tuple[Array, Array, Array]:
        _, dgamma, dbeta = backward(dy, x_hat, s, gamma)
        m = len(dy)
        return dx(dy, x_hat, s, gamma, dbeta / m, dgamma / m, m), dgamma, dbeta

    return wrong


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (with_dx(lambda dy, x, s, g, a, b, m: g * s * dy), "the mean's and the variance's term are missing"),
        (with_dx(lambda dy, x, s, g, a, b, m: g * s * (dy - x * b)), "the mean's term is missing"),
        (with_dx(lambda dy, x, s, g, a, b, m: g * s * (dy - a)), "the variance's term is missing"),
        (
            with_dx(lambda dy, x, s, g, a, b, m: g * s * (dy - a - x * b * m / (m - 1))),
            "the variance's term is divided by m - 1",
        ),
        (
            with_dx(lambda dy, x, s, g, a, b, m: g * s * (dy - (a + x * b) * m / (m - 1))),
            "both sums are divided by m - 1",
        ),
        (with_dx(lambda dy, x, s, g, a, b, m: g * s * (dy - a * m - x * b * m)), "the two sums are not"),
        (with_dx(lambda dy, x, s, g, a, b, m: g * s * (dy - a * m - x * b)), "the sum over dy is not"),
        (with_dx(lambda dy, x, s, g, a, b, m: g * s * (dy - a - x * b * m)), "the sum over dy x_hat is not"),
        (with_dx(lambda dy, x, s, g, a, b, m: g * s * (dy - a - b)), "lacks its factor x_hat"),
        (with_dx(lambda dy, x, s, g, a, b, m: g * s * (dy + a + x * b)), "subtracted, not added"),
        (with_dx(lambda dy, x, s, g, a, b, m: s * (dy - a - x * b)), "the factor gamma is missing"),
        (with_dx(lambda dy, x, s, g, a, b, m: g * (dy - a - x * b)), "the factor inverse_std is missing"),
        (with_dx(lambda dy, x, s, g, a, b, m: -g * s * (dy - a - x * b)), "the sign"),
        (lambda dy, x, s, g: (dy, (dy * x).mean(axis=0), dy.sum(axis=0)), "the mean instead of the sum"),
        (lambda dy, x, s, g: (dy, dy.sum(axis=0), (dy * x).sum(axis=0)), "that is dgamma"),
        (lambda dy, x, s, g: (dy, dy.sum(axis=0), dy.sum(axis=0)), "that is dbeta"),
        (lambda dy, x, s, g: (dy, g * (dy * x).sum(axis=0), dy.sum(axis=0)), "gamma does not belong here"),
        (lambda dy, x, s, g: (dy, dy * x, dy.sum(axis=0)), "a missing sum over the batch"),
        (lambda dy, x, s, g: (dy, (dy * x).sum(axis=1), dy.sum(axis=1)), "a channel is a column"),
    ],
)
def test_wrong_backwards_of_batchnorm(wrong: Wrongly, hint: str) -> None:
    refused("07.batchnorm_backward", wrong, hint)


def running(mean: Array, variance: Array, x: Array, momentum: float) -> tuple[Array, Array]:
    if len(x) == 1:
        return mean, variance
    return blended(mean, x.mean(axis=0), momentum), blended(variance, x.var(axis=0, ddof=1), momentum)


def blended(running: Array, batch: Array, momentum: float) -> Array:
    return momentum * running + (1.0 - momentum) * batch


def in_place(mean: Array, variance: Array, x: Array, momentum: float) -> tuple[Array, Array]:
    mean *= momentum
    mean += (1.0 - momentum) * x.mean(axis=0)
    return mean, variance


def one_by_hand(mean: Array, variance: Array, x: Array, momentum: float) -> tuple[Array, Array]:
    spread = x.var(axis=0) * len(x) / max(len(x) - 1, 1)
    return mean if len(x) == 1 else blended(mean, x.mean(axis=0), momentum), blended(
        variance, spread, momentum
    )


def never_one(mean: Array, variance: Array, x: Array, momentum: float) -> tuple[Array, Array]:
    return blended(mean, x.mean(axis=0), momentum), blended(variance, x.var(axis=0, ddof=1), momentum)


def divided_by_zero(mean: Array, variance: Array, x: Array, momentum: float) -> tuple[Array, Array]:
    spread = x.var(axis=0) * (len(x) / (len(x) - 1))
    return blended(mean, x.mean(axis=0), momentum), blended(variance, spread, momentum)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda mean, variance, x, p: running(mean, variance, x, 1 - p), "the part that is kept"),
        (lambda mean, variance, x, p: (p * mean + x.mean(axis=0), variance), "must count 1 - momentum"),
        (lambda mean, variance, x, p: (x.mean(axis=0), x.var(axis=0)), "of the batch alone"),
        (lambda mean, variance, x, p: (mean, variance), "the mean stays as it was"),
        (
            lambda mean, variance, x, p: (
                blended(mean, x.mean(axis=0), p),
                blended(variance, x.var(axis=0), p),
            ),
            "must be unbiased here",
        ),
        (
            lambda mean, variance, x, p: (
                blended(mean, x.mean(axis=0), p),
                blended(variance, x.std(axis=0, ddof=1), p),
            ),
            "the standard deviation instead",
        ),
        (lambda mean, variance, x, p: (blended(mean, x.mean(axis=0), p), variance), "the variance stays"),
        (in_place, "was changed by your function"),
        (never_one, "one value has no variance: m - 1 is 0"),
        (divided_by_zero, "one value has no variance: m - 1 is 0"),
        (one_by_hand, "mix in no 0"),
        (
            lambda mean, variance, x, p: (
                blended(mean, x.mean(axis=0), p),
                running(mean, variance, x, p)[1],
            ),
            "one value says nothing of the others",
        ),
    ],
)
def test_wrong_running_averages(wrong: Wrongly, hint: str) -> None:
    refused("07.running_average", wrong, hint)


def test_batchnorm_that_makes_float64_of_float32_is_refused() -> None:
    def wide(f: Wrongly) -> Wrongly:
        return lambda *given: tuple(each.astype("float64") for each in f(*given))

    refused("07.batchnorm_forward", wide(forward), "np.zeros(…, x.dtype)")
    refused("07.batchnorm_backward", wide(backward), "np.zeros(…, dy.dtype)")


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("max_pool_backward", pool_backward),
        ("batchnorm_forward", forward),
        ("batchnorm_backward", backward),
        ("running_average", running),
    ],
)
def test_the_engine_passes(name: str, right: Wrongly) -> None:
    exercise(f"07.{name}").grade(right)
