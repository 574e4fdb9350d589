"""Rung 6, convolution: how many windows, six loops, im2col, and col2im, its transpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.backends.numpy_ import NumpyBackend
from tinynet.geometry import Window
from tinynet.learn.exercise import Exercise, Wrong
from tinynet.learn.grading import agree, answer
from tinynet.types import Array, Shape

SIZES = ((5, 3, 1, 0), (7, 2, 1, 1), (8, 3, 2, 0), (28, 5, 3, 2), (6, 6, 1, 0))
"""(size, kernel, stride, padding) of the questions of `output_size`."""
GEOMETRIES = ((1, 0), (2, 0), (1, 1), (2, 1))
"""(stride, padding) of the questions of `im2col` and `col2im`, the easy ones first."""
IMAGES = (3, 5, 8, 2)
"""Three images of 5 x 8 pixels and two channels: no two sizes are equal, so none can be taken for another."""
KERNEL = (2, 3)


def _grade_output_size(f: Callable[..., Any]) -> None:
    for size, kernel, stride, padding in SIZES:
        found = f(size, kernel, stride, padding)
        expected = (size + 2 * padding - kernel) // stride + 1
        if isinstance(found, int | np.integer) and not isinstance(found, bool) and found == expected:
            continue
        slips = {
            (size + 2 * padding - kernel) // stride: "the + 1: the first window is there before any step",
            (size + padding - kernel) // stride + 1: "padding lies on both sides: it counts twice",
            (size - kernel) // stride + 1: "the padding is missing",
            size + 2 * padding - kernel + 1: "the stride is missing",
            -(-(size + 2 * padding - kernel) // stride) + 1: "round down: the last window must fit in whole",
        }
        if found is None:
            slip: str | None = "a missing `return`"
        elif isinstance(found, float):
            slip = "/ gives a float; // divides whole numbers and rounds down"
        else:
            slip = slips.get(int(found)) if isinstance(found, int | np.integer) else None
        raise Wrong(
            f"output_size({size}, {kernel}, {stride}, {padding}) is wrong\n"
            f"  expected: {expected}\n  received: {found!r}" + (f"\n  likely slip: {slip}" if slip else "")
        )


def _grade_conv_loops(f: Callable[..., Any]) -> None:
    random = np.random.default_rng(6)
    KH, KW, C, F = 2, 3, 2, 4
    x, W, b = (random.normal(size=shape) for shape in ((5, 8, C), (KH, KW, C, F), (F,)))
    OH, OW = 5 - KH + 1, 8 - KW + 1
    y = _conv(x, W, b)
    found = answer(
        f,
        x,
        W,
        b,
        shape=(OH, OW, F),
        slips={
            (5, 8, F): "a window must lie wholly in the image: there are H - KH + 1 rows of them, not H",
            (OH - 1, OW - 1, F): "the last window is missing: H - KH + 1 rows of windows, not H - KH",
            (OH, OW, C, F): "a missing sum over the channels",
        },
    )
    last = x[KH - 1 :, KW - 1 :, -1, None] * W[-1, -1, -1]
    slips = {
        "the kernel is flipped: W[u, v] belongs to the pixel x[i + u, j + v]": _conv(x, W[::-1, ::-1], b),
        "the bias is missing": y - b,
        "the bias is added once for each product; it belongs to each output once": y + (KH * KW * C - 1) * b,
        "= instead of +=: only the last product is left": last,
        "= instead of +=: only the last product is left, and the bias": last + b,
        "only the first channel is summed": _conv(x[:, :, :1], W[:, :, :1], b),
        "the mean over the window instead of the sum": (y - b) / (KH * KW * C) + b,
    }
    agree(found, y, "y", slips)


def _conv(x: Array, W: Array, b: Array) -> Array:
    """The convolution of one image x (H, W, C): (OH, OW, F)."""
    y: Array = NumpyBackend().conv2d(x[None], W, b, Window(W.shape[:2]))[0][0]
    return y


def _grade_im2col(f: Callable[..., Any]) -> None:
    x = np.random.default_rng(7).normal(size=IMAGES)
    KH, KW = KERNEL
    ops = NumpyBackend()
    for stride, padding in GEOMETRIES:
        window = _window(stride, padding)
        windows = ops.windows(x, window)  # (N, OH, OW, KH, KW, C)
        shape = _cols_shape(IMAGES, stride, padding)
        found = answer(
            f, x, KH, KW, stride, padding, shape=shape, slips=_cols_slips(IMAGES, stride, padding, shape)
        )
        edges = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode="edge")
        slips = {
            "within a row the channel must run fastest: (KH, KW, C), not (C, KH, KW)": windows.transpose(
                0, 1, 2, 5, 3, 4
            ),
            "within a row, go along the window's rows first: (KH, KW, C), not (KW, KH, C)": windows.transpose(
                0, 1, 2, 4, 3, 5
            ),
            "the windows must be listed row by row: (N, OH, OW), not (N, OW, OH)": windows.transpose(
                0, 2, 1, 3, 4, 5
            ),
            "the image must be the slowest axis: (N, OH, OW), not (OH, OW, N)": windows.transpose(
                1, 2, 0, 3, 4, 5
            ),
            "reshaped before the axes were in order (N, OH, OW, KH, KW, C)": windows.transpose(
                0, 3, 4, 1, 2, 5
            ),
            "the padding repeats the edge; it must be zeros": ops.windows(edges, _window(stride, 0)),
        }
        agree(
            found,
            windows.reshape(shape),
            f"cols, for stride {stride} and padding {padding},",
            {hint: value.reshape(shape) for hint, value in slips.items()},
        )


def _window(stride: int, padding: int) -> Window:
    return Window(KERNEL, (stride, stride), ((padding, padding), (padding, padding)))


def _cols_shape(images: Shape, stride: int, padding: int) -> Shape:
    OH, OW = _window(stride, padding).output(images[1:])
    return images[0] * OH * OW, KERNEL[0] * KERNEL[1] * images[3]


def _cols_slips(images: Shape, stride: int, padding: int, shape: Shape) -> dict[Shape, str]:
    """Shapes of wrong cols, which should have `shape`: the hint for each."""
    rows, width = shape
    slips = {
        _cols_shape(images, stride, 0): "the padding is missing",
        _cols_shape(images, 1, padding): "the stride is missing: one window and the next are `stride` apart",
        (rows // images[0], width): "the windows of one image only: a missing loop over the batch",
        (rows, width // images[3]): "a missing channel axis: each pixel of a window has C numbers",
        (images[0], rows // images[0], width): "one list of rows for the whole batch: reshape to two axes",
    }
    return {each: hint for each, hint in slips.items() if each != shape}


def _grade_col2im(f: Callable[..., Any]) -> None:
    KH, KW = KERNEL
    N, H, W, C = IMAGES
    ops = NumpyBackend()
    for stride, padding in GEOMETRIES:
        window = _window(stride, padding)
        cols = np.random.default_rng(8).normal(size=_cols_shape(IMAGES, stride, padding))
        padded = (N, H + 2 * padding, W + 2 * padding, C)
        found = answer(
            f,
            cols,
            IMAGES,
            KH,
            KW,
            stride,
            padding,
            shape=IMAGES,
            slips={padded: "the padding is not cut off"},
        )
        expected = ops.col2im(cols, IMAGES, window)
        bare = Window(KERNEL, window.stride)
        copies = ops.col2im(np.ones_like(cols), IMAGES, window)
        written = _overwritten(cols.reshape(N, *window.output((H, W)), KH, KW, C), padded, stride)
        slips = {
            "overlapping windows are overwritten instead of added: += in place of =": written[
                :, padding : padding + H, padding : padding + W
            ],
            "the padding is cut off on the wrong side: the image begins at row `padding`": ops.col2im(
                cols, padded, bare
            )[:, :H, :W],
            "overlapping windows are averaged instead of added": expected / np.maximum(copies, 1.0),
        }
        agree(found, expected, f"dx, for stride {stride} and padding {padding},", slips)


def _overwritten(windows: Array, padded: Shape, stride: int) -> Array:
    """What is left in `padded` (N, H, W, C) if each window overwrites those before it."""
    left = np.zeros(padded)
    _, OH, OW, KH, KW, _ = windows.shape
    for i in range(OH):
        for j in range(OW):
            top, edge = i * stride, j * stride
            left[:, top : top + KH, edge : edge + KW] = windows[:, i, j]
    return left


EXERCISES = (
    Exercise(
        "06.output_size",
        "Return how many windows of `kernel` pixels, `stride` apart, lie in `size` pixels "
        "with `padding` zeros on both sides.",
        _grade_output_size,
    ),
    Exercise(
        "06.conv_loops",
        "Return y (OH, OW, F), the convolution of one image x (H, W, C) with W (KH, KW, C, F) and b (F,), "
        "in six loops.",
        _grade_conv_loops,
    ),
    Exercise(
        "06.im2col",
        "Return every window of x (N, H, W, C) as one row of cols (N·OH·OW, KH·KW·C).",
        _grade_im2col,
    ),
    Exercise(
        "06.col2im",
        "Return dx (N, H, W, C), in which each row of cols (N·OH·OW, KH·KW·C) is added where its window lay.",
        _grade_col2im,
    ),
)
