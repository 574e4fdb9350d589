"""Pictures of rung 10: they show the figures they are given."""

from __future__ import annotations

import pytest

from tinynet.learn import drawing_speed


def test_bars_are_as_long_as_the_rates_and_the_limit_is_a_line() -> None:
    (axes,) = drawing_speed.against_limit({"slow": 0.5, "fast": 200.0}, 100.0, "Speed").axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.5, 200.0])
    assert list(axes.lines[0].get_xdata()) == [100.0, 100.0]
    assert axes.get_xlim()[1] > 200.0


def test_tiles_at_the_edges_are_cut_off_and_hatched() -> None:
    (axes,) = drawing_speed.tiles(M=5, N=7, K=3, rows=2, columns=3).axes
    hatched = [(box.get_width(), box.get_height()) for box in axes.patches if box.get_hatch()]
    assert hatched == [(1, 2), (1, 2), (3, 1), (3, 1), (1, 1)]
