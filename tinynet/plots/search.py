"""Pictures of a search over settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from tinynet.errors import DataError, ShapeError
from tinynet.io.markdown import percent
from tinynet.plots.style import BLUE, ORANGE, RED, figure_at, headline
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


def search_history(
    numbers: Sequence[int],
    accuracy: Sequence[float],
    complete: Sequence[bool],
    path: str | Path,
    *,
    samples: int,
) -> None:
    """Draw the validation error of each trial of a search, and of the best so far.

    numbers (T,) of the trials, rising   accuracy (T,) in 0 … 1   complete (T,) bool, at least one of them:
    False for a trial that was pruned   samples: how many images judged

    Raises ShapeError if these do not fit, ConfigError and OSError as `learning_curve` does.
    """
    from matplotlib.ticker import MaxNLocator

    error, done, best = _checked_trials(accuracy, complete, samples, len(numbers))
    reached = np.minimum.accumulate(np.where(done, error, np.inf))
    with figure_at(path, 7.2, 4.0) as figure:
        axes = figure.add_subplot()
        axes.step(numbers, reached, where="post", color=ORANGE, label="best so far")
        _draw_trials(axes, np.asarray(numbers), error, done, best)
        _scale_error(axes, error)
        axes.set(
            title=f"Best of {len(numbers)} trials: trial {numbers[best]}, {percent(accuracy[best])} right",
            xlabel="trial",
            ylabel="validation error (%)",
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        figure.legend(loc="outside lower right", ncols=3)


def search_settings(
    settings: Mapping[str, Sequence[float]],
    accuracy: Sequence[float],
    complete: Sequence[bool],
    path: str | Path,
    *,
    samples: int,
    log: Collection[str] = (),
    choices: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Draw the validation error of the trials of a search against each setting that was searched.

    settings: for each name its values (T,), for one in `choices` the number of the choice from 0   log: names
    with a logarithmic axis   choices: the names of the choices   others as for `search_history`

    Raises as `search_history` does.
    """
    error, done, best = _checked_trials(accuracy, complete, samples, *map(len, settings.values()))
    columns = min(3, len(settings))
    rows = -(-len(settings) // columns)
    with figure_at(path, max(3.2 * columns, 5.6), 2.7 * rows + 0.6) as figure:
        right = percent(accuracy[best])
        title = f"Error by setting: the best of {len(accuracy)} trials, {right} right, is ringed"
        headline(figure, title)
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for panel in panels[len(settings) :]:
            panel.set_axis_off()
        for panel, (name, values) in zip(panels, settings.items(), strict=False):
            _draw_trials(panel, np.asarray(values), error, done, best)
            if name in choices:
                panel.set_xticks(range(len(choices[name])), [_shortened(each) for each in choices[name]])
                panel.set_xlim(-0.5, len(choices[name]) - 0.5)
            elif name in log:
                panel.set_xscale("log")
                _label_log(panel.xaxis, np.asarray(values))
            panel.set_xlabel(name)
        _scale_error(panels[0], error)
        for panel in panels[: len(settings) : columns]:
            panel.set_ylabel("validation error (%)")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower right", ncols=2)


def _checked_trials(
    accuracy: Sequence[float], complete: Sequence[bool], samples: int, *lengths: int
) -> tuple[Array, Array, int]:
    """(errors in percent, which trials are complete, the place of the best of these).

    No error at all is drawn as half an image: the axis may be logarithmic.
    """
    shares, done = np.asarray(accuracy, dtype=float), np.asarray(complete, dtype=bool)
    if shares.ndim != 1 or done.shape != shares.shape or {*lengths} != {shares.size}:
        raise ShapeError(
            "these trials cannot be drawn",
            expected="for each trial an accuracy, whether it is complete, and its number or settings",
            received=f"accuracy {shares.shape}, complete {done.shape}, and {[*lengths]} of the others",
        )
    if not done.any():
        raise DataError("no trial is complete", expected="at least one", received=f"{shares.size} trials")
    best = int(np.argmax(np.where(done, shares, -1)))
    return 100 * np.maximum(1 - shares, 0.5 / samples), done, best


def _draw_trials(axes: Axes, x: Array, error: Array, complete: Array, best: int) -> None:
    pruned = ~complete
    if pruned.any():
        axes.plot(x[pruned], error[pruned], "o", mfc="none", mec="#888888", label="pruned")
    axes.plot(x[complete], error[complete], "o", color=BLUE, alpha=0.7, mew=0, label="complete")
    axes.plot(x[best], error[best], "o", ms=11, mfc="none", mec=RED, mew=1.6)


def _scale_error(axes: Axes, error: Array) -> None:
    """Logarithmic where trials differ widely."""
    if error.max() > 4 * error.min():
        axes.set_yscale("log")
        _label_log(axes.yaxis, error)
        axes.set_ylim(error.min() / 1.25, error.max() * 1.25)


def _label_log(axis: Axis, values: Array) -> None:
    """Plain numbers on a logarithmic axis: 1, 2, 5, 10, … or, the longer it is, 1, 3, 10, … or 1, 10, …"""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    length = max(values) / min(values)
    steps = (1.0, 2.0, 5.0) if length < 10 else (1.0, 3.0) if length < 100 else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _shortened(text: str, most: int = 14) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
