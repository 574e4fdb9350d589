"""Pictures of one's own hand: strokes on a pad, and the shares of drawings that nets read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinynet.learn.pictures import drawing
from tinynet.metrics import wilson_interval
from tinynet.plots.style import BLUE, INK, RED
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOKS = ((BLUE, "o"), (RED, "s"))
"""Colour and marker of each net."""


def pads(
    drawings: Sequence[Sequence[Array]], titles: Sequence[str], side: float, columns: int = 10
) -> Figure:
    """Drawings, each a list of strokes (points, 2), on pads of `side` x `side`, y downwards.

    Each stroke begins at its ring.
    """
    rows = -(-len(drawings) // columns)
    with drawing(0.95 * columns, 1.2 * rows) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel in panels[len(drawings) :]:
            panel.set_axis_off()
        for panel, strokes, title in zip(panels, drawings, titles, strict=False):
            for stroke in strokes:
                panel.plot(*stroke.T, color=INK, lw=1.5)
                panel.plot(*stroke[0], color=RED, marker="o", ms=5, mfc="none")
            panel.set(xlim=(0, side), ylim=(side, 0), xticks=[], yticks=[], aspect="equal")
            panel.grid(False)
            panel.spines[:].set(visible=True, color="#CCCCCC")
            panel.set_title(title, loc="center", size=9, weight="normal", pad=3)
    return figure


def shares(counts: Mapping[str, Sequence[tuple[int, int]]], nets: Sequence[str], title: str) -> Figure:
    """For each name the share that each net reads, with its 95 % interval; a count is (right, total)."""
    with drawing(7.5, 0.9 + 0.42 * len(counts)) as figure:
        axes = figure.add_subplot()
        for number, (net, (colour, marker)) in enumerate(zip(nets, LOOKS, strict=False)):
            place = np.arange(len(counts)) + 0.26 * (number - (len(nets) - 1) / 2)
            each = [pairs[number] for pairs in counts.values()]
            ends = 100 * np.array([wilson_interval(right, total) for right, total in each])
            axes.hlines(place, ends[:, 0], ends[:, 1], color=colour, lw=2)
            share = [100 * right / total for right, total in each]
            axes.plot(share, place, color=colour, marker=marker, ls="none", label=net)
        axes.set_yticks(range(len(counts)), list(counts))
        axes.set(xlim=(0, 102), ylim=(len(counts) - 0.5, -0.5), xlabel="read rightly, %", title=title)
        figure.legend(loc="outside lower center", ncols=len(nets))
    return figure
