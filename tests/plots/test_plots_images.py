"""The sheet of digits: what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
        (np.zeros((1, 4, 4, 3), np.uint8), ["colour"]),
    ],
)
def test_digits_refuses(images: Any, titles: list[str], tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"(?s)expected: uint8.*received: .*fix: "):
        plots.digits(images, titles, tmp_path / "plot.png")
