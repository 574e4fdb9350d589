"""Pictures of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet.errors import DataError
from tinynet.history import BY_LOSS, BestBy
from tinynet.io.markdown import percent
from tinynet.plots.style import BLUE, GREEN, ORANGE, figure_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def learning_curve(
    history: Sequence[Mapping[str, Any]], path: str | Path, *, best_by: BestBy = BY_LOSS
) -> None:
    """Draw loss, accuracy (of values R²) and learning rate over the epochs, training beside validation.

    The best epoch, by `best_by`, has a ring and is named in the title.

    history: one mapping an epoch, with `epoch` (1, 2, …) and any of `loss`, `accuracy`, `r2`, the
    same with `val_` before them, and `learning_rate`; shares are in 0 … 1, and an absent or None value is
    left out.

    Raises DataError for an empty history or one without epochs, ConfigError for a suffix that is not
    .png or .svg, and OSError if the file cannot be written (the old one stays).
    """
    if not history or any("epoch" not in row for row in history):
        raise DataError(
            "this history has no epochs to draw",
            expected="a list of mappings with the key 'epoch'",
            received=f"{len(history)} rows",
            fix="train at least one epoch",
        )
    rates = _series(history, "learning_rate")
    ratios = [3, 3, 1] if rates[0] else [3, 3]
    with figure_at(path, 7.2, 1.0 * sum(ratios) + 0.4) as figure:
        panels = figure.subplots(len(ratios), sharex=True, height_ratios=ratios)
        _draw_pair(panels[0], history, "loss")
        best, has_values = best_by.best(history), any("r2" in row for row in history)
        _draw_pair(panels[1], history, *(("r2", 1) if has_values else ("accuracy", 100)))
        _ring_best(panels[1], best, best_by)
        panels[0].set(title=_curve_title(history, best, best_by), ylabel="loss", ylim=(0, None))
        panels[1].set(ylabel="R²" if has_values else "accuracy (%)")
        if rates[0]:
            panels[2].plot(*rates, color=GREEN, marker="o", clip_on=False)
            panels[2].set(ylabel="learning\nrate", ylim=(0, None))
        first, last = history[0]["epoch"], history[-1]["epoch"]
        margin = max(0.25, 0.03 * (last - first))
        panels[-1].set(xlabel="epoch", xlim=(first - margin, last + margin))
        panels[-1].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        figure.align_ylabels()
        for panel in panels[:2]:
            if panel.lines:
                panel.legend()


def _series(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """The epochs that have a value of `key`, and the values."""
    rows = [row for row in history if row.get(key) is not None]
    return [row["epoch"] for row in rows], [float(row[key]) for row in rows]


def _draw_pair(axes: Axes, history: Sequence[Mapping[str, Any]], key: str, scale: float = 1) -> None:
    for name, label, colour, marker in (
        (key, "training", ORANGE, "o"),
        (f"val_{key}", "validation", BLUE, "s"),
    ):
        epochs, values = _series(history, name)
        if epochs:
            axes.plot(epochs, np.multiply(values, scale), color=colour, marker=marker, label=label)


def _ring_best(axes: Axes, best: Mapping[str, Any] | None, best_by: BestBy) -> None:
    if best is None or best.get("val_accuracy") is None:
        return
    epoch, accuracy = best["epoch"], best["val_accuracy"]
    label = f"epoch {epoch}, best by {_judge(best_by)}: {percent(accuracy)}"
    axes.plot(epoch, 100 * accuracy, "o", ms=11, mfc="none", mec=BLUE, mew=1.4, label=label)


def _judge(best_by: BestBy) -> str:
    return best_by.monitor.removeprefix("val_")


def _curve_title(
    history: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None, best_by: BestBy
) -> str:
    """The validation accuracy of the ringed epoch, or else of the last; without validation the training's."""
    if best is not None and best.get("val_accuracy") is not None:
        where = f"in epoch {best['epoch']},\nthe best of {len(history)} by {_judge(best_by)} (ring)"
        return f"Validation accuracy {percent(best['val_accuracy'])} {where}"
    for key, name in (("val_accuracy", "validation"), ("accuracy", "training")):
        epochs, values = _series(history, key)
        if values:
            after = f"{epochs[-1]} epoch{'s' if epochs[-1] > 1 else ''}"
            return f"{name.capitalize()} accuracy {percent(values[-1])} after {after}"
    for key, name in (("val_r2", "Validation"), ("r2", "Training")):
        epochs, values = _series(history, key)
        if values:
            return f"{name} R² {values[-1]:.4f} after {epochs[-1]} epoch{'s' if epochs[-1] > 1 else ''}"
    return "Learning curve: no accuracy is recorded"
