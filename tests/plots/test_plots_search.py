"""The plots of a search: what they say, few numbers on an axis, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from plots_drawn import DRAW, svg_text

from tinynet import plots
from tinynet.errors import DataError, ShapeError


def test_a_long_logarithmic_axis_has_few_numbers(tmp_path: Path) -> None:
    """So many that they lie over each other, if there were more."""
    for low, numbers in ((0.04, 3), (0.002, 4), (0.0001, 4)):
        values = np.geomspace(low, 0.1, 4).tolist()
        plots.search_settings(
            {"rate": values}, [0.5] * 4, [True] * 4, tmp_path / "plot.svg", samples=10, log={"rate"}
        )
        shown = re.findall(r"\b0\.\d+\b", svg_text(tmp_path / "plot.svg"))
        assert len(shown) <= numbers, shown


def test_search_plots_say_what_to_see(tmp_path: Path) -> None:
    DRAW["search_history"](tmp_path / "history.svg")
    text = svg_text(tmp_path / "history.svg")
    assert "Best of 4 trials: trial 2, 98.00 % right" in text
    assert "pruned" in text
    DRAW["search_settings"](tmp_path / "settings.svg")
    text = svg_text(tmp_path / "settings.svg")
    for part in ("4 trials", "rate", "batch size", "32", "64", "0.001", "validation error (%)"):
        assert part in text


def test_a_search_without_an_error_or_with_one_trial(tmp_path: Path) -> None:
    plots.search_history([7], [1.0], [True], tmp_path / "plot.svg", samples=10)
    assert "Best of 1 trials: trial 7, 100.00 % right" in svg_text(tmp_path / "plot.svg")


def test_search_plots_refuse(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    with pytest.raises(ShapeError, match="cannot be drawn"):
        plots.search_history([0, 1], [0.5], [True], path, samples=10)
    with pytest.raises(ShapeError, match="cannot be drawn"):
        plots.search_settings({"rate": [1.0, 2.0]}, [0.5], [True], path, samples=10)
    with pytest.raises(DataError, match="no trial is complete"):
        plots.search_history([0], [0.5], [False], path, samples=10)
