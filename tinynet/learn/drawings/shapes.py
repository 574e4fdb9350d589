"""Matrices as boxes, with their shapes: which axes meet in a product, and which one it sums over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinynet.learn.pictures import drawing
from tinynet.plots.style import BLUE, GREEN, INK, ORANGE, RED
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL = 0.2
"""Inches of one cell; twice as much where values stand in it."""
MAX_CELLS = 12
"""An axis longer than this is drawn as long as this, with a gap in its middle."""
GAP = 0.55
"""Inches around a sign between two boxes."""
MARKED = "#FFE3A3"
LOOKS: dict[str, tuple[str, Any]] = {
    "N": (BLUE, "-"),
    "I": (ORANGE, (0, (3, 1))),
    "O": (GREEN, (0, (1, 1))),
    "other": (RED, (0, (5, 1, 1, 1))),
}
"""The colour and the stroke of the batch, of a layer's inputs, of its outputs, and of any other axis."""


@dataclass(frozen=True, eq=False)
class Box:
    """A matrix in a drawing. `rows` and `columns`: the letter and the length of each axis, such as ("N", 3).

    `values` (rows, columns) are written into the cells. `row` and `column` mark a row, a column, or with both
    one element. A vector is a matrix of one row, whose letter is "".
    """

    name: str
    rows: tuple[str, int]
    columns: tuple[str, int]
    values: Array | None = None
    row: int | None = None
    column: int | None = None

    @property
    def cell(self) -> float:
        return CELL if self.values is None else 2.0 * CELL

    @property
    def width(self) -> float:
        return self.cell * min(self.columns[1], MAX_CELLS)

    @property
    def height(self) -> float:
        return self.cell * min(self.rows[1], MAX_CELLS)


def equation(*parts: Box | str) -> Figure:
    """Boxes and the signs between them in one line: equation(x, "·", W, "=", y).

    N, I and O have a colour and a stroke of their own: edges that look alike are the same axis.
    """
    tallest = max(part.height for part in parts if isinstance(part, Box))
    width = sum(part.width + 0.55 if isinstance(part, Box) else GAP for part in parts)
    with drawing(width + 0.2, tallest + 1.15) as figure:
        axes = figure.subplots()
        axes.set(xlim=(0.0, width), ylim=(tallest + 0.6, -0.35), aspect="equal")
        axes.set_axis_off()
        left = 0.0
        for part in parts:
            if isinstance(part, Box):
                left += 0.45
                _draw(axes, part, left, (tallest - part.height) / 2)
                left += part.width + 0.1
            else:
                axes.text(left + GAP / 2, tallest / 2, part, ha="center", va="center", size=18)
                left += GAP
    return figure


def _draw(axes: Axes, box: Box, left: float, top: float) -> None:
    """One box with its upper left corner there."""
    from matplotlib.patches import Rectangle

    right, bottom = left + box.width, top + box.height
    axes.add_patch(Rectangle((left, top), box.width, box.height, facecolor="#F7F7F7", edgecolor="none"))
    _mark(axes, box, left, top, MARKED, 0.0)
    for number in range(1, min(box.columns[1], MAX_CELLS)):
        axes.plot([left + number * box.cell] * 2, [top, bottom], color="#DDDDDD", linewidth=0.8)
    for number in range(1, min(box.rows[1], MAX_CELLS)):
        axes.plot([left, right], [top + number * box.cell] * 2, color="#DDDDDD", linewidth=0.8)
    axes.add_patch(Rectangle((left, top), box.width, box.height, fill=False, edgecolor="#999999"))
    if box.values is not None:
        for i, line in enumerate(box.values.tolist()):
            for j, value in enumerate(line):
                place = (left + (j + 0.5) * box.cell, top + (i + 0.5) * box.cell)
                axes.text(*place, f"{value:g}", ha="center", va="center", size=9)
    for letter, ends in (
        (box.columns, ([left, right], [top, top])),
        (box.rows, ([left, left], [top, bottom])),
    ):
        if letter[0]:
            colour, stroke = _look(letter[0])
            axes.plot(*ends, color=colour, linestyle=stroke, linewidth=3.5, solid_capstyle="butt")
    _mark(axes, box, left, top, "none", 1.8)
    _label(axes, box, left, top)


def _look(letter: str) -> tuple[str, Any]:
    return LOOKS.get(letter, LOOKS["other"])


def _mark(axes: Axes, box: Box, left: float, top: float, fill: str, stroke: float) -> None:
    """The row, the column or the element that the box marks: filled, or outlined by a stroke so wide."""
    from matplotlib.patches import Rectangle

    if box.row is None and box.column is None:
        return
    x, width = (left, box.width) if box.column is None else (left + box.column * box.cell, box.cell)
    y, height = (top, box.height) if box.row is None else (top + box.row * box.cell, box.cell)
    axes.add_patch(Rectangle((x, y), width, height, facecolor=fill, edgecolor=INK, linewidth=stroke))


def _label(axes: Axes, box: Box, left: float, top: float) -> None:
    """The lengths at the edges, the gaps of long axes, and the name with its shape below."""
    right, bottom = left + box.width, top + box.height
    (row, rows), (column, columns) = box.rows, box.columns
    if column:
        axes.text(
            (left + right) / 2, top - 0.1, f"{column} = {columns}", ha="center", va="bottom", size=10,
            color=_look(column)[0], weight="bold",
        )  # fmt: skip
    if row:
        axes.text(
            left - 0.1, (top + bottom) / 2, f"{row} = {rows}", ha="right", va="center", size=10, rotation=90,
            color=_look(row)[0], weight="bold",
        )  # fmt: skip
    for length, dots, size in ((columns, " ⋯ ", 12), (rows, "⋮", 14)):
        if length > MAX_CELLS:
            middle = (left + right) / 2, (top + bottom) / 2
            axes.text(*middle, dots, ha="center", va="center", size=size, backgroundcolor="#F7F7F7")
    shape = ", ".join(letter for letter in (row, column) if letter)
    axes.text((left + right) / 2, bottom + 0.12, box.name, ha="center", va="top", size=13, color=INK)
    axes.text((left + right) / 2, bottom + 0.4, f"({shape})", ha="center", va="top", size=10, color=INK)
