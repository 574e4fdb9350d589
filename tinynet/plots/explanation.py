"""Pictures of what a net makes of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet.plots.style import DOTS, INK, dot_negative, figure_at, headline
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from matplotlib.image import AxesImage

SIGNED, STRONG = "PuOr", "viridis"
"""Colours of values around 0 (orange below, with dots; white; purple above), and of values from 0 up."""
SMALL = 10
"""Dots side by side, at most, on a picture of a filter: colours and shapes are seen between them."""


def maps(
    image: Array,
    values: Mapping[str, Array],
    path: str | Path,
    *,
    title: str,
    caption: str,
    signed: bool = False,
    place: tuple[float, float, float, float] | None = None,
) -> None:
    """Draw an image, and beside it maps of it under their names, the image's outline drawn over them.

    image (H, W, C) uint8, in its colours if C is 3   caption: what stands over it
    values: (h, w) each; `signed`: in colours around 0
    place: where on the image they lie (left, right, bottom and top edge, in pixels), by default on all of it

    Raises ConfigError and OSError as `learning_curve` does.
    """
    shown, image = image if image.shape[-1] == 3 else image.mean(axis=-1), image.mean(axis=-1)
    height, width = image.shape
    whole = (-0.5, width - 0.5, height - 0.5, -0.5)
    with figure_at(path, 3.4 * (len(values) + 1), 3.7) as figure:
        headline(figure, title)
        first, *others = figure.subplots(1, len(values) + 1)
        first.imshow(shown, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        _bare(first, caption)
        for axes, (name, heat) in zip(others, values.items(), strict=True):
            smooth = "nearest" if heat.shape == image.shape else "bilinear"
            drawn = _heat(axes, heat, _top(heat), signed, extent=place or whole, interpolation=smooth)
            axes.set(xlim=whole[:2], ylim=whole[2:], facecolor="#8C8C8C")
            if image.min() < image.max():
                middle = (float(image.min()) + float(image.max())) / 2
                axes.contour(image, [middle], colors=INK if signed else "white", linewidths=0.8)
            _bare(axes, name)
            figure.colorbar(drawn, ax=axes, shrink=0.75)


def filters(weights: Array, path: str | Path, *, title: str) -> None:
    """Draw signed weights (F, h, w) as F pictures in one scale, numbered from 0.

    Raises ConfigError and OSError as `learning_curve` does.
    """
    rows = -(-len(weights) // (8 if len(weights) <= 16 else 16))
    columns = -(-len(weights) // rows)
    with figure_at(path, max(0.85 * columns + 1.0, 5.5), 0.9 * rows + 0.8) as figure:
        headline(figure, title)
        panels = figure.subplots(rows, columns, squeeze=False)
        for panel in panels.ravel()[len(weights) :]:
            panel.set_axis_off()
        for number, (panel, values) in enumerate(zip(panels.ravel(), weights, strict=False)):
            drawn = _heat(panel, values, _top(weights), signed=True, dots=SMALL, interpolation="nearest")
            _bare(panel, f"#{number}", size=7)
        figure.colorbar(drawn, ax=panels, shrink=0.9)


def activations(outputs: Sequence[tuple[str, Array]], channels: int, path: str | Path) -> None:
    """Draw what each layer makes of one image, a row a layer: the strongest `channels` of it, in one scale.

    outputs: the name of each layer and its output, (h, w, F) or (F,); a vector is drawn as one strip

    Raises ConfigError and OSError as `learning_curve` does.
    """
    heights = [1.6 if values.ndim == 3 else 0.8 for _, values in outputs]
    with figure_at(path, 1.1 * channels + 0.9, sum(heights) + 0.5) as figure:
        title = (
            "Activations: bright is strong; of both signs, purple is above 0, orange below, dots far below"
        )
        headline(figure, title)
        rows = figure.subfigures(len(outputs), 1, squeeze=False, height_ratios=heights)[:, 0]
        for row, (name, values) in zip(rows, outputs, strict=True):
            shape, span = " × ".join(map(str, values.shape)), f"{values.min():.3g} … {values.max():.3g}"
            row.suptitle(f"{name}: {shape} values, {span}", x=0.02, ha="left", size=9)
            if values.ndim == 3:
                _draw_channels(row, values, channels)
            else:
                _draw_strip(row.subplots(), values)


def _draw_channels(row: SubFigure, values: Array, count: int) -> None:
    """The strongest `count` channels of values (h, w, F), in their order."""
    panels = row.subplots(1, count, squeeze=False)[0]
    strength = np.abs(values).mean(axis=(0, 1))
    strongest = np.sort(np.argsort(-strength, kind="stable")[:count])
    for panel in panels[len(strongest) :]:
        panel.set_axis_off()
    signed, top = bool(values.min() < 0), _top(values)
    for panel, channel in zip(panels, strongest, strict=False):
        _heat(panel, values[..., channel], top, signed, interpolation="nearest")
        _bare(panel, f"#{channel}", size=8)


def _draw_strip(axes: Axes, values: Array) -> None:
    """Values (F,) side by side, numbered if there is room."""
    values = values.reshape(1, -1)
    _heat(axes, values, _top(values), bool(values.min() < 0), aspect="auto", interpolation="nearest")
    _bare(axes, "")
    if values.size <= 20:
        axes.set_xticks(range(values.size))
        axes.tick_params(length=0, labelsize=8)


def _heat(axes: Axes, values: Array, top: float, signed: bool, dots: int = DOTS, **how: Any) -> AxesImage:
    if signed:
        dot_negative(axes, values, top, how.get("extent"), dots)
    return axes.imshow(values, cmap=SIGNED if signed else STRONG, vmin=-top if signed else 0, vmax=top, **how)


def _top(values: Array) -> float:
    return float(np.abs(values).max()) or 1.0


def _bare(axes: Axes, title: str, size: float = 10) -> None:
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color="#CCCCCC")
    axes.set_title(title, size=size, weight="normal", pad=3)
