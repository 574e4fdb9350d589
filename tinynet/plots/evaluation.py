"""Pictures of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinynet.errors import DataError, ShapeError
from tinynet.plots.style import BLUE, INK, RED, figure_at, percent
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap


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
            ink = "white" if strength[i, j] > 0.6 else INK
            axes.text(j, i, f"{count}", ha="center", va="center", size=size, color=ink)


def _error_colours() -> Colormap:
    """White for no errors to vermilion for the most; the diagonal, which is masked, a pale blue."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("errors", ["white", RED]).with_extremes(bad="#E3EEF5")
