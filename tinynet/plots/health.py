"""A picture of how the layers of a net fare in training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tinynet.errors import DataError
from tinynet.plots.style import figure_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Quantity(NamedTuple):
    """A figure of a HealthLog, what it is called, and the band in which it is healthy, if there is one."""

    key: str
    name: str
    band: tuple[float, float] | None
    too_low: str = ""
    """What to do about a figure below the band; `too_high`: above it."""
    too_high: str = ""
    unit: str = ""
    axis: str = "epoch (0: before the first step)"
    inside: str = "in its band"
    """What the panel says where nothing is outside."""


QUANTITIES = (
    Quantity(
        "deviation",
        "spread of outputs",
        (1 / 30, 30),
        too_low="put a BatchNorm behind that layer, or start it from he_normal",
        too_high="put a BatchNorm behind that layer, or lower the learning rate (--lr)",
    ),
    Quantity(
        "dead",
        "dead ReLUs",
        (0, 0.2),
        too_high="lower the learning rate (--lr), or take LeakyReLU for ReLU",
        unit="%",
    ),
    Quantity(
        "update_ratio",
        "update-to-weight ratio",
        (1e-3 / 30, 1e-3 * 30),
        too_low="raise the learning rate (--lr)",
        too_high="lower the learning rate (--lr)",
        axis="epoch, its last step; falls with the learning rate",
        inside="the largest of each layer is in the band",
    ),
    Quantity("mean", "mean of outputs", None),
    Quantity("gradient_norm", "gradient norm", None),
)
"""The panels of `health`, and their bands. No band is a law.

