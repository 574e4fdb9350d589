"""A sheet of what a net saw: each picture, step by step, and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinynet.plots.style import figure_at, headline
from tinynet.types import Array

if TYPE_CHECKING:
    from tinynet.data.pictures import Reading

STEPS = ("picture", "ground removed", "kept (grey), dropped (dark)", "what the net sees")
LARGEST = 320
"""Pixels of a picture's side that are drawn."""


def readings(rows: Sequence[tuple[str, Reading, str]], path: str | Path) -> None:
    """Draw each picture in a row: as it came, without its ground, what was dropped, and what the net sees.

    rows: the name of each picture, how it was read, and the answer, in words

    Digits are drawn as ink on paper, in grey; pictures that were only scaled as they are, without the steps
    between. Raises ConfigError
    and OSError as `learning_curve` does.
    """
    has_ink = any(reading.ink is not None for _, reading, _ in rows)
    columns = range(len(STEPS)) if has_ink else (0, len(STEPS) - 1)
    with figure_at(path, 2.1 * (len(columns) + 1), 2.1 * len(rows) + 0.8) as figure:
        title = "From each picture to what the net sees, and its answer"
        title += "; ink is drawn dark, whatever it was" if has_ink else ""
        headline(figure, title)
        panels = figure.subplots(len(rows), len(columns) + 1, squeeze=False)
        for line, (name, reading, answer) in zip(panels, rows, strict=True):
            *pictures, said = line
            steps = _steps(reading)
            for axes, column in zip(pictures, columns, strict=True):
                values = steps[column]
                if values is None:
                    axes.set_axis_off()
                    continue
                axes.imshow(values, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
                axes.grid(False)
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set(visible=True, color="#999999")
                axes.set_title(STEPS[column], loc="center", size=8, weight="normal", pad=3)
            said.set_axis_off()
            said.text(0, 0.5, f"{name}\n\n{answer}", va="center", size=9, wrap=True)


def _steps(reading: Reading) -> tuple[Array | None, ...]:
    """The four pictures, 1 for black: (h, w) three times, and (H, W). Of one that was only scaled two, (…, 3)
    or for grey (…)."""
    if reading.ink is None or reading.contrast is None or reading.dropped is None:
        image = reading.image / 255
        return (
            _smaller(reading.picture / 255),
            None,
            None,
            image if image.shape[2] == 3 else 1 - image[..., 0],
        )
    grey = reading.picture @ np.array([0.299, 0.587, 0.114]) / 255
    rest = np.where(reading.dropped, 1.0, 0.35 * reading.ink)
    return (
        _smaller(1 - grey),
        _smaller(reading.contrast),
        _smaller(rest),
        reading.image[..., 0] / 255,
    )


def _smaller(values: Array) -> Array:
    """Every so many pixels of the picture: enough to look at."""
    step = -(-max(values.shape) // LARGEST)
    return values[::step, ::step]
