"""Pictures of rung 9: they show the figures they are given."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Rectangle

from tinynet.learn.drawings import results as drawing_results


def test_intervals_that_miss_the_truth_are_told_apart() -> None:
    low, high = np.array([0.90, 0.97, 1.00]), np.array([0.96, 0.99, 1.00])
    (axes,) = drawing_results.intervals(low, high, 0.95, "Intervals").axes
    ends = {line.get_label(): np.asarray(line.get_xdata()).tolist() for line in axes.lines}
    assert (ends["holds the truth"], ends["misses it"]) == ([1], [2, 3])


def test_equal_accuracies_are_one_bar() -> None:
    (axes,) = drawing_results.lucky_accuracies(np.array([0.9, 0.9, 0.95]), 0.92, "Luck").axes
    assert [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)] == [2, 1]
