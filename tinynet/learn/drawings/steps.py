"""Pictures of small gains: steps with their intervals, two losses, and how far the best of many flatters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinynet.learn.pictures import drawing
from tinynet.plots.style import BLUE, INK, ORANGE, RED
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def steps(rows: Mapping[str, tuple[Array, tuple[float, float]]], title: str) -> Figure:
    """A line for each step: the accuracies (nets,) as rings, their mean as a bar, an interval as a band."""
    with drawing(7.0, 0.5 * len(rows) + 1.3) as figure:
        axes = figure.add_subplot()
        for place, (values, (low, high)) in enumerate(rows.values()):
            axes.barh(place, 100 * (high - low), 0.55, 100 * low, color="#D9E8F3")
            axes.plot(100 * values.mean(), place, "|", color=RED, markersize=18, markeredgewidth=3)
            axes.plot(100 * values, np.full(len(values), place), "o", color=BLUE, ms=8, fillstyle="none")
        axes.use_sticky_edges = False  # a band does not end at the frame
        axes.set_yticks(range(len(rows)), [*rows])
        axes.set(xlabel="accuracy, %", title=title, ylim=(len(rows) - 0.4, -0.6))
    return figure


def two_losses(losses: Mapping[str, Sequence[float]], title: str) -> Figure:
    """Two losses over the epochs, the second drawn thick."""
    with drawing(7.0, 3.2) as figure:
        axes = figure.add_subplot()
        looks = ((ORANGE, 1.5, "--"), (BLUE, 2.5, "-"))
        for (name, values), (colour, width, dashes) in zip(losses.items(), looks, strict=True):
            axes.plot(np.arange(1, len(values) + 1), values, color=colour, lw=width, ls=dashes, label=name)
        axes.set(xlabel="epoch", ylabel="loss on unseen images", title=title, ylim=(0, None))
        axes.legend(loc="upper right")
    return figure


def best_of(counts: Sequence[int], bests: Mapping[str, Sequence[float]], truth: float, title: str) -> Figure:
    """The accuracy that the best of so many trials shows, a curve for each size of the test."""
    with drawing(7.0, 3.2) as figure:
        axes = figure.add_subplot()
        looks = ((RED, "o-"), (BLUE, "s--"))
        for (name, values), (colour, mark) in zip(bests.items(), looks, strict=True):
            axes.plot(counts, 100 * np.asarray(values), mark, color=colour, label=name)
        axes.axhline(100 * truth, color=INK, ls=":", label="how good they all are")
        axes.set(xlabel="trials", ylabel="the best of them, %", title=title)
        axes.legend(loc="center right")
    return figure
