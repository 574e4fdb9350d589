"""Rung 6, convolution: how many windows, six loops, im2col, and col2im, its transpose."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.backends.numpy_ import NumpyBackend
from tinynet.geometry import Window
from tinynet.learn.exercise import Exercise, Wrong
from tinynet.learn.grading import agree, answer, check_single
from tinynet.learn.windows import overwritten
from tinynet.types import Array, Shape

SIZES = (
    (5, 3, 1, 0),
    (7, 2, 1, 1),
    (8, 3, 2, 0),
    (28, 5, 3, 2),
    (6, 6, 1, 0),
    (28, 5, 2, 0),
    (28, 3, 2, 1),
    (10, 2, 3, 0),
)
"""(size, kernel, stride, padding) of the questions of `output_size`."""
GEOMETRIES = ((1, 0), (2, 0), (1, 1), (2, 1))
"""(stride, padding) of the questions of `im2col` and `col2im`, the easy ones first."""
IMAGES = (3, 5, 8, 2)
"""Three images of 5 x 8 pixels and two channels: no two sizes are equal, so none can be taken for another."""
KERNEL = (2, 3)


SIZE_SLIPS: dict[str, Callable[[int, int, int, int], int]] = {
    "the + 1: the first window is there before any step": lambda n, k, s, p: (n + 2 * p - k) // s,
    "the + 1 belongs behind the division": lambda n, k, s, p: (n + 2 * p - k + 1) // s,
    "padding lies on both sides: it counts twice": lambda n, k, s, p: (n + p - k) // s + 1,
    "the padding is missing": lambda n, k, s, p: (n - k) // s + 1,
    "the stride is missing": lambda n, k, s, p: n + 2 * p - k + 1,
    "the kernel is missing": lambda n, k, s, p: (n + 2 * p) // s + 1,
    "round down, not up: the last window must fit in whole": lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1,
    "round() goes up as well; // rounds down, then comes the + 1": lambda n, k, s, p: (
        round((n + 2 * p - k) / s) + 1
    ),
    "round() goes up as well; // rounds down": lambda n, k, s, p: round((n + 2 * p - k) / s + 1),
}
"""What typical wrong answers give for (size n, kernel k, stride s, padding p): the hint for each."""


def _grade_output_size(f: Callable[..., Any]) -> None:
    found = [f(*each) for each in SIZES]
    is_whole = [isinstance(each, int | np.integer) and not isinstance(each, bool) for each in found]
    for question, received, whole in zip(SIZES, found, is_whole, strict=True):
        size, kernel, stride, padding = question
        expected = (size + 2 * padding - kernel) // stride + 1
        if whole and received == expected:
            continue
        slip: str | None = None
        if received is None:
            slip = "a missing `return`"
        elif isinstance(received, float):
            slip = "/ gives a float; // divides whole numbers and rounds down"
        elif all(is_whole):
            fits = (hint for hint, g in SIZE_SLIPS.items() if found == [g(*each) for each in SIZES])
            slip = next(fits, None)
        raise Wrong(
            f"output_size{question} is wrong\n"
            f"  expected: {expected}\n  received: {received!r}" + (f"\n  likely slip: {slip}" if slip else "")
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
        "x[i, j] is one pixel for the whole window: x[i + u, j + v]": x[:OH, :OW] @ W.sum(axis=(0, 1)) + b,
        "x[u, v] is the same window for every output: x[i + u, j + v]": np.broadcast_to(y[0, 0], y.shape),
        "KH is used for KW: the last column of each window is left out": _conv(x[:, :-1], W[:, :KH], b),
        "`return` stands in the loop over i: only row 0 of y is done": _first(y, 1),
        "`return` stands in the loop over j: only y[0, 0] is done": _first(y, 2),
        "`return` stands in the loop over f: only y[0, 0, 0] is done": _first(y, 3),
        "`return` stands in the loop over c: only the first product is added": _first(
            x[0, 0, 0] * W[0, 0, 0, 0] + b[0] + np.zeros_like(y), 3
        ),
    }
    agree(found, y, "y", slips)


def _first(whole: Array, axes: int, start: int = 0) -> Array:
    """What is done of `whole` if loops over `axes` axes, from `start` on, end in their first round."""
    place = (slice(None),) * start + (0,) * axes
    done = np.zeros_like(whole)
    done[place] = whole[place]
    return done


def _conv(x: Array, W: Array, b: Array) -> Array:
    """The convolution of one image x (H, W, C): (OH, OW, F)."""
    y: Array = NumpyBackend().conv2d(x[None], W, b, Window(W.shape[:2]))[0][0]
    return y


def _grade_im2col(f: Callable[..., Any]) -> None:
    x = _images()
    square = NumpyBackend().im2col(x, SQUARE)
    _grade_edges(lambda: _grade_im2col_alone(f), lambda: f(x, *SQUARE.size, 1, 0), square)


def _images() -> Array:
    return np.random.default_rng(7).normal(size=IMAGES)


SQUARE = Window((2, 2))


def _grade_edges(grade: Callable[[], None], answer_for_squares: Callable[[], Any], expected: Array) -> None:
    """Grade. If that ends in an error of NumPy's, and windows with equal edges come out right, say why."""
    try:
        grade()
    except (ValueError, IndexError) as error:
        try:
            found = answer_for_squares()
        except (ValueError, IndexError):
            raise error from None
        if np.shape(found) != expected.shape or not np.allclose(found, expected):
            raise
        raise Wrong(
            f"windows of 2 x 2 come out right, those of 2 x 3 do not: {error}\n"
            "  likely slip: KH is used for KW, or KW for KH"
        ) from error


