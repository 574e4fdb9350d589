"""Pictures of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet.errors import DataError, ShapeError
from tinynet.io.markdown import percent
from tinynet.plots.style import BLUE, INK, ORANGE, RED, figure_at, headline
from tinynet.printable import counted
from tinynet.types import Array

FEW = 20
"""Predictions in a bin, up to which their axis is not logarithmic."""

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

    from tinynet.metrics import Calibration, Ranking


def confusion_matrix(matrix: Array, classes: Sequence[str], path: str | Path) -> None:
    """Draw who is taken for whom, coloured by error: the share of a true class that went to a wrong one.

    matrix (K, K) of counts, a row for each true class   classes: K names

    The diagonal, hundreds of times larger than the errors, is left out of the colours. Counts are written
    up to 30 classes. Raises ShapeError and DataError for a matrix that does not fit or is empty,
    ConfigError and OSError as `learning_curve` does.
    """
    matrix, k = np.asarray(matrix), len(classes)
    if matrix.shape != (k, k) or k == 0:
        raise ShapeError(
            "the confusion matrix does not fit the names of the classes",
            expected=f"shape ({k}, {k}) for {k} classes, at least one",
            received=matrix.shape,
            fix="pass the matrix of metrics.confusion_matrix, and a name for each class",
        )
    total = int(matrix.sum())
    if total == 0:
        raise DataError(
            "the confusion matrix is empty", expected="counts", received="zeros", fix="give a test set"
        )
    shares = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    errors = np.ma.masked_array(shares, mask=np.eye(k, dtype=bool))
    top = float(errors.filled(0).max()) or 1.0
    size = min(max(0.52 * k, 3.6), 14.0)
    with figure_at(path, size + 1.9, size + 1.3) as figure:
        axes = figure.add_subplot()
        axes.grid(False)
        image = axes.imshow(errors, cmap=_error_colours(), vmin=0, vmax=top)
        axes.set_title(_confusion_title(matrix, classes), x=0)
        long = max(map(len, classes)) > 3
        axes.set_xticks(range(k), classes, rotation=45 if long else 0, ha="right" if long else "center")
        axes.set_yticks(range(k), classes)
        edges = np.arange(1, k) - 0.5
        axes.set_xticks(edges, minor=True)
        axes.set_yticks(edges, minor=True)
        axes.grid(which="minor")
        axes.tick_params(which="both", length=0)
        axes.set(xlabel="predicted", ylabel="true")
        axes.spines[:].set(visible=True, color="#E6E6E6")
        figure.colorbar(image, label="errors, % of the true class", shrink=0.8)
        if k <= 30:
            _write_counts(axes, matrix, shares / top)


def roc(rankings: Sequence[Ranking], classes: Sequence[str], path: str | Path) -> None:
    """Draw the ROC curve of each class against the rest, on the right with small rates spread out.

    rankings: K of `metrics.one_against_rest`   classes: K names. The three lowest areas are in colour.
    Raises DataError where no class has a curve, ConfigError and OSError as `learning_curve` does.
    """
    areas = _areas(rankings, "roc_auc")
    with figure_at(path, 9.2, 4.6) as figure:
        whole, near = figure.subplots(1, 2)
        headline(figure, _area_title("ROC", "area", areas, classes))
        chance = np.linspace(0, 1, 1001)
        for axes in (whole, near):
            _draw_classes(axes, rankings, areas, classes, _roc_points)
            axes.plot(chance, chance, color="#999999", lw=1, ls=":", label="chance")
            axes.set(xlabel="false positive rate", ylabel="true positive rate", ylim=(-0.02, 1.02))
        whole.set(xlim=(-0.02, 1.02), aspect="equal")
        smallest = 1 / max(int(r.false_positives[-1]) for r in rankings)
        near.set_xscale("symlog", linthresh=smallest, linscale=0.5)
        near.set(xlim=(0, 1), ylabel="")
        near.set_title("small rates spread out", size=10, weight="normal")
        near.minorticks_off()
        whole.legend(loc="lower right", title="class (area)", alignment="left")


def precision_recall(rankings: Sequence[Ranking], classes: Sequence[str], path: str | Path) -> None:
    """Draw precision over recall of each class against the rest, on the right the corner where they meet.

    Arguments and errors are those of `roc`. The three lowest average precisions are in colour.
    """
    areas = _areas(rankings, "average_precision")
    with figure_at(path, 9.2, 4.6) as figure:
        panels = figure.subplots(1, 2)
        title = _area_title("Precision over recall", "average precision", areas, classes)
        headline(figure, title)
        for axes in panels:
            _draw_classes(axes, rankings, areas, classes, _precision_points)
            axes.set(xlabel="recall", ylabel="precision", aspect="equal")
        whole, near = panels
        gap = 1 - min(_break_even(ranking) for ranking in rankings if ranking.is_curve)
        start = float(np.clip(1 - 3 * gap, 0, 0.99))
        for axes, low in ((whole, 0.0), (near, start)):
            margin = 0.02 * (1 - low)
            axes.set(xlim=(low - margin, 1 + margin), ylim=(low - margin, 1 + margin))
        near.set(ylabel="")
        near.set_title("the corner, larger", size=10, weight="normal")
        whole.legend(loc="lower left", title="class (average precision)", alignment="left")


def reliability(calibration: Calibration, path: str | Path) -> None:
    """Draw the accuracy of each bin of confidence against the diagonal, where both agree, and the counts.

    Raises ConfigError and OSError as `learning_curve` does.
    """
    edges, filled = calibration.edges, calibration.count > 0
    confidence, accuracy = calibration.confidence[filled], calibration.accuracy[filled]
    lefts, widths = edges[:-1][filled], np.diff(edges)[filled]
    with figure_at(path, 5.6, 6.2) as figure:
        rates, counts = figure.subplots(2, sharex=True, height_ratios=[3, 1])
        rates.bar(lefts, accuracy, widths, align="edge", color="#B5D3E7", edgecolor="white", label="accuracy")
        rates.vlines(confidence, accuracy, confidence, color=RED, lw=3, label="gap to the confidence")
        rates.plot([0, 1], [0, 1], color=INK, lw=1, ls="--", label="perfectly calibrated")
        rates.plot(confidence, accuracy, "o", color=BLUE, clip_on=False)
        rates.set(ylabel="accuracy", ylim=(0, 1.02), xlim=(0, 1), title=_reliability_title(calibration))
        rates.legend(loc="upper left")
        counts.bar(lefts, calibration.count[filled], widths, align="edge", color=BLUE, edgecolor="white")
        counts.set(xlabel="confidence of the prediction", ylabel="predictions")
        if calibration.count.max() > FEW:
            counts.set(yscale="log", ylim=(0.7, None))
        else:
            counts.yaxis.get_major_locator().set_params(integer=True)


def _confusion_title(matrix: Array, classes: Sequence[str]) -> str:
    right = f"Confusion matrix: {percent(np.trace(matrix) / matrix.sum())} right"
    errors = matrix - np.diag(np.diag(matrix))
    i, j = divmod(int(errors.argmax()), len(classes))
    times = int(errors[i, j])
    if times == 0:
        return f"{right}, no errors"
    return f"{right}\nmost confused: {classes[i]} → {classes[j]} ({times} time{'s' if times > 1 else ''})"


def _write_counts(axes: Axes, matrix: Array, strength: Array) -> None:
    size = 9 if len(matrix) <= 15 else 6
    for (i, j), count in np.ndenumerate(matrix):
        if i == j:
            axes.text(j, i, f"{count}", ha="center", va="center", size=size, color=BLUE, weight="bold")
        elif count:
            ink = "white" if strength[i, j] > 0.9 else INK
            axes.text(j, i, f"{count}", ha="center", va="center", size=size, color=ink)


def _error_colours() -> Colormap:
    """White for no errors to vermilion for the most; the diagonal, which is masked, a pale blue."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("errors", ["white", RED]).with_extremes(bad="#E3EEF5")


