"""Rung 6: right answers pass, and each typical wrong one gets its hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinynet.backends.numpy_ import NumpyBackend
from tinynet.geometry import Window
from tinynet.learn.exercise import Wrong
from tinynet.learn.ladder import exercise
from tinynet.types import Array, Shape

OPS = NumpyBackend()


def window(KH: int, KW: int, stride: int, padding: int) -> Window:
    return Window((KH, KW), (stride, stride), ((padding, padding), (padding, padding)))


def refused(name: str, wrong: Callable[..., Any], hint: str) -> None:
    with pytest.raises(Wrong) as caught:
        exercise(name).grade(wrong)
    assert hint in str(caught.value)


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1


def conv(x: Array, W: Array, b: Array) -> Array:
    y: Array = OPS.conv2d(x[None], W, b, Window(W.shape[:2]))[0][0]
    return y


def im2col(x: Array, KH: int, KW: int, stride: int, padding: int) -> Array:
    return OPS.im2col(x, window(KH, KW, stride, padding))


def windows(x: Array, KH: int, KW: int, stride: int, padding: int) -> Array:
    return OPS.windows(x, window(KH, KW, stride, padding))


def col2im(cols: Array, shape: Shape, KH: int, KW: int, stride: int, padding: int) -> Array:
    return OPS.col2im(cols, shape, window(KH, KW, stride, padding))


@pytest.mark.parametrize("right", [output_size, conv, im2col, col2im])
def test_the_engine_passes(right: Callable[..., Any]) -> None:
    name = {"conv": "conv_loops"}.get(right.__name__, right.__name__)
    exercise(f"06.{name}").grade(right)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda s, k, d, p: (s + 2 * p - k) // d, "the + 1"),
        (lambda s, k, d, p: (s + p - k) // d + 1, "it counts twice"),
        (lambda s, k, d, p: (s - k) // d + 1, "the padding is missing"),
        (lambda s, k, d, p: s + 2 * p - k + 1, "the stride is missing"),
        (lambda s, k, d, p: -(-(s + 2 * p - k) // d) + 1, "round down"),
        (lambda s, k, d, p: (s + 2 * p - k) / d + 1, "// divides whole numbers"),
        (lambda s, k, d, p: None, "missing `return`"),
        (lambda s, k, d, p: "3", "received: '3'"),
        (lambda s, k, d, p: [3], "received: [3]"),
    ],
)
def test_wrong_output_sizes(wrong: Callable[..., Any], hint: str) -> None:
    refused("06.output_size", wrong, hint)


def overwriting_sum(x: Array, W: Array, b: Array) -> Array:
    KH, KW, C, F = W.shape
    y = np.zeros((x.shape[0] - KH + 1, x.shape[1] - KW + 1, F))
    for i in range(len(y)):
        for j in range(y.shape[1]):
            for u in range(KH):
                for v in range(KW):
                    for c in range(C):
                        y[i, j] = x[i + u, j + v, c] * W[u, v, c]
            y[i, j] += b
    return y


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda x, W, b: conv(x, W[::-1, ::-1], b), "the kernel is flipped"),
        (lambda x, W, b: conv(x, W, 0 * b), "the bias is missing"),
        (lambda x, W, b: conv(x, W, b * W[..., 0].size), "added once for each product"),
        (overwriting_sum, "= instead of +=: only the last product is left, and the bias"),
        (lambda x, W, b: conv(x[..., :1], W[:, :, :1], b), "only the first channel"),
        (lambda x, W, b: conv(x, W / W[..., 0].size, b), "the mean over the window"),
        (lambda x, W, b: conv(x, W, b)[:-1, :-1], "the last window is missing"),
        (lambda x, W, b: conv(np.pad(x, ((0, 1), (1, 1), (0, 0))), W, b), "wholly in the image"),
        (lambda x, W, b: np.stack([conv(x, W, b)] * 2, axis=2), "a missing sum over the channels"),
        (lambda x, W, b: None, "missing `return`"),
    ],
)
def test_wrong_loops(wrong: Callable[..., Any], hint: str) -> None:
    refused("06.conv_loops", wrong, hint)


def rows(windows: Array, *order: int) -> Array:
    """cols, made of windows (N, OH, OW, KH, KW, C) with their axes in a wrong order."""
    N, OH, OW, KH, KW, C = windows.shape
    return windows.transpose(order).reshape(N * OH * OW, KH * KW * C)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda *a: rows(windows(*a), 0, 1, 2, 5, 3, 4), "the channel must run fastest"),
        (lambda *a: rows(windows(*a), 0, 1, 2, 4, 3, 5), "go along the window's rows first"),
        (lambda *a: rows(windows(*a), 0, 2, 1, 3, 4, 5), "listed row by row"),
        (lambda *a: rows(windows(*a), 1, 2, 0, 3, 4, 5), "the image must be the slowest"),
        (lambda *a: rows(windows(*a), 0, 3, 4, 1, 2, 5), "reshaped before the axes were in order"),
        (lambda x, KH, KW, s, p: im2col(x, KH, KW, 1, p), "the stride is missing"),
        (lambda x, KH, KW, s, p: im2col(x, KH, KW, s, 0), "the padding is missing"),
        (
            lambda x, KH, KW, s, p: im2col(
                np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)), mode="edge"), KH, KW, s, 0
            ),
            "it must be zeros",
        ),
        (lambda x, *a: im2col(x[:1], *a), "of one image only"),
        (lambda x, *a: im2col(x[..., :1], *a), "a missing channel axis"),
        (lambda x, *a: im2col(x, *a).reshape(len(x), -1, 12), "reshape to two axes"),
        (lambda x, *a: im2col(x, *a).T, "transposed"),
        (lambda x, *a: im2col(x, *a).astype("float32"), "received: float32"),
    ],
)
def test_wrong_im2col(wrong: Callable[..., Any], hint: str) -> None:
    refused("06.im2col", wrong, hint)


def put_back(
    cols: Array, shape: Shape, KH: int, KW: int, stride: int, padding: int, *, add: bool, corner: int
) -> Array:
    N, H, W, C = shape
    dx = np.zeros((N, H + 2 * padding, W + 2 * padding, C))
    OH, OW = output_size(H, KH, stride, padding), output_size(W, KW, stride, padding)
    windows = cols.reshape(N, OH, OW, KH, KW, C)
    for i in range(OH):
        for j in range(OW):
            place = dx[:, i * stride : i * stride + KH, j * stride : j * stride + KW]
            place[...] = place + windows[:, i, j] if add else windows[:, i, j]
    return dx[:, corner : corner + H, corner : corner + W]


def averaged(cols: Array, *a: Any) -> Array:
    return col2im(cols, *a) / np.maximum(col2im(np.ones_like(cols), *a), 1.0)


def uncut(cols: Array, shape: Shape, KH: int, KW: int, stride: int, padding: int) -> Array:
    N, H, W, C = shape
    return col2im(cols, (N, H + 2 * padding, W + 2 * padding, C), KH, KW, stride, 0)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda *a: put_back(*a, add=False, corner=a[-1]), "overwritten instead of added"),
        (lambda *a: put_back(*a, add=True, corner=0), "cut off on the wrong side"),
        (uncut, "the padding is not cut off"),
        (averaged, "averaged instead of added"),
        (lambda *a: -col2im(*a), "the sign"),
        (lambda *a: None, "missing `return`"),
    ],
)
def test_wrong_col2im(wrong: Callable[..., Any], hint: str) -> None:
    refused("06.col2im", wrong, hint)


def test_an_answer_without_a_known_slip_is_told_where_it_is_wrong() -> None:
    def wrong(x: Array, *a: Any) -> Array:
        cols = im2col(x, *a)
        cols[4, 7] += 1.0
        return cols

    refused("06.im2col", wrong, "most at [4, 7]")
