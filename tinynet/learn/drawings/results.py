"""Pictures of how far a figure may be trusted: intervals that hold or miss, and accuracies by luck."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinynet.learn.pictures import drawing
from tinynet.plots.style import BLUE, INK, RED
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def lucky_accuracies(accuracies: Array, truth: float, title: str) -> Figure:
    """A histogram of the accuracies (N,) that one and the same net gets on N test sets."""
    values, counts = np.unique(np.round(accuracies, 6), return_counts=True)
    with drawing(7.0, 3.0) as figure:
        axes = figure.add_subplot()
        gap = float(np.diff(values).min()) if len(values) > 1 else 0.01
        axes.bar(100 * values, counts, 90 * gap, color="#B5D3E7", edgecolor=BLUE)
        axes.axvline(100 * truth, color=RED, ls="--", label="how good the net is")
        axes.set(xlabel="accuracy on a test set, %", ylabel="test sets", title=title)
        axes.legend(loc="upper left")
    return figure


def intervals(low: Array, high: Array, truth: float, title: str) -> Figure:
    """Intervals (N,) of one share, side by side; those that miss it are thick and end in crosses."""
    place = np.arange(1, len(low) + 1)
    misses = (truth < low) | (truth > high)
    with drawing(7.0, 3.2) as figure:
        axes = figure.add_subplot()
        for which, colour, width, mark, label in (
            (~misses, BLUE, 1.5, "_", "holds the truth"),
            (misses, RED, 3.0, "x", "misses it"),
        ):
            axes.vlines(place[which], 100 * low[which], 100 * high[which], color=colour, lw=width)
            axes.plot(place[which], 100 * low[which], mark, color=colour, markersize=6, label=label)
            axes.plot(place[which], 100 * high[which], mark, color=colour, markersize=6)
        axes.axhline(100 * truth, color=INK, ls="--", lw=1.2)
        axes.set(xlabel="test set", ylabel="accuracy, %", title=title)
        axes.margins(y=0.25)
        axes.legend(loc="lower right", ncols=2)
    return figure
