"""Pictures of training against validation: the curves of several ways to train, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinynet.learn.pictures import drawing
from tinynet.plots.style import BLUE, INK, ORANGE, RED
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def two_losses(training: Sequence[float], validation: Sequence[float], title: str) -> Figure:
    """The loss on what was learned and on what was not, over the epochs; its least is marked."""
    epochs = np.arange(1, len(training) + 1)
    best = int(np.argmin(validation))
    with drawing(7.0, 3.6) as figure:
        axes = figure.add_subplot()
        axes.plot(epochs, training, color=BLUE, ls="--", label="images it learns from")
        axes.plot(epochs, validation, color=RED, label="images it has not seen")
        axes.plot(epochs[best], validation[best], "o", color=RED, markersize=9, fillstyle="none")
        axes.annotate(
            "least", (epochs[best], validation[best]), (0, 9), textcoords="offset points", ha="center"
        )
        axes.set(xlabel="epoch", ylabel="loss", title=title, ylim=(0, None))
        axes.legend(loc="upper right")
    return figure


def against_none(curves: Mapping[str, Array], ylabel: str) -> Figure:
    """A panel for each way to train: its curves (seeds, epochs) and their mean, and those of the first.

    Shorter runs are filled up with NaN.
    """
    (name, none), *others = curves.items()
    with drawing(2.6 * len(others), 3.1) as figure:
        panels = figure.subplots(1, len(others), sharey=True, squeeze=False).ravel()
        for axes, (other, values) in zip(panels, others, strict=True):
            for runs, colour, dashes, label in ((none, INK, ":", name), (values, RED, "-", other)):
                epochs = np.arange(1, runs.shape[1] + 1)
                axes.plot(epochs, runs.T, color=colour, ls=dashes, lw=0.7, alpha=0.5)
                axes.plot(epochs, _mean(runs), color=colour, ls=dashes, lw=2.2, label=label)
            axes.set(title=other, xlabel="epoch")
            axes.legend(loc="upper right", fontsize=8)
        panels[0].set_ylabel(ylabel)
    return figure


def outcomes(accuracies: Mapping[str, Array], title: str) -> Figure:
    """The test accuracy of each run (seeds,), a line for each way to train; a bar stands at their mean."""
    names = list(accuracies)
    with drawing(7.0, 0.42 * len(names) + 1.2) as figure:
        axes = figure.add_subplot()
        for row, values in enumerate(accuracies.values()):
            axes.plot(
                100 * values, np.full(len(values), row), "o", color=BLUE, markersize=8, fillstyle="none"
            )
            axes.plot(100 * values.mean(), row, "|", color=RED, markersize=18, markeredgewidth=3)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="test accuracy, %", title=title, ylim=(len(names) - 0.4, -0.6))
    return figure


def before_and_after(images: Array, columns: int) -> Figure:
    """Images (N, H, W) as ink on paper, the first of each row framed: the one the others were made from."""
    rows = len(images) // columns
    with drawing(0.9 * columns, 0.95 * rows) as figure:
        for place, (axes, image) in enumerate(
            zip(figure.subplots(rows, columns).ravel(), images, strict=True)
        ):
            axes.imshow(image, cmap="gray_r", vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            is_first = place % columns == 0
            axes.spines[:].set(visible=True, color=ORANGE if is_first else "#CCCCCC", lw=3 if is_first else 1)
    return figure


def weight_sizes(weights: Mapping[str, Array], title: str) -> Figure:
    """How large the weights of several nets are: a histogram of each, as outlines on one scale."""
    top = max(float(np.abs(values).max()) for values in weights.values())
    with drawing(7.0, 3.2) as figure:
        axes = figure.add_subplot()
        for (name, values), colour, dashes in zip(
            weights.items(), (INK, RED, BLUE), (":", "-", "--"), strict=False
        ):
            counts, edges = np.histogram(values, 80, (-top, top))
            axes.stairs(counts, edges, color=colour, ls=dashes, lw=1.8, label=name)
        axes.set(xlabel="weight", ylabel="how many", yscale="log", title=title)
        axes.legend(loc="upper right")
    return figure


def _mean(runs: Array) -> Array:
    """The mean over the runs that are still going, epoch by epoch."""
    going = ~np.isnan(runs)
    mean: Array = np.where(going, runs, 0.0).sum(axis=0) / np.maximum(going.sum(axis=0), 1)
    return np.where(going.any(axis=0), mean, np.nan)
