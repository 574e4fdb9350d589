"""Rung 6: right answers pass, and each typical wrong one gets its hint."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
        (lambda s, k, d, p: (s + 2 * p - k + 1) // d, "the + 1 belongs behind the division"),
        (lambda s, k, d, p: (s + 2 * p) // d + 1, "the kernel is missing"),
        (lambda s, k, d, p: round((s + 2 * p - k) / d) + 1, "round() goes up as well"),
        (lambda s, k, d, p: round((s + 2 * p - k) / d + 1), "round() goes up as well"),
        (lambda s, k, d, p: (s + 2 * p - k) / d + 1, "// divides whole numbers"),
        (lambda s, k, d, p: None, "missing `return`"),
        (lambda s, k, d, p: "3", "received: '3'"),
        (lambda s, k, d, p: [3], "received: [3]"),
    ],
)
def test_wrong_output_sizes(wrong: Callable[..., Any], hint: str) -> None:
    refused("06.output_size", wrong, hint)


def test_a_hint_fits_all_questions() -> None:
    """Wrong for the first question as a missing padding is, and for others not."""

    def wrong(size: int, kernel: int, stride: int, padding: int) -> int:
        return output_size(size, kernel, stride, padding if stride > 1 else 0)

    with pytest.raises(Wrong) as caught:
        exercise("06.output_size").grade(wrong)
    assert "likely slip" not in str(caught.value)


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


def loops(
    x: Array, W: Array, b: Array, *, pixel: str = "i + u, j + v", columns: str = "KW", stop: str = ""
) -> Array:
    """The six loops, whose slips are written as a student writes them; `stop`: the loop with the `return`."""
    KH, KW, C, F = W.shape
    y = np.zeros((x.shape[0] - KH + 1, x.shape[1] - KW + 1, F))
    for i in range(len(y)):
        for j in range(y.shape[1]):
            for f in range(F):
                y[i, j, f] = b[f]
                for u in range(KH):
                    for v in range(KW if columns == "KW" else KH):
                        for c in range(C):
                            at = {"i + u, j + v": (i + u, j + v), "i, j": (i, j), "u, v": (u, v)}[pixel]
                            y[i, j, f] += x[(*at, c)] * W[u, v, c, f]
                            if stop == "c":
                                return y
                if stop == "f":
                    return y
            if stop == "j":
                return y
        if stop == "i":
            return y
    return y


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (partial(loops, pixel="i, j"), "x[i, j] is one pixel"),
        (partial(loops, pixel="u, v"), "x[u, v] is the same window"),
        (partial(loops, columns="KH"), "KH is used for KW"),
        (partial(loops, stop="i"), "`return` stands in the loop over i"),
        (partial(loops, stop="j"), "`return` stands in the loop over j"),
        (partial(loops, stop="f"), "`return` stands in the loop over f"),
        (partial(loops, stop="c"), "`return` stands in the loop over c"),
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


def cut_out(
    x: Array,
    KH: int,
    KW: int,
    stride: int,
    padding: int,
    *,
    step: bool = True,
    dtype: str | None = None,
    stop: str = "",
    reshape: bool = True,
    columns: str = "KW",
) -> Array:
    """im2col by loops, with the slips that students make."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    N, H, W, C = x.shape
    OH, OW = (H - KH) // stride + 1, (W - KW) // stride + 1
    windows = np.zeros((N, OH, OW, KH, KW, C), dtype or x.dtype)
    cols = windows.reshape(N * OH * OW, KH * KW * C)  # the same numbers
    for i in range(OH):
        for j in range(OW):
            top, left = (i * stride, j * stride) if step else (i, j)
            windows[:, i, j] = x[:, top : top + KH, left : left + (KW if columns == "KW" else KH)]
            if stop == "j":
                return cols
        if stop == "i":
            return cols
    return cols if reshape else windows


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
        (partial(cut_out, step=False), "begins at pixel (i * stride, j * stride)"),
        (partial(cut_out, dtype="float64"), "np.zeros(…, x.dtype)"),
        (partial(cut_out, stop="i"), "`return` stands in the loop over i"),
        (partial(cut_out, stop="j"), "`return` stands in the loop over j"),
        (partial(cut_out, columns="KH"), "KH is used for KW, or KW for KH"),
        (partial(cut_out, reshape=False), "reshape it at the end"),
        (
            lambda x, KH, KW, *a: im2col(x, KH, KW, *a).reshape(-1, KH, KW, 2),
            "reshape it at the end",
        ),
        (lambda x, KH, KW, *a: im2col(x, KH, KH, *a), "KH is used for KW"),
        (lambda x, KH, KW, *a: im2col(x, KW, KW, *a), "KW is used for KH"),
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
    cols: Array,
    shape: Shape,
    KH: int,
    KW: int,
    stride: int,
    padding: int,
    *,
    add: bool = True,
    step: bool = True,
    cut: str = "padding : padding + H",
    dtype: str | None = None,
    stop: str = "",
    exchange: bool = False,
    columns: str = "KW",
) -> Array:
    """col2im by loops, with the slips that students make."""
    N, H, W, C = shape
    dx = np.zeros((N, H + 2 * padding, W + 2 * padding, C), dtype or cols.dtype)
    OH, OW = output_size(H, KH, stride, padding), output_size(W, KW, stride, padding)
    windows = cols.reshape(N, OH, OW, KH, KW, C)
    corner = 0 if cut == ":H" else padding
    image = dx[:, corner : corner + H, corner : corner + W]
    if cut == "padding : -padding":
        image = dx[:, padding:-padding, padding:-padding]
    for i in range(OH):
        for j in range(OW):
            top, left = (i * stride, j * stride) if step else (i, j)
            if exchange:  # the windows of a row from right to left
                left = (OW - 1 - j) * stride
            place = dx[:, top : top + KH, left : left + (KW if columns == "KW" else KH)]
            place[...] = place + windows[:, i, j] if add else windows[:, i, j]
            if stop == "j":
                return image
        if stop == "i":
            return image
    return image