def _grade_im2col_alone(f: Callable[..., Any]) -> None:
    x = _images()
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
            "the stride is missing: window (i, j) begins at pixel (i * stride, j * stride)": ops.windows(
                x, _window(1, padding)
            )[:, : windows.shape[1], : windows.shape[2]],
            "`return` stands in the loop over i: only the windows of row 0 are done": _first(windows, 1, 1),
            "`return` stands in the loop over j: only window (0, 0) is done": _first(windows, 2, 1),
            "`return` stands in the loop over the images: only image 0 is done": _first(windows, 1),
        }
        agree(
            found,
            windows.reshape(shape),
            f"cols, for stride {stride} and padding {padding},",
            {hint: value.reshape(shape) for hint, value in slips.items()},
        )
    check_single(f, x, KH, KW, 1, 0)


def _window(stride: int, padding: int) -> Window:
    return Window(KERNEL, (stride, stride), ((padding, padding), (padding, padding)))


def _cols_shape(images: Shape, stride: int, padding: int) -> Shape:
    OH, OW = _window(stride, padding).output(images[1:])
    return images[0] * OH * OW, KERNEL[0] * KERNEL[1] * images[3]


def _cols_slips(images: Shape, stride: int, padding: int, shape: Shape) -> dict[Shape, str]:
    """Shapes of wrong cols, which should have `shape`: the hint for each."""
    rows, width = shape
    (N, _, _, C), (KH, KW) = images, KERNEL
    OH, OW = _window(stride, padding).output(images[1:])
    slips = {
        (N, OH, OW, KH, KW, C): "reshape it at the end, to (N * OH * OW, KH * KW * C)",
        (rows, KH, KW, C): "reshape it at the end: a window is one row of KH * KW * C numbers",
        _cols_shape(images, stride, 0): "the padding is missing",
        _cols_shape(images, 1, padding): "the stride is missing: one window and the next are `stride` apart",
        (rows // images[0], width): "the windows of one image only: a missing loop over the batch",
        (rows, width // images[3]): "a missing channel axis: each pixel of a window has C numbers",
        (images[0], rows // images[0], width): "one list of rows for the whole batch: reshape to two axes",
    }
    for size, hint in {KH: "KH is used for KW", KW: "KW is used for KH"}.items():
        square = Window((size, size), (stride, stride), ((padding, padding), (padding, padding)))
        slips[N * math.prod(square.output(images[1:])), size * size * C] = hint
    return {each: hint for each, hint in slips.items() if each != shape}


def _grade_col2im(f: Callable[..., Any]) -> None:
    ops = NumpyBackend()
    cols = ops.im2col(_images(), SQUARE)
    square = ops.col2im(cols, IMAGES, SQUARE)
    _grade_edges(lambda: _grade_col2im_alone(f), lambda: f(cols, IMAGES, *SQUARE.size, 1, 0), square)


def _grade_col2im_alone(f: Callable[..., Any]) -> None:
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
            slips={
                padded: "the padding is not cut off",
                (N, 0, 0, C): "[padding:-padding] is empty where padding is 0: write [padding : padding + H]",
            },
        )
        expected = ops.col2im(cols, IMAGES, window)
        bare = Window(KERNEL, window.stride)
        copies = ops.col2im(np.ones_like(cols), IMAGES, window)
        OH, OW = window.output((H, W))
        windows = cols.reshape(N, OH, OW, KH, KW, C)
        written = overwritten(windows, padded, stride)
        orders = {
            "(N, OW, OH, KH, KW, C)": cols.reshape(N, OW, OH, KH, KW, C).transpose(0, 2, 1, 3, 4, 5),
            "(OH, OW, N, KH, KW, C)": cols.reshape(OH, OW, N, KH, KW, C).transpose(2, 0, 1, 3, 4, 5),
            "(N, OH, OW, KW, KH, C)": cols.reshape(N, OH, OW, KW, KH, C).transpose(0, 1, 2, 4, 3, 5),
            "(N, OH, OW, C, KH, KW)": cols.reshape(N, OH, OW, C, KH, KW).transpose(0, 1, 2, 4, 5, 3),
            "(N, KH, KW, OH, OW, C)": cols.reshape(N, KH, KW, OH, OW, C).transpose(0, 3, 4, 1, 2, 5),
        }
        unstrided = np.zeros(padded)
        unstrided[:, : OH + KH - 1, : OW + KW - 1] = ops.col2im(
            cols, (N, OH + KH - 1, OW + KW - 1, C), Window(KERNEL)
        )
        inside = (slice(None), slice(padding, padding + H), slice(padding, padding + W))
        slips = {
            "overlapping windows are overwritten instead of added: += in place of =": written[inside],
            "the padding is cut off on the wrong side: the image begins at row `padding`": ops.col2im(
                cols, padded, bare
            )[:, :H, :W],
            "overlapping windows are averaged instead of added": expected / np.maximum(copies, 1.0),
            "the stride is missing: window (i, j) lies at pixel (i * stride, j * stride)": unstrided[inside],
        }
        for order, value in orders.items():
            hint = f"cols is read as if it were {order}; its order is that of im2col: (N, OH, OW, KH, KW, C)"
            slips[hint] = ops.col2im(value.reshape(cols.shape), IMAGES, window)
        for axes, hint in {1: "i: only the windows of row 0 are", 2: "j: only window (0, 0) is"}.items():
            done = _first(windows, axes, start=1).reshape(cols.shape)
            slips[f"`return` stands in the loop over {hint} added"] = ops.col2im(done, IMAGES, window)
        agree(found, expected, f"dx, for stride {stride} and padding {padding},", slips, misplaced=MISPLACED)
        if (stride, padding) == GEOMETRIES[-1]:
            check_single(f, cols, IMAGES, KH, KW, stride, padding, like="cols")


MISPLACED = "all is added, but put at the wrong places: window (i, j) lies at (i * stride, j * stride)"
"""The hint where the total is right, as it is wherever the windows are put."""


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
