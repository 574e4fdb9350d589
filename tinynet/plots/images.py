"""Pictures of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinynet.errors import ShapeError
from tinynet.plots.style import figure_at, headline
from tinynet.types import Array


def digits(images: Array, titles: Sequence[str], path: str | Path, *, title: str = "") -> None:
    """Draw images in a grid, each under its own title; for a few dozen of them.

    Grey ones are drawn as ink on paper, others in their colours.

    images (N, H, W), (N, H, W, 1) or (N, H, W, 3) uint8   titles: N strings   title: of the whole picture

    Raises ShapeError if these do not fit, ConfigError and OSError as `learning_curve` does.
    """
    images = np.asarray(images)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    is_drawable = images.ndim == 3 or images.shape[3:] == (3,)
    if not is_drawable or len(images) != len(titles) or images.dtype != np.uint8 or not len(images):
        raise ShapeError(
            "these images cannot be drawn",
            expected="uint8 images (N, H, W), (N, H, W, 1) or (N, H, W, 3), at least one, and N titles",
            received=f"{images.dtype} {images.shape} and {len(titles)} titles",
            fix="undo the scaling to 0 … 1, and give each image a title",
        )
    rows = -(-len(images) // 8)
    columns = -(-len(images) // rows)
    longest = max(len(line) for name in titles for line in name.splitlines() or [""])
    width = max(1.05, 0.09 * longest)  # inches: a character of a panel's title takes some 0.08
    with figure_at(path, max(width * columns, 3.0), 1.3 * rows + 0.45) as figure:
        headline(figure, title)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel in panels[len(images) :]:
            panel.set_axis_off()
        for panel, image, name in zip(panels, images, titles, strict=False):
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set(visible=True, color="#CCCCCC")
            panel.imshow(image, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
            panel.set_title(name, loc="center", size=9, weight="normal", pad=3)