def reordered(*order: int) -> Callable[..., Array]:
    """col2im that takes cols for windows (N, OH, OW, KH, KW, C) with their axes in this order."""

    def wrong(cols: Array, shape: Shape, KH: int, KW: int, stride: int, padding: int) -> Array:
        N, H, W, C = shape
        axes = (N, output_size(H, KH, stride, padding), output_size(W, KW, stride, padding), KH, KW, C)
        windows = cols.reshape([axes[k] for k in order]).transpose(np.argsort(order))
        return col2im(windows.reshape(cols.shape), shape, KH, KW, stride, padding)

    return wrong


def averaged(cols: Array, *a: Any) -> Array:
    return col2im(cols, *a) / np.maximum(col2im(np.ones_like(cols), *a), 1.0)


def uncut(cols: Array, shape: Shape, KH: int, KW: int, stride: int, padding: int) -> Array:
    N, H, W, C = shape
    return col2im(cols, (N, H + 2 * padding, W + 2 * padding, C), KH, KW, stride, 0)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (partial(put_back, add=False), "overwritten instead of added"),
        (partial(put_back, cut=":H"), "cut off on the wrong side"),
        (partial(put_back, cut="padding : -padding"), "empty where padding is 0"),
        (partial(put_back, step=False), "the stride is missing"),
        (partial(put_back, dtype="float64"), "np.zeros(…, cols.dtype)"),
        (partial(put_back, stop="i"), "`return` stands in the loop over i"),
        (partial(put_back, stop="j"), "`return` stands in the loop over j"),
        (partial(put_back, columns="KH"), "KH is used for KW, or KW for KH"),
        (partial(put_back, exchange=True), "put at the wrong places"),
        (reordered(0, 2, 1, 3, 4, 5), "as if it were (N, OW, OH, KH, KW, C)"),
        (reordered(1, 2, 0, 3, 4, 5), "as if it were (OH, OW, N, KH, KW, C)"),
        (reordered(0, 1, 2, 4, 3, 5), "as if it were (N, OH, OW, KW, KH, C)"),
        (reordered(0, 1, 2, 5, 3, 4), "as if it were (N, OH, OW, C, KH, KW)"),
        (reordered(0, 3, 4, 1, 2, 5), "as if it were (N, KH, KW, OH, OW, C)"),
        (uncut, "the padding is not cut off"),
        (averaged, "averaged instead of added"),
        (lambda *a: -col2im(*a), "the sign"),
        (lambda *a: None, "missing `return`"),
    ],
)
def test_wrong_col2im(wrong: Callable[..., Any], hint: str) -> None:
    refused("06.col2im", wrong, hint)


def test_another_error_of_numpys_is_passed_on() -> None:
    def wrong(x: Array, KH: int, KW: int, stride: int, padding: int) -> Array:
        return im2col(x, KH, KW, stride, padding) + np.zeros(x.shape)

    with pytest.raises(ValueError, match="broadcast"):
        exercise("06.im2col").grade(wrong)


def test_an_answer_without_a_known_slip_is_told_where_it_is_wrong() -> None:
    def wrong(x: Array, *a: Any) -> Array:
        cols = im2col(x, *a)
        cols[4, 7] += 1.0
        return cols

    refused("06.im2col", wrong, "most at [4, 7]")
