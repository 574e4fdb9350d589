"""Pictures of a run, as PNG or SVG by the suffix of the file. The same input makes the same bytes.

matplotlib is imported when a plot is drawn, not before; figures are made without pyplot, so nothing here
needs a display or changes the plots of the caller.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet.errors import ConfigError, DataError, ShapeError
from tinynet.files import write_atomic
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREEN, _RED, _INK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#333333"
"""Colours of Okabe and Ito, distinct to colour-blind eyes too; and the ink of the text."""


def _style() -> dict[str, Any]:
    """The look of every plot: matplotlib's defaults, and these."""
    return {
        "figure.dpi": 144,
        "figure.constrained_layout.h_pad": 0.1,
        "figure.constrained_layout.w_pad": 0.1,
        "savefig.dpi": 144,
        "font.size": 10,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": "#999999",
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlepad": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#E6E6E6",
        "xtick.color": _INK,
        "ytick.color": _INK,
        "lines.linewidth": 1.8,
        "lines.markersize": 4.5,
        "legend.frameon": False,
        "svg.hashsalt": "tinynet",
    }


def learning_curve(history: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draw loss, accuracy and learning rate over the epochs, training beside validation.

    history: one mapping an epoch, with `epoch` (1, 2, …) and any of `loss`, `accuracy`, `val_loss`,
    `val_accuracy` and `learning_rate`; shares are in 0 … 1, and an absent or None value is left out.

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
    with _figure(path, 7.2, 1.0 * sum(ratios) + 0.4) as figure:
        panels = figure.subplots(len(ratios), sharex=True, height_ratios=ratios)
        _draw_pair(panels[0], history, "loss")
        _draw_pair(panels[1], history, "accuracy", scale=100)
        _ring_best(panels[1], *_series(history, "val_accuracy"))
        panels[0].set(title=_curve_title(history), ylabel="loss", ylim=(0, None))
        panels[1].set(ylabel="accuracy (%)")
        if rates[0]:
            panels[2].plot(*rates, color=_GREEN, marker="o", clip_on=False)
            panels[2].set(ylabel="learning\nrate", ylim=(0, None))
        first, last = history[0]["epoch"], history[-1]["epoch"]
        margin = max(0.25, 0.03 * (last - first))
        panels[-1].set(xlabel="epoch", xlim=(first - margin, last + margin))
        panels[-1].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        figure.align_ylabels()
        for panel in panels[:2]:
            if panel.lines:
                panel.legend()


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
    with _figure(path, size + 1.9, size + 1.3) as figure:
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


def digits(images: Array, titles: Sequence[str], path: str | Path, *, title: str = "") -> None:
    """Draw images in a grid, as ink on paper, each under its own title; for a few dozen of them.

    images (N, H, W) or (N, H, W, 1) uint8   titles: N strings   title: of the whole picture

    Raises ShapeError if these do not fit, ConfigError and OSError as `learning_curve` does.
    """
    images = np.asarray(images)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim != 3 or len(images) != len(titles) or images.dtype != np.uint8 or not len(images):
        raise ShapeError(
            "these images cannot be drawn",
            expected="uint8 images (N, H, W) or (N, H, W, 1), at least one, and N titles",
            received=f"{images.dtype} {images.shape} and {len(titles)} titles",
            fix="undo the scaling to 0 … 1, and give each image a title",
        )
    rows = -(-len(images) // 8)
    columns = -(-len(images) // rows)
    with _figure(path, max(1.05 * columns, 3.0), 1.3 * rows + 0.45) as figure:
        figure.suptitle(title, x=0.02, ha="left", weight="bold", size=11)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel in panels[len(images) :]:
            panel.set_axis_off()
        for panel, image, name in zip(panels, images, titles, strict=False):
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set(visible=True, color="#CCCCCC")
            panel.imshow(image, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
            panel.set_title(name, loc="center", size=9, weight="normal", pad=3)


def explained_variance(shares: Array, path: str | Path, *, kept: int, elbow: int) -> None:
    """Draw how much of the variance the first principal components explain together, few to all.

    shares (D,), falling, of sum 1   kept, elbow: numbers of components to mark, 1 to D

    Raises ShapeError if these do not fit, ConfigError and OSError as `learning_curve` does.
    """
    shares = np.asarray(shares)
    if shares.ndim != 1 or not 1 <= min(kept, elbow) <= max(kept, elbow) <= len(shares):
        raise ShapeError(
            "these components cannot be drawn",
            expected="shares (D,), and numbers of components from 1 to D",
            received=f"shares {shares.shape}, kept {kept}, elbow {elbow}",
        )
    percent = 100 * np.cumsum(shares)
    with _figure(path, 7.2, 3.8) as figure:
        axes = figure.add_subplot()
        axes.plot(np.arange(1, len(shares) + 1), percent, color=_BLUE)
        for count, colour, marker, name in ((elbow, _ORANGE, "s", "elbow"), (kept, _RED, "o", "kept")):
            axes.hlines(percent[count - 1], 0, count, color=colour, linewidth=1, linestyle=":")
            axes.vlines(count, 0, percent[count - 1], color=colour, linewidth=1, linestyle=":")
            label = f"{name}: {count} components, {percent[count - 1]:.1f} %"
            axes.plot(count, percent[count - 1], marker, ms=7, color=colour, label=label)
        axes.set(
            title=f"{kept} of {len(shares)} components hold {percent[kept - 1]:.1f} % of the variance",
            xlabel="principal components",
            ylabel="variance explained (%)",
            xlim=(0, len(shares)),
            ylim=(0, 102),
        )
        axes.legend(loc="lower right")


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
    False for a trial that was given up early   samples: how many images judged

    Raises ShapeError if these do not fit, ConfigError and OSError as `learning_curve` does.
    """
    from matplotlib.ticker import MaxNLocator

    error, done, best = _checked_trials(accuracy, complete, samples, len(numbers))
    reached = np.minimum.accumulate(np.where(done, error, np.inf))
    with _figure(path, 7.2, 4.0) as figure:
        axes = figure.add_subplot()
        axes.step(numbers, reached, where="post", color=_ORANGE, label="best so far")
        _draw_trials(axes, np.asarray(numbers), error, done, best)
        _scale_error(axes, error)
        axes.set(
            title=f"Best of {len(numbers)} trials: trial {numbers[best]}, {_percent(accuracy[best])} right",
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
    with _figure(path, max(3.2 * columns, 5.6), 2.7 * rows + 0.6) as figure:
        title = f"Which settings matter: {len(accuracy)} trials, the best ringed"
        figure.suptitle(title, x=0.02, ha="left", weight="bold", size=11)
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


@contextmanager
def _figure(path: str | Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of that many inches in our style, written to `path` once the block has drawn it."""
    kind = Path(path).suffix.lower().lstrip(".")
    if kind not in ("png", "svg"):
        raise ConfigError(
            f"cannot draw {Path(path).name}",
            expected="a file name that ends in .png or .svg",
            received=Path(path).suffix or "no suffix",
            fix="rename the file",
        )
    from matplotlib import style
    from matplotlib.figure import Figure

    nameless = {"Software": None} if kind == "png" else {"Creator": None, "Date": None}
    buffer = io.BytesIO()
    with style.context(["default", _style()]):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        figure.savefig(buffer, format=kind, metadata=nameless)
    write_atomic(path, buffer.getvalue())


def _series(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """The epochs that have a value of `key`, and the values."""
    rows = [row for row in history if row.get(key) is not None]
    return [row["epoch"] for row in rows], [float(row[key]) for row in rows]


def _draw_pair(axes: Axes, history: Sequence[Mapping[str, Any]], key: str, scale: float = 1) -> None:
    for name, label, colour, marker in (
        (key, "training", _ORANGE, "o"),
        (f"val_{key}", "validation", _BLUE, "s"),
    ):
        epochs, values = _series(history, name)
        if epochs:
            axes.plot(epochs, np.multiply(values, scale), color=colour, marker=marker, label=label)


def _ring_best(axes: Axes, epochs: list[int], values: list[float]) -> None:
    if not values:
        return
    best = int(np.argmax(values))
    label = f"best: {_percent(values[best])}, epoch {epochs[best]}"
    axes.plot(epochs[best], 100 * values[best], "o", ms=11, mfc="none", mec=_BLUE, mew=1.4, label=label)


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
    given_up = ~complete
    if given_up.any():
        axes.plot(x[given_up], error[given_up], "o", mfc="none", mec="#888888", label="given up early")
    axes.plot(x[complete], error[complete], "o", color=_BLUE, alpha=0.7, mew=0, label="complete")
    axes.plot(x[best], error[best], "o", ms=11, mfc="none", mec=_RED, mew=1.6)


def _scale_error(axes: Axes, error: Array) -> None:
    """Logarithmic where trials differ widely."""
    if error.max() > 4 * error.min():
        axes.set_yscale("log")
        _label_log(axes.yaxis, error)
        axes.set_ylim(error.min() / 1.25, error.max() * 1.25)


def _label_log(axis: Axis, values: Array) -> None:
    """Plain numbers at 1, 2, 5, 10, … of a logarithmic axis, or at 1, 3, 10, … of a long one."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    steps = (1.0, 2.0, 5.0) if max(values) < 10 * min(values) else (1.0, 3.0)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _shortened(text: str, most: int = 14) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _curve_title(history: Sequence[Mapping[str, Any]]) -> str:
    for key, name in (("val_accuracy", "validation"), ("accuracy", "training")):
        epochs, values = _series(history, key)
        if values:
            after = f"{epochs[-1]} epoch{'s' if epochs[-1] > 1 else ''}"
            return f"Learning curve: {name} accuracy {_percent(values[-1])} after {after}"
    return "Learning curve"


def _confusion_title(matrix: Array, classes: Sequence[str]) -> str:
    right = f"Confusion matrix: {_percent(np.trace(matrix) / matrix.sum())} right"
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
            axes.text(j, i, f"{count}", ha="center", va="center", size=size, color=_BLUE, weight="bold")
        elif count:
            ink = "white" if strength[i, j] > 0.6 else _INK
            axes.text(j, i, f"{count}", ha="center", va="center", size=size, color=ink)


def _error_colours() -> Colormap:
    """White for no errors to vermilion for the most; the diagonal, which is masked, a pale blue."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("errors", ["white", _RED]).with_extremes(bad="#E3EEF5")


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
