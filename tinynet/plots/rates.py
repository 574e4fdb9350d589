"""The picture of a search for a learning rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinynet.errors import ShapeError
from tinynet.plots.style import BLUE, ORANGE, RED, figure_at
from tinynet.types import Array


def rate_curve(
    rates: Array, losses: Array, smoothed: Array, path: str | Path, *, suggestion: float | None = None
) -> None:
    """Draw the loss of each step over its learning rate, and the smoothed loss; a diamond on that marks the
    suggested rate.

    rates (S,) above 0, rising   losses (S,) and smoothed (S,), both finite   suggestion: one of the rates

    Raises ShapeError if these do not fit, ConfigError and OSError as `learning_curve` does.
    """
    if not rates.ndim == 1 or not rates.shape == losses.shape == smoothed.shape or not len(rates):
        raise ShapeError(
            "these losses cannot be drawn",
            expected="for each learning rate a loss and a smoothed one",
            received=f"rates {rates.shape}, losses {losses.shape} and smoothed {smoothed.shape}",
        )
    with figure_at(path, 7.2, 4.0) as figure:
        axes = figure.add_subplot()
        axes.plot(rates, losses, "o", ms=3.5, mfc="none", mec=ORANGE, label="of each batch")
        axes.plot(rates, smoothed, color=BLUE, label="smoothed")
        title = "The loss falls at no rate"
        if suggestion is not None:
            title = f"The loss falls most steeply at a learning rate of {suggestion:.2g}"
            height = float(np.interp(np.log(suggestion), np.log(rates), smoothed))
            axes.axvline(suggestion, color=RED, ls="--", lw=1.2)
            label = f"suggested: {suggestion:.2g}"
            axes.plot(suggestion, height, "D", ms=9, mfc="white", mec=RED, mew=1.8, label=label)
        axes.set(
            title=title,
            xlabel="learning rate",
            ylabel="training loss",
            xscale="log",
            ylim=_limits(losses, smoothed),
        )
        axes.legend()


def _limits(losses: Array, smoothed: Array) -> tuple[float, float]:
    """From the lowest loss to above the fall: one that explodes would flatten all the rest."""
    low = float(losses.min())
    high = max(float(smoothed[: smoothed.argmin() + 1].max()), float(np.median(losses)))
    height = high - low or 1.0
    return low - 0.05 * height, high + 0.5 * height
