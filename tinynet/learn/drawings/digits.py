"""Pictures of digits: many of them, the numbers of one, and weights that lie over the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinynet.learn.pictures import drawing
from tinynet.plots.style import RED
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIGNED = "PuOr"
"""Colours around 0: orange below, white at 0, purple above."""


def digits(images: Array, titles: Sequence[str], columns: int = 10) -> Figure:
    """Images (N, H, W) as ink on paper, each under its own title; white is the least value of all, black the
    largest."""
    rows = -(-len(images) // columns)
    lines = max(title.count("\n") for title in titles)
    with drawing(0.95 * columns, (1.12 + 0.15 * lines) * rows) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel in panels[len(images) :]:
            panel.set_axis_off()
        for panel, image, title in zip(panels, images, titles, strict=False):
            panel.imshow(image, cmap="gray_r", vmin=images.min(), vmax=images.max())
            _bare(panel, title)
    return figure


def pixels(image: Array, top: int, left: int, size: int = 9) -> Figure:
    """An image (H, W) of whole numbers, and beside it the numbers of one of its squares.

    The square is `size` pixels wide and begins in row `top` and column `left`.
    """
    window = image[top : top + size, left : left + size]
    with drawing(8.6, 4.3) as figure:
        whole, part = figure.subplots(1, 2)
        whole.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        edges = np.array([left, left + size, left + size, left, left]) - 0.5
        whole.plot(edges, np.array([top, top, top + size, top + size, top]) - 0.5, color=RED, linewidth=2)
        _bare(whole, "the picture", 11)
        part.imshow(window, cmap="gray_r", vmin=0, vmax=255)
        for (row, column), value in np.ndenumerate(window):
            ink = "white" if value > 127 else "black"
            part.text(column, row, str(value), ha="center", va="center", size=8, color=ink)
        _bare(part, f"rows {top} to {top + size - 1}, columns {left} to {left + size - 1}", 11)
        part.spines[:].set(color=RED, linewidth=2)
    return figure


def weights(maps: Array, titles: Sequence[str], columns: int = 10, inches: float = 0.95) -> Figure:
    """Signed maps (N, H, W) in one scale, each `inches` wide: orange below 0, white at 0, purple above."""
    rows, top = -(-len(maps) // columns), float(np.abs(maps).max()) or 1.0
    with drawing(inches * columns + 1.0, (inches + 0.2) * rows) as figure:
        panels = figure.subplots(rows, columns, squeeze=False)
        for panel in panels.ravel()[len(maps) :]:
            panel.set_axis_off()
        for panel, values, title in zip(panels.ravel(), maps, titles, strict=False):
            drawn = panel.imshow(values, cmap=SIGNED, vmin=-top, vmax=top)
            _bare(panel, title)
        figure.colorbar(drawn, ax=panels, shrink=0.9)
    return figure


def _bare(axes: Axes, title: str, size: float = 9) -> None:
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color="#CCCCCC")
    axes.set_title(title, loc="center", size=size, weight="normal", pad=3)