Spread: initialisers and normalisation aim at a deviation of 1 (Glorot & Bengio, 2010; Ioffe & Szegedy, 2015;
Mishkin & Matas: "All you need is a good init", 2016). Update-to-weight ratio: about 1e-3 (the notes of
Stanford's course CS231n, "Neural networks part 3: learning and evaluation"). Both bands reach 30 times
below and above that: our choice, wide enough for our recipes. Dead ReLUs: 20 % at most, our choice too.
A schedule ends with a learning rate near 0, and the ratio with it: of each layer its largest is judged.
"""
MOST = 100
"""Layers that are drawn: the first."""
MARKERS, DASHES = "osD^vPX<>*ph", ("-", "--", "-.", ":")


def health(records: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draw how each layer fares over the epochs, a panel for each of QUANTITIES, its healthy band shaded.

    records: the lines of a HealthLog, as `read_health` gives them

    Epoch 0 is before the first step. A 0 on a logarithmic axis is drawn at a tick below all others. A layer
    is told by marker and dashes; from the input to the output they turn from dark to light.

    Raises DataError where there are no records, ConfigError and OSError as `learning_curve` does.
    """
    if not records:
        raise DataError(
            "there is nothing to draw of the layers", expected="the lines of a HealthLog", received="none"
        )
    layers = list(dict.fromkeys(row["layer"] for row in records))[:MOST]
    with figure_at(path, 12.0, max(7.2, 0.5 * (len(layers) + 3))) as figure:
        outside = sum(_worst(records, quantity) is not None for quantity in QUANTITIES)
        judged = sum(quantity.band is not None for quantity in QUANTITIES)
        state = f"{outside} of {judged} quantities leave their bands" if outside else "all in their bands"
        figure.suptitle(f"Health of the layers: {state}", x=0.01, ha="left", weight="bold", size=12)
        *panels, legend = figure.subplots(2, 3).ravel()
        for axes, quantity in zip(panels, QUANTITIES, strict=True):
            _draw(axes, records, layers, quantity)
        legend.set_axis_off()
        handles, names = panels[0].get_legend_handles_labels()
        title = "layer, with its activation"
        legend.legend(handles, names, loc="center left", title=title, handlelength=4).set_in_layout(False)


def verdict(records: Sequence[Mapping[str, Any]]) -> str:
    """Which quantities leave their bands, where each does so most, and what to do: a sentence for each."""
    faults = [(quantity, row) for quantity in QUANTITIES if (row := _worst(records, quantity))]
    said = "; ".join(f"{quantity.name} {_where(row, quantity)}" for quantity, row in faults)
    fixes = "".join(f" For the {quantity.name}: {_fix(row, quantity)}." for quantity, row in faults)
    return f"Health of the layers: {said or 'all in their bands'}.{fixes}"


def _fix(row: Mapping[str, Any], quantity: Quantity) -> str:
    is_high = quantity.band is not None and row[quantity.key] > quantity.band[1]
    return quantity.too_high if is_high else quantity.too_low


def _worst(records: Sequence[Mapping[str, Any]], quantity: Quantity) -> Mapping[str, Any] | None:
    """The line whose value is furthest outside the band; None where all are inside."""
    if quantity.band is None:
        return None
    low, high = quantity.band
    rows = [row for row in records if row[quantity.key] is not None]
    if quantity.key == "update_ratio":  # it ends near 0, with the learning rate: the largest is judged
        largest = {row["layer"]: row for row in sorted(rows, key=lambda row: float(row[quantity.key]))}
        rows = [*largest.values()]
    outside = [row for row in rows if not low <= row[quantity.key] <= high]
    return max(outside, key=lambda row: _distance(row[quantity.key], low, high), default=None)


def _where(row: Mapping[str, Any], quantity: Quantity) -> str:
    return f"{_text(row[quantity.key], quantity)} ({_short(row['layer'])}, epoch {row['epoch']})"


def _distance(value: float, low: float, high: float) -> float:
    """How many times a value is above the band or below it."""
    if value > high:
        return value / high
    return low / value if value > 0 else math.inf


def _draw(
    axes: Axes, records: Sequence[Mapping[str, Any]], layers: Sequence[str], quantity: Quantity
) -> None:
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    factor = 100 if quantity.unit == "%" else 1
    positive = [row[quantity.key] for row in records if (row[quantity.key] or 0) > 0]
    is_log = quantity.key not in ("dead", "mean")
    edges = [edge for edge in quantity.band or () if edge]
    floor = min([*positive, *edges], default=1.0) / 10 if is_log else -math.inf
    if quantity.band:
        low, high = (factor * edge for edge in quantity.band)
        axes.axhspan(
            low, high, facecolor="#E8F1EC", edgecolor="#777777", ls="--", lw=0.8, label="healthy band"
        )
    for place, (layer, marker, dashes) in enumerate(zip(layers, cycle(MARKERS), cycle(DASHES), strict=False)):
        shade = colormaps["viridis"](0.6 * place / max(len(layers) - 1, 1))
        rows = [row for row in records if row["layer"] == layer and row[quantity.key] is not None]
        epochs = [row["epoch"] for row in rows]
        values = [factor * max(row[quantity.key], floor) for row in rows]
        axes.plot(epochs, values, color=shade, marker=marker, ls=dashes, lw=1.4, label=_short(layer))
    if is_log:
        axes.set_yscale("log")
        if any(row[quantity.key] == 0 for row in records):
            _mark_zero(axes, floor)
    elif quantity.key == "dead":
        axes.set(ylabel="% of the units")
        axes.set_ylim(-2, max(100 * max(positive, default=0), 25) * 1.05)
    elif max(abs(row["mean"] or 0) for row in records) > 10:
        axes.set_yscale("symlog", linthresh=1)
    axes.set(xlabel=quantity.axis)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_title(f"{quantity.name}:\n{_seen(records, quantity)}", size=10)


def _mark_zero(axes: Axes, floor: float) -> None:
    """A tick "0" at the floor of a logarithmic axis, and above it those of the powers of ten."""
    top = axes.get_ylim()[1]
    powers = range(math.ceil(math.log10(2 * floor)), math.floor(math.log10(top)) + 1)
    powers = powers[:: 1 + len(powers) // 8]
    axes.minorticks_off()
    axes.set_yticks([floor, *(10.0**n for n in powers)], ["0", *(f"$10^{{{n}}}$" for n in powers)])


def _seen(records: Sequence[Mapping[str, Any]], quantity: Quantity) -> str:
    """What to see in a panel."""
    values = [row[quantity.key] for row in records if row[quantity.key] is not None]
    if not values:
        return "none"
    if quantity.band is None:
        return f"{_text(min(values), quantity)} to {_text(max(values), quantity)}"
    row = _worst(records, quantity)
    return _where(row, quantity) if row else quantity.inside


def _text(value: float, quantity: Quantity) -> str:
    return f"{100 * value:.0f} %" if quantity.unit == "%" else f"{value:.3g}"


def _short(layer: str) -> str:
    """The layer itself, without those behind it that share its line."""
    return layer.partition(" + ")[0]
