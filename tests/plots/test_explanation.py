"""Maps and activations: what is written beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from plots_drawn import IMAGES, MATRIX, svg_text

from tinynet import plots


def test_maps_say_what_was_seen(tmp_path: Path) -> None:
    plots.maps(IMAGES[0], {"heat": MATRIX}, tmp_path / "plot.svg", title="Why", caption="seen as 3 (99.00 %)")
    text = svg_text(tmp_path / "plot.svg")
    assert all(part in text for part in ("Why", "seen as 3 (99.00 %)", "heat"))


def test_a_long_title_goes_on_in_another_line(tmp_path: Path) -> None:
    title = "Grad-CAM: where residual_3 (layer 12) finds evidence for Egyptian mongoose"
    plots.maps(IMAGES[0], {"heat": MATRIX}, tmp_path / "plot.png", title=title, caption="")
    drawn = np.asarray(Image.open(tmp_path / "plot.png").convert("L"))
    assert (drawn[:, -8:] == 255).all()
    plots.maps(IMAGES[0], {"heat": MATRIX}, tmp_path / "plot.svg", title=title, caption="")
    assert title not in svg_text(tmp_path / "plot.svg")
    assert {*title.split()} <= {*svg_text(tmp_path / "plot.svg").split()}


def test_activations_are_the_strongest_channels_in_their_order(tmp_path: Path) -> None:
    values = np.array([1.0, -9.0, 2.0, 5.0]) * np.ones((2, 2, 1))
    plots.activations([("conv", values), ("dense", np.arange(30))], 2, tmp_path / "plot.svg")
    text = svg_text(tmp_path / "plot.svg")
    assert [channel for channel in range(4) if f"#{channel}" in text] == [1, 3]
    assert text.index("#1") < text.index("#3")
    assert "conv: 2 × 2 × 4 values, -9 … 5" in text
    assert "dense: 30 values, 0 … 29" in text
