"""Pictures of rung 10: they show the figures they are given."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from tinynet.learn.drawings import speed as drawing_speed


def test_bars_are_as_long_as_the_rates_and_the_limit_is_a_line() -> None:
    (axes,) = drawing_speed.against_limit({"slow": 0.5, "fast": 200.0}, 100.0, "Speed").axes
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    assert [bar.get_width() for bar in bars] == pytest.approx([0.5, 200.0])
    assert np.asarray(axes.lines[0].get_xdata()).tolist() == [100.0, 100.0]
    assert axes.get_xlim()[1] > 200.0


def test_tiles_at_the_edges_are_cut_off_and_hatched() -> None:
    (axes,) = drawing_speed.tiles(M=5, N=7, K=3, rows=2, columns=3).axes
    boxes = [box for box in axes.patches if isinstance(box, Rectangle)]
    hatched = [(box.get_width(), box.get_height()) for box in boxes if box.get_hatch()]
    assert hatched == [(1, 2), (1, 2), (3, 1), (3, 1), (1, 1)]
