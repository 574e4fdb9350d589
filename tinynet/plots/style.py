"""The look of every plot, and the one place where a plot becomes a file.

matplotlib is imported when a plot is drawn, not before; figures are made without pyplot, so nothing here
needs a display or changes the plots of the caller.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet.errors import ConfigError
from tinynet.io.atomic import write_atomic
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, INK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#333333"
"""Colours of Okabe and Ito, distinct to colour-blind eyes too; and the ink of the text."""
DOTS = 32
"""Dots side by side, at most, on a map with negative values."""


@contextmanager
def figure_at(path: str | Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of that many inches in our style, written to `path` once the block has drawn it."""
    kind = file_kind(path)
    nameless = {"Software": None} if kind == "png" else {"Creator": None, "Date": None}
    buffer = io.BytesIO()
    with new_figure(width, height) as figure:
        yield figure
        figure.savefig(buffer, format=kind, metadata=nameless)
    write_atomic(path, buffer.getvalue())


def file_kind(path: str | Path) -> str:
    """ "png" or "svg", by the suffix of a plot's file. Raises ConfigError for any other."""
    kind = Path(path).suffix.lower().lstrip(".")
    if kind not in ("png", "svg"):
        raise ConfigError(
            f"cannot draw {Path(path).name}",
            expected="a file name that ends in .png or .svg",
            received=Path(path).suffix or "no suffix",
            fix="rename the file",
        )
    return kind


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of that many inches in our style, to be drawn within the block."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", _style()]):
        yield Figure(figsize=(width, height), layout="constrained")


def headline(figure: Figure, title: str) -> None:
    """The title above all panels; where the figure ends, it goes on in another line."""
    figure.suptitle(title, x=0.02, ha="left", weight="bold", size=11, wrap=True)


def dot_negative(
    axes: Axes, values: Array, top: float, extent: Sequence[float] | None = None, across: int = DOTS
) -> None:
    """Put a dot on values (h, w) well below 0, under -top / 5: in grey both signs look alike.

    extent: where the values lie, as for `imshow`. Of large arrays every so many rows and columns are looked
    at: there are at most so many dots as `across` side by side, so that they do not touch.
    """
    h, w = values.shape
    left, right, bottom, top_edge = extent or (-0.5, w - 0.5, h - 0.5, -0.5)
    step = -(-max(h, w) // across)
    rows, columns = np.nonzero(values[::step, ::step] < -top / 5)
    x = left + (columns * step + 0.5) * (right - left) / w
    y = top_edge + (rows * step + 0.5) * (bottom - top_edge) / h
    axes.plot(x, y, "o", ms=2.2, mfc="white", mec=INK, mew=0.5)


def _style() -> dict[str, Any]:
    """The look of every plot: matplotlib's defaults, and these."""
    return {
        "figure.dpi": 144,
        "figure.constrained_layout.h_pad": 0.1,
        "figure.constrained_layout.w_pad": 0.1,
        "savefig.dpi": 144,
        "font.size": 10,
        "text.color": INK,
        "axes.labelcolor": INK,
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
        "xtick.color": INK,
        "ytick.color": INK,
        "lines.linewidth": 1.8,
        "lines.markersize": 4.5,
        "legend.frameon": False,
        "svg.hashsalt": "tinynet",
    }
