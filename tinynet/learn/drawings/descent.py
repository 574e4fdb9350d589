"""Pictures of optimisers: their paths over a loss surface, and what was measured at each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from tinynet.learn.drawings.layers import SERIES
from tinynet.learn.pictures import drawing
from tinynet.plots.style import INK
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Surface = Callable[[Array], Array]
"""From points (…, 2) to the loss (…)."""


def descents(
    panels: Mapping[str, tuple[Surface, Mapping[str, Array]]],
    *,
    minimum: tuple[float, float],
    across: tuple[float, float],
    up: tuple[float, float],
) -> Figure:
    """For each panel a surface and the paths over it: from the name of an optimiser to its points (T, 2).

    Lines join points of equal loss. A star stands at the `minimum`, a square frame at the first point of a
    path. `across` and `up`: what is shown. All panels name the same paths.
    """
    wide, high = across[1] - across[0], up[1] - up[0]
    x, y = np.linspace(*across, 161), np.linspace(*up, 161)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    width = 7.0 if len(panels) == 1 else 5.2
    with drawing(width * len(panels), 1.2 + (width - 0.6) * high / wide) as figure:
        for axes, (title, (surface, paths)) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            loss = surface(grid)
            axes.contour(x, y, loss, levels=_levels(loss), colors="#BBBBBB", linewidths=0.8)
            for (name, path), (colour, marker, line) in zip(paths.items(), cycle(SERIES), strict=False):
                axes.plot(*path.T, color=colour, marker=marker, ls=line, label=name, lw=1.3, ms=4.0)
                axes.plot(*path[0], "s", color=INK, markersize=9, markerfacecolor="none")
            axes.plot(*minimum, "*", color=INK, markersize=13)
            axes.set(title=title, xlabel="weight 1", ylabel="weight 2", xlim=across, ylim=up)
            axes.grid(visible=False)
        _add_legend(figure)
    return figure


def _add_legend(figure: Figure) -> None:
    """One legend below all panels, which name the same lines."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    if len(names) > 1:
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))


def _levels(loss: Array) -> Array:
    """Twelve levels, closer together near the bottom, where the walk ends."""
    top = float(loss.max())
    return np.geomspace(top / 2000.0, top, 12)


def lines(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    *,
    across: str,
    up: str,
    log: str = "",
    marks: int = 8,
    vertical: Mapping[str, float] | None = None,
) -> Figure:
    """For each panel, a line for each name: what lies across, and what lies up. All name the same lines.

    `log` names the axes that are logarithmic, "x", "y" or "xy". Each line carries about `marks` markers.
    `vertical`: the values across at which a labelled line stands.
    """
    with drawing(6.0 if len(panels) == 1 else 4.6 * len(panels), 3.6) as figure:
        for axes, (title, series) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            for (name, (x, y)), (colour, marker, line) in zip(series.items(), cycle(SERIES), strict=False):
                every = max(len(x) // marks, 1)
                axes.plot(x, y, color=colour, marker=marker, linestyle=line, label=name, markevery=every)
            for name, place in (vertical or {}).items():
                axes.axvline(place, color=INK, linestyle=(0, (1, 2)))
                axes.text(place, 0.98, f" {name}", transform=axes.get_xaxis_transform(), va="top", fontsize=9)
            axes.set(
                title=title,
                xlabel=across,
                ylabel=up,
                xscale="log" if "x" in log else "linear",
                yscale="log" if "y" in log else "linear",
            )
            if "x" not in log:
                axes.xaxis.get_major_locator().set_params(integer=True)  # epochs and steps are whole
        _add_legend(figure)
    return figure
