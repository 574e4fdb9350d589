"""Pictures of what layers do: the regions that a net tells apart, and how signals fare with depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from tinynet.learn.pictures import drawing
from tinynet.plots.style import BLUE, GREEN, INK, ORANGE, RED
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SERIES = ((BLUE, "o", "-"), (ORANGE, "s", "--"), (RED, "^", "-."), (GREEN, "D", ":"))
"""Colour, marker and line of the first series, the second, …: each alone tells them apart."""


@dataclass(frozen=True)
class Panel:
    """One classifier of points in the plane. `score`: from points (M, 2) to (M,), above 0 for class 1."""

    title: str
    score: Callable[[Array], Array]
    folds: tuple[Array, Array] | None = None
    """Weights (2, H) and biases (H,) of a hidden layer: the line where each unit is 0 is drawn dotted."""


def regions(panels: Sequence[Panel], points: Array, labels: Array) -> Figure:
    """Where each classifier says 0 and where 1, with the points (M, 2) of labels (M,) in 0, 1."""
    reach = 1.1 * float(np.abs(points).max())
    line = np.linspace(-reach, reach, 201)
    grid = np.stack(np.meshgrid(line, line), axis=-1)
    with drawing(3.1 * len(panels), 3.4) as figure:
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            score = panel.score(grid.reshape(-1, 2)).reshape(grid.shape[:2])
            axes.contourf(line, line, score, levels=[-np.inf, 0.0, np.inf], colors=["#DCEAF4", "#FBEBCB"])
            axes.contour(line, line, score, levels=[0.0], colors=INK, linewidths=1.5)
            if panel.folds:
                _draw_folds(axes, *panel.folds, line)
            for label, (colour, marker, _) in zip((0, 1), SERIES, strict=False):
                mine = points[labels == label]
                axes.plot(
                    *mine.T, marker, color=colour, markersize=4, markeredgecolor=INK, markeredgewidth=0.4
                )
            axes.set(title=panel.title, xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
            axes.set_aspect("equal")
    return figure


def _draw_folds(axes: object, W: Array, b: Array, line: Array) -> None:
    """Each line w₁ u + w₂ v + b = 0, parallel to (-w₂, w₁) through its point next to the origin."""
    for w, offset in zip(W.T, b, strict=True):
        foot, along = -offset * w / (w @ w), np.array([-w[1], w[0]]) / np.linalg.norm(w)
        reach = 3.0 * line[-1]
        u, v = np.stack([foot - reach * along, foot + reach * along], axis=1)
        axes.plot(u, v, ":", color=INK, linewidth=1.2)  # type: ignore[attr-defined]


def spreads(panels: Mapping[str, Mapping[str, Sequence[float]]], depth_label: str = "layer") -> Figure:
    """A panel for each quantity, in it a line for each series: its size at layer 1, 2, …, on a log scale."""
    with drawing(4.2 * len(panels), 3.4) as figure:
        for axes, (title, series) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            for (name, sizes), (colour, marker, line) in zip(series.items(), cycle(SERIES), strict=False):
                axes.semilogy(
                    range(1, len(sizes) + 1), sizes, color=colour, marker=marker, linestyle=line, label=name
                )
            axes.set(title=title, xlabel=depth_label)
            axes.legend()
    return figure


def histograms(rows: Mapping[str, Sequence[Array]], titles: Sequence[str], reach: float) -> Figure:
    """A row of histograms for each net, one for each layer; every horizontal axis goes from 0 to `reach`.

    What lies beyond is counted in the last bar.
    """
    with drawing(2.0 * len(titles) + 0.6, 1.5 * len(rows) + 0.4) as figure:
        grid = figure.subplots(len(rows), len(titles), sharex=True, sharey=True, squeeze=False)
        for line, (name, layers), (colour, _, _) in zip(grid, rows.items(), cycle(SERIES), strict=False):
            for axes, values in zip(line, layers, strict=True):
                values = np.minimum(values.ravel(), reach)
                share = np.full(values.shape, 100.0 / values.size)
                axes.hist(values, bins=20, range=(0.0, reach), weights=share, color=colour, edgecolor="white")
                axes.set(ylim=(0.0, 100.0), yticks=[0, 50, 100])
            line[0].set_ylabel(f"{name}\n% of outputs")
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title)
        figure.supxlabel("output of a unit", fontsize=10)
    return figure
