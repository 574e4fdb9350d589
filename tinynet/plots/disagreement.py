"""A sheet of images that nets call otherwise than their label."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinynet.errors import ShapeError
from tinynet.plots.style import BLUE, INK, figure_at, headline
from tinynet.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle

COLUMNS, WIDTH = 6, 14.0
"""At most so many cards side by side, and so many inches unless one card is wider."""
SIDE, GAP, LINE, TOP = 1.0, 0.14, 0.2, 0.22
"""Inches: of an image's longer side, between things, of a line of text, and of an image's name."""
LABEL, SAID = "#CFE3F0", "#F9D3B4"
"""Pale blue and pale vermilion: text can be read on them."""
LONGEST = 30
"""Characters of an answer; a longer one is cut."""


class Bar(NamedTuple):
    """An answer, and how sure it is: 0 to 1."""

    text: str
    share: float


class Card(NamedTuple):
    """An image (H, W, C) uint8, its name, its label with the probability of that, and the answers."""

    image: Array
    name: str
    label: Bar
    said: Sequence[Bar]


def disagreement(cards: Sequence[Card], path: str | Path, *, title: str, caption: str) -> None:
    """Draw each image beside bars: the label's in blue and bold, and below it those of the answers.

    A bar as long as the grey line above them stands for certainty. Grey images are drawn as ink on paper,
    others in their colours. `caption` stands below.

    Raises ShapeError without cards or for images that cannot be drawn, ConfigError and OSError as
    `learning_curve` does.
    """
    if not cards or not all(_is_drawable(card.image) for card in cards):
        raise ShapeError(
            "these images cannot be drawn",
            expected="uint8 images (H, W, 1) or (H, W, 3), at least one",
            received=", ".join(f"{card.image.dtype} {card.image.shape}" for card in cards) or "none",
        )
    longest = max(len(_short(bar.text)) for card in cards for bar in (card.label, *card.said))
    bar = 0.75 + 0.08 * longest  # inches: a percentage, and some 0.08 for a character
    wide = SIDE + bar + 3 * GAP
    count = -(-len(cards) // min(COLUMNS, max(1, int(WIDTH / wide))))
    columns = -(-len(cards) // count)
    rows = [cards[start : start + columns] for start in range(0, len(cards), columns)]
    tops = [0.0, *accumulate(map(_height, rows))]
    width = max(columns * wide, 6.0)
    with figure_at(path, width + 0.2, tops[-1] + 1.1) as figure:
        headline(figure, title)
        axes = figure.add_subplot()
        for row, top in zip(rows, tops, strict=False):
            for column, card in enumerate(row):
                _draw_card(axes, card, column * wide, top, bar)
        axes.set(xlim=(0, width), ylim=(tops[-1], 0), aspect="equal", anchor="W")
        axes.set_axis_off()
        figure.supxlabel(caption, x=0.02, ha="left", size=9, wrap=True)


def _is_drawable(image: Array) -> bool:
    return image.ndim == 3 and image.shape[2] in (1, 3) and image.dtype == np.uint8


def _height(row: Sequence[Card]) -> float:
    """Inches of the highest card, and of the space below it."""
    return TOP + max(SIDE, LINE * max(1 + len(card.said) for card in row)) + 2 * GAP


def _draw_card(axes: Axes, card: Card, left: float, top: float, width: float) -> None:
    """In inches from the upper left corner of the sheet; `width`: of a bar of certainty."""
    h, w, channels = card.image.shape
    scale = SIDE / max(h, w)
    x, y = left + GAP / 2, top + TOP
    axes.text(x, top + TOP - 0.05, card.name, size=9, weight="bold", va="bottom", parse_math=False)
    axes.imshow(
        card.image if channels == 3 else card.image[..., 0],
        extent=(x, x + w * scale, y + h * scale, y),
        cmap="gray_r",
        vmin=0,
        vmax=255,
        interpolation="nearest",
    )
    axes.add_patch(_box(x, y, w * scale, h * scale, "none", "#CCCCCC"))
    x += SIDE + GAP
    axes.plot([x, x + width], [y - 0.02] * 2, color="#CCCCCC", lw=1.5, solid_capstyle="butt")
    for line, bar in enumerate((card.label, *card.said)):
        _draw_bar(axes, bar, x, y + line * LINE, width, is_label=line == 0)


def _draw_bar(axes: Axes, bar: Bar, x: float, y: float, width: float, is_label: bool) -> None:
    """One line: an answer on the left, its percentage on the right, and a bar behind both."""
    axes.add_patch(_box(x, y + 0.02, bar.share * width, LINE - 0.04, LABEL if is_label else SAID, "none"))
    look: dict[str, Any] = {"color": BLUE, "weight": "bold"} if is_label else {"color": INK}
    for text, place, side, size in (
        (_short(bar.text), x + 0.04, "left", 9),
        (f"{100 * bar.share:.1f} %", x + width - 0.03, "right", 8),
    ):
        axes.text(place, y + LINE / 2, text, ha=side, va="center", size=size, parse_math=False, **look)


def _box(x: float, y: float, width: float, height: float, inside: str, edge: str) -> Rectangle:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, facecolor=inside, edgecolor=edge)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
