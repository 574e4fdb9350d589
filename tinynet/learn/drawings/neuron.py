"""Pictures of one neuron: what it computes, and the slope of its loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinynet.learn.pictures import drawing
from tinynet.plots.style import BLUE, GREEN, INK, ORANGE, RED
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def neuron() -> Figure:
    """Inputs times weights, the sum z, the sigmoid of it, and the probability p."""
    with drawing(8.0, 2.9) as figure:
        axes = figure.subplots()
        axes.set(xlim=(-0.6, 8.2), ylim=(-0.3, 3.3), aspect="equal")
        axes.set_axis_off()
        inputs = {"$x_1$": 2.8, "$x_2$": 1.9, "⋮": 1.1, "$x_D$": 0.3}
        for name, height in inputs.items():
            axes.text(0.0, height, name, ha="center", va="center", size=13)
            if name != "⋮":
                axes.annotate("", (2.62, 1.5), (0.25, height), arrowprops={"arrowstyle": "->", "color": INK})
                weight = name.replace("x", "w")
                axes.text(
                    1.1, height + (1.5 - height) * 0.36 + 0.14, weight, ha="center", size=12, color=BLUE
                )
        axes.text(3.0, 0.35, "$b$", ha="center", va="center", size=12, color=BLUE)
        steps = ((3.0, "$+$", "$z = x \\cdot w + b$"), (5.2, "$\\sigma$", "$p = \\sigma(z)$"))
        for place, inside, meaning in steps:
            axes.text(
                place,
                1.5,
                inside,
                ha="center",
                va="center",
                size=15,
                bbox={"boxstyle": "circle", "fc": "#F2F2F2"},
            )
            axes.text(place, 2.35, meaning, ha="center", size=11)
        for start, end in (((3.0, 0.6), (3.0, 1.12)), ((3.38, 1.5), (4.82, 1.5)), ((5.58, 1.5), (6.7, 1.5))):
            axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": INK})
        axes.text(6.85, 1.5, "$p$, how sure\nthat it is a 1", va="center", size=11)
    return figure


def staircase(w: Array, accuracy: Array, loss: Array) -> Figure:
    """The share of right answers and the loss, both (M,), over the weight w (M,), one above the other."""
    with drawing(7.0, 4.2) as figure:
        above, below = figure.subplots(2, 1, sharex=True)
        above.step(w, 100 * accuracy, color=ORANGE, where="mid")
        above.set(
            ylabel="right, %", title="The share of right answers is a staircase: flat almost everywhere"
        )
        below.plot(w, loss, color=BLUE)
        below.set(xlabel="weight w", ylabel="loss", title="The loss has a slope everywhere")
    return figure


def tangents(w: Array, loss: Array, touching: Sequence[tuple[float, float, float]]) -> Figure:
    """The loss (M,) over the weight w (M,), and its tangents: (weight, loss there, slope there) each."""
    reach = 0.12 * float(w.max() - w.min())
    with drawing(7.0, 3.2) as figure:
        axes = figure.subplots()
        axes.plot(w, loss, color=BLUE, label="loss")
        for (place, value, slope), colour, style in zip(touching, (RED, ORANGE, GREEN), "os^", strict=False):
            ends = (place - reach, place + reach)
            axes.plot(ends, [value + slope * (end - place) for end in ends], color=colour, linewidth=2.5)
            axes.plot(
                place, value, style, color=colour, markersize=8, label=f"slope {slope:+.3f} at w = {place:g}"
            )
        axes.set(xlabel="weight w", ylabel="loss", title="A slope is how fast the loss rises with the weight")
        axes.legend()
    return figure


def nudge_errors(h: Array, one_sided: Array, central: Array) -> Figure:
    """The errors (M,) of two ways to nudge over the step h (M,), on logarithmic scales."""
    with drawing(7.0, 3.2) as figure:
        axes = figure.subplots()
        axes.loglog(h, one_sided, "s--", color=ORANGE, label="(L(w + h) - L(w)) / h")
        axes.loglog(h, central, "o-", color=BLUE, label="(L(w + h) - L(w - h)) / 2h")
        axes.set(xlabel="step h", ylabel="error of the slope")
        axes.set_title("Large steps miss the curve, tiny steps drown in rounding")
        axes.legend()
    return figure
