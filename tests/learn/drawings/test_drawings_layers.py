"""Pictures of what layers do: the numbers that are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from tinynet.learn.drawings.layers import Panel, histograms, regions, spreads

pytest.importorskip("matplotlib")

POINTS = np.array([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]])


def test_points_of_each_class_and_a_fold_for_each_unit() -> None:
    W, b = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([-0.5, 1.0])
    panel = Panel("a line", lambda points: points[:, 0], folds=(W, b))
    figure = regions([panel, Panel("another", lambda points: points[:, 1])], POINTS, np.array([0, 1, 1]))
    first, second = figure.axes
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["a line", "another"]
    *folds, zeros, ones = (np.stack(line.get_data()) for line in first.lines)
    np.testing.assert_allclose(folds[0][0], 0.5)  # 1 u - 0.5 = 0
    np.testing.assert_allclose(folds[1][1], -0.5)  # 2 v + 1 = 0
    np.testing.assert_array_equal(zeros.T, POINTS[:1])
    np.testing.assert_array_equal(ones.T, POINTS[1:])


def test_each_series_has_a_marker_of_its_own() -> None:
    figure = spreads({"outputs": {"small": [1.0, 0.1], "large": [1.0, 10.0]}})
    [axes] = figure.axes
    assert axes.get_yscale() == "log"
    assert len({line.get_marker() for line in axes.lines}) == 2
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [1.0, 10.0])
    assert axes.get_legend_handles_labels()[1] == ["small", "large"]


def test_bars_are_shares_and_the_last_holds_what_lies_beyond() -> None:
    figure = histograms({"a net": [np.array([[0.0, 0.0], [2.4, 99.0]])]}, ["layer 1"], reach=5.0)
    [axes] = figure.axes
    heights = [bar.get_extents().height for bar in axes.patches]
    full = axes.bbox.height  # 100 %
    np.testing.assert_allclose(
        [heights[0], heights[9], heights[-1], sum(heights)], np.array([0.5, 0.25, 0.25, 1.0]) * full
    )
