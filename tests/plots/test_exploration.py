"""Labels, pixels and explained variance: what their titles say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from plots_drawn import DRAW, svg_text

from tinynet import plots


def test_labels_and_pixels_say_what_to_see(tmp_path: Path) -> None:
    DRAW["labels"](tmp_path / "plot.svg")
    assert "Labels: from 10.00 % (a) to 40.00 % (d)" in svg_text(tmp_path / "plot.svg")
    plots.labels({"train": np.array([6, 6])}, "ab", tmp_path / "plot.svg")
    assert "Labels: all classes alike, 50.00 % each" in svg_text(tmp_path / "plot.svg")
    plots.pixels(np.array([[3, *[0] * 254, 1]]), tmp_path / "plot.svg")
    text = svg_text(tmp_path / "plot.svg")
    assert "Pixels: 75.00 % are 0" in text
    assert "mean 63.8" in text
    assert "mean 0.25" in text
    assert "deviation 0.433" in text


def test_channels_have_a_histogram_each(tmp_path: Path) -> None:
    plots.pixels(np.array([[4, *[0] * 255], [*[0] * 255, 4], [2, *[0] * 254, 2]]), tmp_path / "plot.svg")
    text = svg_text(tmp_path / "plot.svg")
    assert "Values: 50.00 % are 0" in text
    assert all(channel in text for channel in ("red", "green", "blue"))


def test_explained_variance_says_what_to_see(tmp_path: Path) -> None:
    DRAW["explained_variance"](tmp_path / "plot.svg")
    text = svg_text(tmp_path / "plot.svg")
    assert "2 of 4 components keep 80.0 % of the variance" in text
    assert "90 %: 3" in text
