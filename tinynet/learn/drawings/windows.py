"""Pictures of windows that move over a small image: convolution, im2col, col2im, pooling, with their numbers.

A window is marked by its frame, by a tint and by its number, so that no picture depends on colours alone.
matplotlib is imported when a picture is drawn, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinynet.plots.style import BLUE, GREEN, INK, ORANGE, RED
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]
"""A window on a grid: its first row, its first column, its rows, its columns."""
COLOURS = (BLUE, RED, GREEN, ORANGE)
INCHES_PER_CELL = 0.36


def number_grid(
    axes: Axes,
    values: Array,
    title: str = "",
    *,
    boxes: Sequence[Box] = (),
    colours: Sequence[str] = COLOURS,
    padding: int = 0,
    digits: int = 0,
) -> None:
    """Draw `values` (rows, columns) as a table of numbers with `boxes` framed in `colours`.

    The outermost `padding` rows and columns are grey, as zeros around an image. NaN is an empty cell.
    """
    from matplotlib.patches import Rectangle

    rows, columns = values.shape
    for i in range(rows):
        for j in range(columns):
            inside = padding <= i < rows - padding and padding <= j < columns - padding
            shade = "white" if inside else "#E6E6E6"
            axes.add_patch(Rectangle((j, i), 1, 1, facecolor=shade, edgecolor="#BBBBBB", lw=0.8))
            if np.isfinite(values[i, j]):
                text = f"{values[i, j]:.{digits}f}"
                size = 9 if len(text) < 5 else 7
                axes.text(j + 0.5, i + 0.53, text, ha="center", va="center", color=INK, size=size)
    for (top, left, height, width), colour in zip(boxes, colours, strict=False):
        axes.add_patch(Rectangle((left, top), width, height, facecolor=colour, alpha=0.18, edgecolor="none"))
        axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=colour, lw=2.4))
    axes.set_xlim(-0.1, columns + 0.1)
    axes.set_ylim(rows + 0.1, -0.1)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_title(title, size=9, color=INK)


def convolution(
    x: Array, kernel: Array, places: Sequence[tuple[int, int]], stride: int = 1, padding: int = 0
) -> Figure:
    """The window of each output pixel (i, j) in `places` on an image x (H, W), and the number it gives.

    `kernel` (KH, KW). Each frame shows the image above, and below the output as far as it is known by then.
    """
    padded = np.pad(x, padding)
    KH, KW = kernel.shape
    OH, OW = (padded.shape[0] - KH) // stride + 1, (padded.shape[1] - KW) // stride + 1
    y = np.full((OH, OW), np.nan)
    rows, columns = padded.shape
    figure = _figure(KW + 1 + (columns + 1) * len(places), rows + OH + 5)
    widths = [KW] + [columns] * len(places)
    parts = figure.subplots(2, len(places) + 1, width_ratios=widths, height_ratios=[rows, OH])
    number_grid(parts[0, 0], kernel, "kernel")
    parts[1, 0].set_axis_off()
    order = [(i, j) for i in range(OH) for j in range(OW)]
    for number, place in enumerate(places):
        for i, j in order[: order.index(place) + 1]:
            y[i, j] = (padded[i * stride : i * stride + KH, j * stride : j * stride + KW] * kernel).sum()
        i, j = place
        colour = COLOURS[number % len(COLOURS)]
        above, below = parts[:, number + 1]
        window, title = (i * stride, j * stride, KH, KW), f"window ({i}, {j})"
        number_grid(above, padded, title, boxes=[window], colours=[colour], padding=padding)
        number_grid(below, y, f"y[{i}, {j}] = {y[i, j]:.0f}", boxes=[(i, j, 1, 1)], colours=[colour])
    return figure


def im2col(x: Array, size: tuple[int, int], places: Sequence[tuple[int, int]]) -> Figure:
    """Windows of `size` (KH, KW) at `places` on an image x (H, W), and the rows that they become in cols."""
    (H, W), (KH, KW) = x.shape, size
    OH, OW = H - KH + 1, W - KW + 1
    cols = np.stack([x[i : i + KH, j : j + KW].ravel() for i in range(OH) for j in range(OW)])
    figure = _figure((W + 1) * len(places), H + len(cols) + 4)
    parts = figure.subplots(2, len(places), height_ratios=[H, len(cols)], squeeze=False)
    for number, (i, j) in enumerate(places):
        colour = COLOURS[number % len(COLOURS)]
        title = f"window ({i}, {j}): row {i * OW + j}"
        number_grid(parts[0, number], x, title, boxes=[(i, j, KH, KW)], colours=[colour])
    for axes in parts[1]:
        axes.remove()
    below = figure.add_subplot(parts[1, 0].get_gridspec()[1, :])
    rows = [(i * OW + j, 0, 1, KH * KW) for i, j in places]
    number_grid(below, cols, f"cols {cols.shape[0]} x {cols.shape[1]}: a window in each row", boxes=rows)
    for number, (i, j) in enumerate(places):
        below.text(
            KH * KW + 0.25,
            i * OW + j + 0.53,
            f"← window ({i}, {j})",
            va="center",
            size=9,
            color=COLOURS[number % len(COLOURS)],
            weight="bold",
        )
    return figure


def col2im(cols: Array, shape: tuple[int, int], size: tuple[int, int], steps: Sequence[int]) -> Figure:
    """The rows of `cols` (OH·OW, KH·KW) added one after another into an image of `shape` (H, W).

    Each frame shows the window of the row that comes last in `steps`, and below it the image so far.
    """
    (H, W), (KH, KW) = shape, size
    OW = W - KW + 1
    figure = _figure((W + 1) * len(steps), KH + H + 5)
    parts = figure.subplots(2, len(steps), height_ratios=[KH, H], squeeze=False)
    image = np.zeros(shape)
    done = 0
    for number, step in enumerate(steps):
        while done <= step:
            i, j = divmod(done, OW)
            image[i : i + KH, j : j + KW] += cols[done].reshape(size)
            done += 1
        i, j = divmod(step, OW)
        colour = COLOURS[number % len(COLOURS)]
        above = parts[0, number]
        number_grid(
            above, cols[step].reshape(size), f"row {step} of dcols", boxes=[(0, 0, *size)], colours=[colour]
        )
        above.set_xlim(-j - 0.1, W - j + 0.1)  # above the columns on which it lies
        title = f"dx after rows 0 to {step}" if step else "dx after row 0"
        number_grid(parts[1, number], image, title, boxes=[(i, j, KH, KW)], colours=[colour])
    return figure


def pooling(x: Array, size: int, stride: int, by: str, dy: Array) -> Figure:
    """Pooling of an image x (H, W) forward and back: x, y, dy (OH, OW) and dx. `by` is "max" or "mean".

    Of max-pooling the winners are framed, in x and in dx.
    """
    OH, OW = dy.shape
    y, dx = np.zeros_like(dy), np.zeros_like(x)
    won: list[tuple[int, int]] = []
    winners: list[Box] = []
    for i in range(OH):
        for j in range(OW):
            top, left = i * stride, j * stride
            window = x[top : top + size, left : left + size]
            if by == "max":
                u, v = divmod(int(window.argmax()), size)
                y[i, j] = window[u, v]
                dx[top + u, left + v] += dy[i, j]
                inset = 0.12 * won.count((top + u, left + v))  # so that each frame of one pixel is seen
                winners.append((top + u + inset, left + v + inset, 1 - 2 * inset, 1 - 2 * inset))
                won.append((top + u, left + v))
            else:
                y[i, j] = window.mean()
                dx[top : top + size, left : left + size] += dy[i, j] / size**2
    digits = 0 if by == "max" else 2
    windows: list[Box] = [(i * stride, j * stride, size, size) for i in range(OH) for j in range(OW)]
    pixels: list[Box] = [(i, j, 1, 1) for i in range(OH) for j in range(OW)]
    H, W = x.shape
    figure = _figure(2 * W + 2 * OW + 9, H + 3)
    parts = figure.subplots(1, 4, width_ratios=[W, OW + 1, OW + 1, W])
    many = [COLOURS[k % len(COLOURS)] for k in range(len(pixels))]
    chosen = winners if by == "max" else windows
    title = "x: the winners" if by == "max" else "x: the windows"
    number_grid(parts[0], x, title, boxes=chosen, colours=many)
    number_grid(parts[1], y, f"y: the {by}", boxes=pixels, colours=many, digits=digits)
    number_grid(parts[2], dy, "dy", boxes=pixels, colours=many)
    number_grid(parts[3], dx, "dx", boxes=chosen, colours=many, digits=digits)
    if by == "max" and stride >= size:
        for axes in (parts[0], parts[3]):
            _frames(axes, windows)
    return figure


def copies(S: Array, pixels: tuple[int, int], windows: tuple[int, int]) -> Figure:
    """The matrix S (numbers of cols, pixels) with which im2col is cols = S x, and beside it Sᵀ, of col2im.

    `pixels` (H, W) and `windows` (OH·OW, KH·KW) are what its columns and rows count.
    """
    figure = _figure(26, 17)
    left, right = figure.subplots(1, 2, width_ratios=S.shape[::-1])
    for axes, matrix, title, across, down in (
        (left, S, f"im2col: S {S.shape[0]} x {S.shape[1]}", "pixel of x", "number in cols"),
        (right, S.T, f"col2im: Sᵀ {S.shape[1]} x {S.shape[0]}", "number in dcols", "pixel of dx"),
    ):
        rows, columns = np.nonzero(matrix)
        axes.scatter(columns, rows, s=9, marker="s", color=BLUE)
        axes.set_xlim(-1, matrix.shape[1])
        axes.set_ylim(matrix.shape[0], -1)
        axes.set_aspect("equal")
        axes.set_title(title, size=10, color=INK)
        axes.set_xlabel(across)
        axes.set_ylabel(down)
        axes.grid(True, color="#EEEEEE")
        axes.set_axisbelow(True)
    for at in range(windows[1], windows[0] * windows[1], windows[1]):
        left.axhline(at - 0.5, color="#BBBBBB", lw=0.6)
        right.axvline(at - 0.5, color="#BBBBBB", lw=0.6)
    left.set_xticks(range(0, S.shape[1], pixels[1]))
    right.set_yticks(range(0, S.shape[1], pixels[1]))
    return figure


def pictures(images: Sequence[Array], titles: Sequence[str], columns: int = 8) -> Figure:
    """Images (H, W) in thin frames, each with its title: white is its least value, black its greatest."""
    rows = -(-len(images) // columns)
    figure = _figure(4.2 * columns, 4.9 * rows)
    every = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in every[len(images) :]:
        axes.set_axis_off()
    for axes, image, title in zip(every, images, titles, strict=False):
        axes.imshow(image, cmap="Greys")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color="#BBBBBB", linewidth=0.6)
        axes.set_title(title, size=9, color=INK)
    return figure


def _frames(axes: Axes, boxes: Sequence[Box]) -> None:
    """Thin dark frames around windows that do not overlap."""
    from matplotlib.patches import Rectangle

    for top, left, height, width in boxes:
        axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=INK, lw=1.1))


def _figure(columns: float, rows: float) -> Figure:
    """A figure as large as so many cells of a table."""
    from matplotlib.figure import Figure

    return Figure(figsize=(columns * INCHES_PER_CELL, rows * INCHES_PER_CELL), layout="constrained")
