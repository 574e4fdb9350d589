"""A picture of a net."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tinynet.plots.style import BLUE, GREEN, INK, ORANGE, figure_at
from tinynet.types import Shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"convolution": BLUE, "pooling": ORANGE, "dense": GREEN, "other": "#999999"}
HATCHES = {"convolution": "", "pooling": "////", "dense": "xxxx", "other": ""}
"""Kinds of blocks: convolution and dense have the same grey."""
PITCH, IMAGE, BAR, SHIFT = 1.35, 0.8, 1.2, 0.035
"""Inches from one block to the next, of the largest image and bar, and between two sheets of a stack."""


class DrawnBlock(NamedTuple):
    """Layers that are drawn as one: their names, one of COLOURS, the output's shape, their parameters."""

    names: Sequence[str]
    kind: str
    shape: Shape
    parameters: int


def architecture(blocks: Sequence[DrawnBlock], path: str | Path, *, title: str) -> None:
    """Draw the outputs of a net's blocks from left to right: images as stacks, vectors as bars.

    The sides of images are to scale; sheets of a stack and heights of bars go by the logarithm of their
    number. Raises ConfigError and OSError as `learning_curve` does.
    """
    from matplotlib.patches import Patch

    largest_image = max((max(block.shape[:2]) for block in blocks if len(block.shape) == 3), default=1)
    longest = max(math.prod(block.shape) for block in blocks)
    lines = max(len(block.names) for block in blocks)
    bottom = -0.2 * (lines + 2) - 0.4
    with figure_at(path, PITCH * len(blocks) + 0.3, BAR + 0.5 - bottom) as figure:
        axes = figure.add_subplot()
        for i, block in enumerate(blocks):
            x = PITCH * i
            if len(block.shape) == 3:
                _draw_stack(axes, x, block, IMAGE / largest_image)
            else:
                height = BAR * math.log2(1 + math.prod(block.shape)) / math.log2(1 + longest)
                _draw_sheet(axes, x, 0.0, 0.16, height, block.kind)
            _write(axes, x, block)
        axes.set(xlim=(-0.6 * PITCH, PITCH * (len(blocks) - 0.4)), ylim=(bottom, BAR + 0.1), aspect="equal")
        axes.set_axis_off()
        axes.set_title(title, weight="bold", size=11, loc="left")
        kinds = [kind for kind in COLOURS if any(block.kind == kind for block in blocks)]
        handles = [
            Patch(facecolor=COLOURS[kind], hatch=HATCHES[kind], edgecolor="white", label=kind)
            for kind in kinds
        ]
        axes.legend(handles=handles, loc="lower left", ncols=len(kinds))


def _draw_stack(axes: Axes, x: float, block: DrawnBlock, scale: float) -> None:
    """Sheets of the image's size, one for each time its channels double, the last in front."""
    height, width, channels = block.shape
    count = 1 + round(math.log2(channels))
    for place in range(count):
        back = SHIFT * (count - 1 - 2 * place) / 2
        _draw_sheet(axes, x + back, back, scale * width, scale * height, block.kind)


def _draw_sheet(axes: Axes, x: float, y: float, width: float, height: float, kind: str) -> None:
    """A rectangle around (x, y); y: above the middle of the row."""
    from matplotlib.patches import Rectangle

    corner = (x - width / 2, BAR / 2 + y - height / 2)
    look: dict[str, Any] = {"facecolor": COLOURS[kind], "hatch": HATCHES[kind], "edgecolor": "white"}
    axes.add_patch(Rectangle(corner, width, height, lw=0.7, **look))


def _write(axes: Axes, x: float, block: DrawnBlock) -> None:
    """Under a block its layers, the shape of what comes out, and how many parameters there are."""
    shape = " × ".join(map(str, block.shape))
    parameters = f"{block.parameters:,} parameters" if block.parameters else ""
    text = "\n".join([*block.names, shape, parameters])
    axes.text(x, -0.12, text, ha="center", va="top", size=7.5, color=INK, linespacing=1.5)
