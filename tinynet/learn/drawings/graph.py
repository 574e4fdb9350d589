"""A computational graph, drawn node by node: values on the way forward, gradients on the way back.

    nodes = [Node("x", "x", (0, 0), "2", "−6"), Node("y", "x²", (1, 0), "4", "−1.5")]
    figure = computational_graph(nodes, [Edge("x", "y", "2x = 4")])

A value stands above its box, the gradient of the loss with respect to it below. `done` names the nodes that
the backward has reached, so that a row of pictures shows it arrive.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinynet.plots.style import BLUE, INK, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN, ROW = 1.75, 1.3
"""Inches from one place to the next."""
HALF_HEIGHT = 0.2
GIVEN, PALE = "#EAF2F8", "#FFFFFF"


@dataclass(frozen=True)
class Node:
    """One number or array of the graph. `place`: its column and row, from the left and from the bottom."""

    name: str
    label: str
    """What stands in the box: how it is computed, in mathtext if it has $ signs."""
    place: tuple[float, float]
    value: str = ""
    gradient: str = ""
    given: bool = False
    """Whether it is an input or a parameter: drawn with square corners and shaded."""


@dataclass(frozen=True)
class Edge:
    """`end` is computed from `start`. A gradient on its way back is multiplied by `slope`, ∂end/∂start."""

    start: str
    end: str
    slope: str = ""


def computational_graph(
    nodes: Sequence[Node],
    edges: Sequence[Edge],
    *,
    done: Collection[str] | None = None,
    title: str = "",
    half_width: float = 0.5,
) -> Figure:
    """The graph as a figure. `done`: the nodes that the backward has reached (None: all, (): none).

    An edge is an arrow forward; once both of its ends are done, a dashed arrow runs back beside it, with the
    slope. `half_width`: half the width of a box, in inches.
    """
    from matplotlib.figure import Figure

    reached = {node.name for node in nodes} if done is None else set(done)
    places = {node.name: (node.place[0] * COLUMN, node.place[1] * ROW) for node in nodes}
    left, right = (choose(x for x, _ in places.values()) for choose in (min, max))
    bottom, top = (choose(y for _, y in places.values()) for choose in (min, max))
    wide, high = right - left + 2 * half_width + 0.5, top - bottom + 1.3 + 0.3 * bool(title)
    figure = Figure(figsize=(wide, high))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(left - half_width - 0.25, left - half_width - 0.25 + wide)
    axes.set_ylim(bottom - 0.65, bottom - 0.65 + high)
    axes.axis("off")
    if title:
        axes.text(left - half_width, top + 0.8, title, color=INK, fontsize=11, fontweight="bold", va="center")
    for edge in edges:
        _draw_edge(axes, edge, places, half_width, {edge.start, edge.end} <= reached)
    for node in nodes:
        _draw_node(axes, node, places[node.name], half_width, node.name in reached)
    return figure


def _draw_node(axes: Axes, node: Node, place: tuple[float, float], half_width: float, is_done: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = place
    corner = "square,pad=0" if node.given else "round,pad=0,rounding_size=0.15"
    box = FancyBboxPatch(
        (x - half_width, y - HALF_HEIGHT),
        2 * half_width,
        2 * HALF_HEIGHT,
        boxstyle=corner,
        facecolor=GIVEN if node.given else PALE,
        edgecolor=INK,
        linewidth=1.2,
        zorder=3,
    )
    axes.add_patch(box)
    axes.text(x, y, node.label, ha="center", va="center", color=INK, fontsize=10, zorder=4)
    _write(axes, x, y + 0.33, node.value, BLUE, "normal")
    if is_done:
        _write(axes, x, y - 0.35, node.gradient, RED, "bold")


def _write(axes: Axes, x: float, y: float, text: str, colour: str, weight: str) -> None:
    """Text around (x, y), over whatever arrow runs there."""
    axes.text(
        x,
        y,
        text,
        ha="center",
        va="center",
        color=colour,
        fontsize=10,
        fontweight=weight,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        zorder=4,
    )


def _draw_edge(
    axes: Axes, edge: Edge, places: dict[str, tuple[float, float]], half_width: float, is_done: bool
) -> None:
    (x0, y0), (x1, y1) = places[edge.start], places[edge.end]
    is_upright = abs(x1 - x0) < half_width
    out = (0.0, HALF_HEIGHT if y1 > y0 else -HALF_HEIGHT) if is_upright else (half_width, 0.0)
    if is_upright:  # beside the numbers above and below the boxes
        x0, x1 = x0 + 0.6 * half_width, x1 + 0.6 * half_width
    begin, end = (x0 + out[0], y0 + out[1]), (x1 - out[0], y1 - out[1])
    lift = (-0.06, 0.0) if is_upright else (0.0, 0.06)
    _arrow(axes, _moved(begin, lift), _moved(end, lift), INK, "-")
    if is_done:
        back = (-lift[0], -lift[1])
        _arrow(axes, _moved(end, back), _moved(begin, back), RED, "--")
        if edge.slope:
            place = ((begin[0] + end[0]) / 2.0, (begin[1] + end[1]) / 2.0)
            shift = (0.08, 0.0) if is_upright else (0.0, -0.1 - 0.12 * (y0 != y1))
            axes.text(
                *_moved(place, shift),
                edge.slope,
                ha="left" if is_upright else "center",
                va="center" if is_upright else "top",
                color=RED,
                fontsize=8.5,
                zorder=5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )


def _arrow(axes: Axes, begin: tuple[float, float], end: tuple[float, float], colour: str, line: str) -> None:
    axes.annotate(
        "",
        end,
        begin,
        arrowprops={
            "arrowstyle": "-|>",
            "color": colour,
            "linestyle": line,
            "shrinkA": 1,
            "shrinkB": 1,
            "lw": 1.2,
        },
        zorder=2,
    )


def _moved(place: tuple[float, float], by: tuple[float, float]) -> tuple[float, float]:
    return place[0] + by[0], place[1] + by[1]
