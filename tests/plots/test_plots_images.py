"""The sheet of images: colours, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from plots_drawn import IMAGES

from tinynet import plots
from tinynet.errors import ShapeError


@pytest.mark.parametrize(
    ("images", "titles"),
    [
        (IMAGES, ["one"]),
        (IMAGES / 255, ["x"] * 10),
        (IMAGES[0, ..., 0], ["x"] * 6),
        (IMAGES[:0], []),
        (np.zeros((1, 4, 4, 2), np.uint8), ["two channels"]),
        (np.zeros((1, 4), np.uint8), ["a row"]),
    ],
)
def test_digits_refuses(images: Any, titles: list[str], tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"(?s)expected: uint8.*received: .*fix: "):
        plots.digits(images, titles, tmp_path / "plot.png")


def test_colours_are_drawn_as_they_are(tmp_path: Path) -> None:
    image = np.full((1, 8, 8, 3), (10, 160, 220), np.uint8)
    plots.digits(image, ["sky"], tmp_path / "plot.png")
    drawn = np.asarray(Image.open(tmp_path / "plot.png").convert("RGB"))
    assert (drawn == (10, 160, 220)).all(axis=-1).sum() > 1000