def _areas(rankings: Sequence[Ranking], name: str) -> Array:
    """The area of that name under each curve, (K,), and NaN where there is none."""
    areas = np.array([getattr(ranking, name) if ranking.is_curve else np.nan for ranking in rankings])
    if np.isnan(areas).all():
        raise DataError(
            "there is no curve to draw",
            expected="at least one class with samples in it and others outside",
            received="none",
            fix="evaluate on samples of two classes or more",
        )
    return areas


def _draw_classes(
    axes: Axes,
    rankings: Sequence[Ranking],
    areas: Array,
    classes: Sequence[str],
    points: Callable[[Ranking], tuple[Array, Array]],
) -> None:
    """Every curve in grey but the three lowest, which stand out by colour and by dashes."""
    lowest = [k for k in np.argsort(areas, kind="stable")[:3] if not np.isnan(areas[k])]
    grey: dict[str, Any] = {"color": "#BBBBBB", "lw": 1, "label": "the others"}
    for k, ranking in enumerate(rankings):
        if k not in lowest and ranking.is_curve:
            axes.plot(*points(ranking), **grey)
            grey["label"] = None
    for k, colour, dashes in zip(lowest, (RED, BLUE, ORANGE), ("-", "--", "-."), strict=False):
        label = f"{classes[k]} ({areas[k]:.5f})"
        axes.plot(*points(rankings[k]), color=colour, ls=dashes, label=label)


def _roc_points(ranking: Ranking) -> tuple[Array, Array]:
    """From (0, 0), where nothing is called positive."""
    rates = ranking.false_positive_rate, ranking.true_positive_rate
    return np.concatenate([[0], rates[0]]), np.concatenate([[0], rates[1]])


def _precision_points(ranking: Ranking) -> tuple[Array, Array]:
    """Steps, since precision between two thresholds is not on the straight line."""
    recall, precision = ranking.true_positive_rate, ranking.precision
    return np.repeat(np.concatenate([[0], recall]), 2)[1:-1], np.repeat(precision, 2)


def _break_even(ranking: Ranking) -> float:
    """The best that precision and recall reach together."""
    return float(np.minimum(ranking.true_positive_rate, ranking.precision).max())


def _area_title(what: str, name: str, areas: Array, classes: Sequence[str]) -> str:
    worst = int(np.nanargmin(areas))
    return f"{what}: mean {name} {np.nanmean(areas):.5f}, lowest {areas[worst]:.5f} ({classes[worst]})"


def _reliability_title(calibration: Calibration) -> str:
    filled = calibration.count > 0
    predictions = calibration.count.sum()
    share = calibration.count[filled] / predictions
    confidence, accuracy = share @ calibration.confidence[filled], share @ calibration.accuracy[filled]
    leaning = "too sure" if confidence > accuracy else "not sure enough"
    if abs(confidence - accuracy) < math.sqrt(accuracy * (1 - accuracy) / predictions):  # its standard error
        leaning = "neither too sure nor too unsure"
    return (
        f"Calibration error {percent(calibration.error)} ({counted(int(predictions), 'prediction')})\n"
        f"mean confidence {percent(confidence)}, accuracy {percent(accuracy)}:\n{leaning} on the whole"
    )
