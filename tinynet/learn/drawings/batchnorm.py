"""Pictures of batch normalisation: its computational graph with real numbers, and what it does in a deep net.

What goes forward is drawn blue with full lines, what goes back is drawn red with dashed lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet.learn.pictures import drawing
from tinynet.plots.style import BLUE, GREEN, INK, ORANGE, RED
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NODES = {
    "x": (0.0, 1.0, "x"),
    "mean": (1.2, 0.0, "μ = mean(x)"),
    "c": (2.4, 1.0, "c = x - μ"),
    "q": (3.6, 0.0, "q = c²"),
    "variance": (5.0, 0.0, "σ² = mean(q)"),
    "s": (6.4, 0.0, "s = 1 / √(σ² + ε)"),
    "x_hat": (7.1, 1.0, "x̂ = c · s"),
    "y": (8.6, 1.0, "y = γ x̂ + β"),
}
"""Each node of the graph: where it is drawn, and what it computes."""
EDGES = (
    ("x", "c"),
    ("x", "mean"),
    ("mean", "c"),
    ("c", "q"),
    ("q", "variance"),
    ("variance", "s"),
    ("s", "x_hat"),
    ("c", "x_hat"),
    ("x_hat", "y"),
)
SYMBOLS = {"mean": "μ", "variance": "σ²", "x_hat": "x̂"}
"""How a node is called in the picture, where that is not its name."""
LOOKS: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "marker": "o", "linestyle": "-"},
    {"color": RED, "marker": "s", "linestyle": "--"},
    {"color": ORANGE, "marker": "^", "linestyle": "-"},
    {"color": GREEN, "marker": "D", "linestyle": "-."},
)
"""Of the curves, one after another: told apart without their colours, too."""
WIDTH, HEIGHT = 1.14, 0.58
"""Of a node."""


def graph(values: Mapping[str, Array], gradients: Mapping[str, Array] | None = None) -> Figure:
    """The graph of BatchNorm for one channel, with the numbers of each node: a column (m,), or one number.

    `values` has the names of `NODES`. `gradients`, of the same names, are ∂L/∂node as far as they are known:
    for these the way back is drawn, too.
    """
    from matplotlib.figure import Figure

    known = gradients or {}
    figure = Figure(figsize=(13.0, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(-0.6, 9.2)
    axes.set_ylim(-0.35, 1.35)
    for begin, end in EDGES:
        _arrow(axes, begin, end, BLUE, "-", back=False)
        if begin in known and end in known:
            _arrow(axes, end, begin, RED, "--", back=True)
    for name, (x, y, formula) in NODES.items():
        _node(axes, x, y, formula, values[name], SYMBOLS.get(name, name), known.get(name))
    return figure


def _node(
    axes: Axes, x: float, y: float, formula: str, value: Array, symbol: str, gradient: Array | None
) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    edge = INK if gradient is None else RED
    axes.add_patch(
        FancyBboxPatch(
            corner, WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.06", fc="white", ec=edge, lw=1.3
        )
    )
    axes.text(x, y + 0.18, formula, ha="center", va="center", size=10, weight="bold", color=INK)
    axes.text(x, y + 0.01, _numbers(value), ha="center", va="center", size=9.3, color=BLUE)
    if gradient is not None:
        text = f"d{symbol}: {_numbers(gradient)}"
        axes.text(x, y - 0.18, text, ha="center", va="center", size=9, color=RED, style="italic")


def _numbers(value: Array) -> str:
    return "  ".join(f"{round(float(each), 2) + 0.0:g}" for each in np.ravel(value))  # + 0.0: no -0


def _arrow(axes: Axes, begin: str, end: str, colour: str, line: str, *, back: bool) -> None:
    """An arrow from node to node; one that goes back runs a little below the one that goes forward."""
    from matplotlib.patches import FancyArrowPatch

    (x0, y0, _), (x1, y1, _) = NODES[begin], NODES[end]
    shift = (-0.07 if back else 0.07) if y0 == y1 else 0.0
    aside = 0.0 if y0 == y1 else (-0.09 if back else 0.09)
    direction = np.sign(x1 - x0)
    if y0 == y1:
        start, stop = (x0 + direction * WIDTH / 2, y0 + shift), (x1 - direction * WIDTH / 2, y1 + shift)
    else:
        rise = np.sign(y1 - y0)
        inward = min(abs(x1 - x0) / 2, WIDTH / 3)
        start = (x0 + direction * inward * 0.6 + aside, y0 + rise * HEIGHT / 2)
        stop = (x1 - direction * inward * 0.6 + aside, y1 - rise * HEIGHT / 2)
    axes.add_patch(
        FancyArrowPatch(
            start, stop, arrowstyle="-|>", mutation_scale=12, color=colour, lw=1.4, linestyle=line
        )
    )


def spreads(curves: Mapping[str, Sequence[float]]) -> Figure:
    """The spread of the numbers behind each layer of a deep net, on a logarithmic axis, for several nets."""
    with drawing(6.4, 3.4) as figure:
        axes = figure.subplots()
        for (name, curve), look in zip(curves.items(), LOOKS, strict=False):
            axes.semilogy(range(1, len(curve) + 1), curve, label=name, **look)
        _describe(axes, "layer", "standard deviation")
    return figure


def running(batches: Sequence[float], averages: Sequence[float], truth: float, what: str) -> Figure:
    """`what` of each batch as dots, the running average behind each as a line, and that of all data."""
    with drawing(6.4, 3.2) as figure:
        axes = figure.subplots()
        steps = range(1, len(batches) + 1)
        axes.plot(steps, batches, "o", color=ORANGE, label="of one batch")
        axes.plot(steps, averages, color=BLUE, label="running average")
        axes.axhline(truth, color=INK, lw=1.2, linestyle="--", label="of all images")
        _describe(axes, "step", what)
    return figure


def accuracies(factors: Sequence[float], curves: Mapping[str, Sequence[float]]) -> Figure:
    """The test accuracy of several nets whose initial weights were multiplied by these factors."""
    with drawing(6.4, 3.2) as figure:
        axes = figure.subplots()
        for (name, curve), look in zip(curves.items(), LOOKS, strict=False):
            axes.semilogx(factors, curve, label=name, **look)
        axes.set_ylim(0.0, 1.0)
        _describe(axes, "factor of the initial weights", "test accuracy")
    return figure


def _describe(axes: Axes, across: str, up: str) -> None:
    """Name the axes, and the curves beside them."""
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
