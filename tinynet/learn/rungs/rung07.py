"""Rung 7, pooling and batch normalisation: winners, three terms, and averages that run along."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.backends.numpy_ import NumpyBackend
from tinynet.geometry import Window
from tinynet.gradcheck import tie_free
from tinynet.learn.exercise import Exercise, Wrong
from tinynet.learn.grading import agree, answer, answers, check_single
from tinynet.learn.windows import overwritten
from tinynet.types import Array

IMAGES = (3, 5, 8, 2)
"""Three images of 5 x 8 pixels and two channels."""
ROWS, CHANNELS = 7, 3
"""The batch that is normalised: x (ROWS, CHANNELS)."""
SHAPES = {
    (ROWS,): "the wrong axis: a channel is a column, so sum over the rows, axis=0",
    (1, CHANNELS): "keepdims: one number a channel is wanted, without an axis for the batch",
    (): "one number over all channels: each column has its own, axis=0",
    (ROWS, CHANNELS): "a missing sum over the batch, axis=0",
}
"""Shapes of what should be (CHANNELS,): the hint for each."""
EPSILON = 0.1
"""Large, so that it shows where it was put."""
STEP = 1e-5
"""How far each number is nudged for a central difference."""
TOLERANCE = 1e-6
"""Of a gradient, against central differences."""


def _grade_max_pool_backward(f: Callable[..., Any]) -> None:
    x = tie_free(IMAGES, seed=7)
    for size, stride in ((2, 2), (3, 3), (3, 2)):
        _grade_pool(f, x, size, stride, f"dx, for size {size} and stride {stride},")
    check_single(f, np.ones((3, 2, 4, 2)), x, 2, 2)
    ties = np.maximum(np.round(2.0 * x), 0.0)  # as behind a ReLU: many zeros
    _grade_pool(f, ties, 2, 2, "dx, where several pixels of a window are equal,")


def _grade_pool(f: Callable[..., Any], x: Array, size: int, stride: int, what: str) -> None:
    """Grade dx for windows of `size` that are `stride` apart on images x."""
    ops, window = NumpyBackend(), Window((size, size), (stride, stride))
    y, saved = ops.maxpool(x, window)
    dy = np.asarray(np.random.default_rng(8).normal(size=y.shape))
    found = answer(f, dy, x, size, stride, shape=IMAGES, slips={y.shape: "dx has the shape of x"})
    windows = ops.windows(x, window)
    is_largest = (windows == y[:, :, :, None, None, :]).astype("float64")
    count = is_largest.sum(axis=(3, 4), keepdims=True)
    cotangent = dy[:, :, :, None, None, :]
    every = np.ones_like(windows)
    slips = {
        "all of several equal pixels win; only the first should": ops.fold(
            is_largest * cotangent, IMAGES, window
        ),
        "several equal pixels share dy; only the first should win": ops.fold(
            is_largest / count * cotangent, IMAGES, window
        ),
        "the last of several equal pixels wins; the first should: > in place of >=": _last_wins(
            dy, x, window
        ),
        "overlapping windows are overwritten instead of added: += in place of =": overwritten(
            is_largest * cotangent, x.shape, stride
        ),
        "an = for the winner, where a pixel may win several windows: +=": overwritten(
            is_largest * cotangent, x.shape, stride, is_largest
        ),
        "every pixel of the window gets dy; only the winner moved y": ops.fold(
            every * cotangent, IMAGES, window
        ),
        "dy is shared by the whole window, as in average pooling": ops.avgpool_backward(dy, IMAGES, window),
        "the winner gets its own value; it should get dy": ops.fold(
            is_largest * y[:, :, :, None, None, :], IMAGES, window
        ),
    }
    agree(found, ops.maxpool_backward(dy, saved, window), what, slips, misplaced=MISPLACED)


MISPLACED = "all of dy is there, but at the wrong places: window (i, j) lies at (i * stride, j * stride)"
"""The hint where the total is right, as it is wherever dy is put."""


def _last_wins(dy: Array, x: Array, window: Window) -> Array:
    """The gradient of max-pooling x where the last of several equal pixels wins."""
    ops = NumpyBackend()
    windows = ops.windows(x, window)
    N, OH, OW, KH, KW, C = windows.shape
    backwards = windows.reshape(N, OH, OW, KH * KW, C)[:, :, :, ::-1]
    winner = KH * KW - 1 - backwards.argmax(axis=3)
    return ops.maxpool_backward(dy, (winner, x.shape), window)


def _grade_batchnorm_forward(f: Callable[..., Any]) -> None:
    x, gamma, beta, _ = _batch()
    per_channel, per_number = (CHANNELS,), (ROWS, CHANNELS)
    shapes = {"y": per_number, "x_hat": per_number, "inverse_std": per_channel}
    found = answers(f, x, gamma, beta, EPSILON, shapes=shapes, slips=SHAPES)
    mean, variance = x.mean(axis=0), x.var(axis=0)
    inverse_std = 1.0 / np.sqrt(variance + EPSILON)
    x_hat = (x - mean) * inverse_std
    roots = {
        "the variance is divided by m - 1; in training it is divided by m": 1.0
        / np.sqrt(x.var(axis=0, ddof=1) + EPSILON),
        "epsilon belongs inside the root": 1.0 / (np.sqrt(variance) + EPSILON),
        "epsilon is missing": 1.0 / np.sqrt(variance),
        "the root is missing": 1.0 / (variance + EPSILON),
        "that is the standard deviation; inverse_std is 1 over it": np.sqrt(variance + EPSILON),
        "that is the variance; inverse_std is 1 / √(variance + epsilon)": variance,
        "one mean over all channels: each column has its own, axis=0": 1.0
        / np.sqrt(((x - x.mean()) ** 2).mean(axis=0) + EPSILON),
        "the mean is missing in the variance: Σ x² / m": 1.0 / np.sqrt((x * x).mean(axis=0) + EPSILON),
    }
    agree(found[2], inverse_std, "inverse_std", roots)
    agree(
        found[1],
        x_hat,
        "x_hat",
        {
            "the mean is not subtracted": x * inverse_std,
            "x - mean is not divided by anything": x - mean,
            "divided by inverse_std instead of multiplied": (x - mean) / inverse_std,
            "one mean over all channels: each column has its own, axis=0": (x - x.mean()) * inverse_std,
            "that is y, with gamma and beta already": gamma * x_hat + beta,
        },
    )
    agree(
        found[0],
        gamma * x_hat + beta,
        "y",
        {
            "gamma and beta are exchanged": beta * x_hat + gamma,
            "gamma is missing": x_hat + beta,
            "beta is missing": gamma * x_hat,
            "gamma and beta are missing": x_hat,
        },
    )
    check_single(f, x, gamma, beta, EPSILON)


def _grade_batchnorm_backward(f: Callable[..., Any]) -> None:
    x, gamma, beta, dy = _batch()
    ops, m = NumpyBackend(), ROWS
    x_hat, inverse_std = ops.batchnorm(x, gamma, beta, EPSILON)[3]
    shapes = {"dx": x.shape, "dgamma": gamma.shape, "dbeta": beta.shape}
    found = answers(f, dy, x_hat, inverse_std, gamma, shapes=shapes, slips=SHAPES)

    def loss() -> float:
        return float((ops.batchnorm(x, gamma, beta, EPSILON)[0] * dy).sum())

    dgamma, dbeta = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
    agree(
        found[2],
        _by_nudging(loss, beta),
        "dbeta",
        {"the mean instead of the sum": dbeta / m, "that is dgamma": dgamma},
        TOLERANCE,
    )
    agree(
        found[1],
        _by_nudging(loss, gamma),
        "dgamma",
        {
            "the mean instead of the sum": dgamma / m,
            "that is dbeta: dgamma is Σ dy · x_hat": dbeta,
            "Σ dy · x instead of Σ dy · x_hat": (dy * x).sum(axis=0),
            "gamma does not belong here: y = gamma · x_hat + beta": gamma * dgamma,
        },
        TOLERANCE,
    )
    scale = gamma * inverse_std
    of_mean, of_variance = dbeta / m, x_hat * dgamma / m
    slips = {
        "the mean's and the variance's term are missing: both depend on x": scale * dy,
        "the mean's term is missing: - Σ dy / m": scale * (dy - of_variance),
        "the variance's term is missing: - x_hat · Σ dy x_hat / m": scale * (dy - of_mean),
        "the variance's term is divided by m - 1: in training the variance is Σ / m": scale
        * (dy - of_mean - x_hat * dgamma / (m - 1)),
        "both sums are divided by m - 1 instead of m": scale * (dy - (of_mean + of_variance) * m / (m - 1)),
        "the two sums are not divided by m": scale * (dy - (of_mean + of_variance) * m),
        "the sum over dy is not divided by m": scale * (dy - of_mean * m - of_variance),
        "the sum over dy x_hat is not divided by m": scale * (dy - of_mean - of_variance * m),
        "the variance's term lacks its factor x_hat": scale * (dy - of_mean - dgamma / m),
        "the two terms are subtracted, not added": scale * (dy + of_mean + of_variance),
        "the factor gamma is missing: y = gamma · x_hat + beta": inverse_std * (dy - of_mean - of_variance),
        "the factor inverse_std is missing": gamma * (dy - of_mean - of_variance),
    }
    agree(found[0], _by_nudging(loss, x), "dx", slips, TOLERANCE)
    check_single(f, dy, x_hat, inverse_std, gamma, like="dy")


def _grade_running_average(f: Callable[..., Any]) -> None:
    x, mean, _, _ = _batch()
    variance, momentum = np.square(mean) + 0.5, 0.9
    shapes = {"mean": mean.shape, "variance": variance.shape}
    found = answers(f, mean, variance, x, momentum, shapes=shapes, slips=SHAPES)
    batch_mean, biased, unbiased = x.mean(axis=0), x.var(axis=0), x.var(axis=0, ddof=1)
    agree(
        found[0],
        momentum * mean + (1.0 - momentum) * batch_mean,
        "the running mean",
        {
            "momentum is the part that is kept: momentum · running + (1 - momentum) · batch": (1.0 - momentum)
            * mean
            + momentum * batch_mean,
            "the batch must count 1 - momentum": momentum * mean + batch_mean,
            "that is the mean of the batch alone": batch_mean,
            "the mean stays as it was": mean,
        },
    )
    agree(
        found[1],
        momentum * variance + (1.0 - momentum) * unbiased,
        "the running variance",
        {
            "the batch's variance must be unbiased here: divided by m - 1": momentum * variance
            + (1.0 - momentum) * biased,
            "momentum is the part that is kept": (1.0 - momentum) * variance + momentum * unbiased,
            "the standard deviation instead of the variance": momentum * variance
            + (1.0 - momentum) * np.sqrt(unbiased),
            "the variance stays as it was": variance,
        },
    )
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # NumPy's, of a variance of one number
            found = answers(f, mean, variance, x[:1], momentum, shapes=shapes)
    except (Wrong, ZeroDivisionError) as error:
        raise Wrong(
            "a batch of one: the running averages are not finite\n"
            "  expected: both stay as they were\n"
            "  likely slip: one value has no variance: m - 1 is 0"
        ) from error
    what = "a batch of one: the running"
    agree(
        found[0],
        mean,
        f"{what} mean",
        {
            "one value says nothing of the others: keep both averages": momentum * mean
            + (1.0 - momentum) * x[0]
        },
    )
    agree(
        found[1],
        variance,
        f"{what} variance",
        {"one value has no variance: keep what there was, and mix in no 0": momentum * variance},
    )


def _batch() -> tuple[Array, Array, Array, Array]:
    """x (ROWS, CHANNELS), gamma and beta (CHANNELS,), dy like x."""
    random = np.random.default_rng(9)
    x = random.normal(size=(ROWS, CHANNELS)) * [0.5, 1.0, 2.0] + [1.0, -2.0, 3.0]
    gamma, beta = random.normal(size=(2, CHANNELS)) + 1.5
    return x, gamma, beta, random.normal(size=x.shape)


def _by_nudging(f: Callable[[], float], tensor: Array) -> Array:
    """∂f/∂tensor by central differences, number by number."""
    gradient = np.zeros_like(tensor)
    for place in np.ndindex(*tensor.shape):
        here = tensor[place]
        tensor[place] = here + STEP
        above = f()
        tensor[place] = here - STEP
        gradient[place] = (above - f()) / (2.0 * STEP)
        tensor[place] = here
    return gradient


EXERCISES = (
    Exercise(
        "07.max_pool_backward",
        "Return dx (N, H, W, C), in which each number of dy (N, OH, OW, C) is added to the pixel "
        "that won its window.",
        _grade_max_pool_backward,
    ),
    Exercise(
        "07.batchnorm_forward",
        "Return y and x_hat (m, C) and inverse_std (C,) of a batch x (m, C).",
        _grade_batchnorm_forward,
    ),
    Exercise(
        "07.batchnorm_backward",
        "Return dx (m, C), dgamma (C,) and dbeta (C,), with all three terms of dx.",
        _grade_batchnorm_backward,
    ),
    Exercise(
        "07.running_average",
        "Return the running mean and the running variance (C,) after a batch x (m, C).",
        _grade_running_average,
    ),
)
