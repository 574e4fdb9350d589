"""Pictures of what a product is made of, and of how fast it is against what the processor can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tinynet.learn.pictures import drawing
from tinynet.plots.style import BLUE, INK, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALE_BLUE, PALE_ORANGE, PALE_GREEN = "#B5D3E7", "#F6D9A0", "#A6DCCB"


def against_limit(rates: Mapping[str, float], limit: float, title: str) -> Figure:
    """GFLOP/s of several ways on a scale of powers of ten, the processor's limit as a dashed line."""
    names = list(rates)
    with drawing(7.4, 0.42 * len(names) + 1.2) as figure:
        axes = figure.add_subplot()
        axes.barh(range(len(names)), list(rates.values()), color=PALE_BLUE, edgecolor=BLUE, height=0.7)
        for row, rate in enumerate(rates.values()):
            background = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}  # over the line
            axes.text(rate * 1.1, row, f"{rate:.3g}", va="center", size=9, color=INK, bbox=background)
        axes.axvline(limit, color=RED, ls="--", zorder=0)
        axes.text(limit * 0.92, -0.9, f"limit of one core: {limit:.3g}", ha="right", size=9, color=RED)
        axes.set_yticks(range(len(names)), names)
        axes.set(xscale="log", xlabel="useful GFLOP/s", title=title, ylim=(len(names) - 0.4, -1.3))
        axes.set_xlim(right=4 * max(limit, *rates.values()))
    return figure


def tiles(M: int, N: int, K: int, rows: int, columns: int) -> Figure:
    """C (M, N) in tiles of `rows` × `columns`; for one of them, the rows of A and columns of B it is made of.

    A (M, K) stands to the left of C, B (K, N) above it. Tiles that are cut off at the edge are hatched.
    """
    with drawing(0.24 * (K + N) + 0.9, 0.24 * (K + M) + 0.6) as figure:
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.set(xlim=(-K - 1.6, N + 0.4), ylim=(M + 0.4, -K - 1.6), aspect="equal")
        _box(axes, -K - 1, 0, K, M, "#FFFFFF")
        _box(axes, 0, -K - 1, N, K, "#FFFFFF")
        for i in range(0, M, rows):
            for j in range(0, N, columns):
                high, wide = min(rows, M - i), min(columns, N - j)
                is_cut = high < rows or wide < columns
                _box(axes, j, i, wide, high, "#F2F2F2" if is_cut else "#FFFFFF", "////" if is_cut else "")
        _box(axes, -K - 1, rows, K, rows, PALE_ORANGE)
        _box(axes, columns, -K - 1, columns, K, PALE_GREEN)
        _box(axes, columns, rows, columns, rows, PALE_BLUE)
        for text, x, y in (
            (f"A: {rows} rows", -K / 2 - 1, 1.5 * rows),
            (f"B: {columns} columns", 1.5 * columns, -K / 2 - 1),
            ("a tile\nof C", 1.5 * columns, 1.5 * rows),
        ):
            axes.text(x, y, text, ha="center", va="center", size=9, color="black", weight="bold")
    return figure


def _box(axes: Axes, x: float, y: float, wide: float, high: float, colour: str, hatch: str = "") -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            (x, y), wide, high, facecolor=colour, edgecolor=INK if not hatch else "#999999", hatch=hatch
        )
    )
