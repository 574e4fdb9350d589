"""Pictures of rung 13: they show the figures they are given."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from tinynet.learn.drawings import steps as drawing_steps


def test_a_step_has_its_nets_their_mean_and_its_interval_in_percent() -> None:
    (axes,) = drawing_steps.steps({"plain": (np.array([0.5, 0.7]), (0.4, 0.75))}, "Steps").axes
    (band,) = (each for each in axes.patches if isinstance(each, Rectangle))
    assert (band.get_x(), band.get_width()) == pytest.approx((40, 35))
    mean, rings = axes.lines
    np.testing.assert_allclose(np.asarray(mean.get_xdata(), float), [60])
    np.testing.assert_allclose(np.asarray(rings.get_xdata(), float), [50, 70])


def test_both_losses_are_drawn_over_the_epochs_from_1() -> None:
    (axes,) = drawing_steps.two_losses({"last": [3.0, 1.0, 2.0], "mean": [3.0, 2.0, 1.0]}, "Losses").axes
    assert [np.asarray(line.get_xdata()).tolist() for line in axes.lines] == [[1, 2, 3]] * 2
    assert np.asarray(axes.lines[1].get_ydata()).tolist() == [3, 2, 1]


def test_the_best_of_many_is_in_percent_and_so_is_the_truth() -> None:
    (axes,) = drawing_steps.best_of([1, 2], {"few": [0.9, 0.95], "many": [0.9, 0.91]}, 0.9, "Luck").axes
    few, _, truth = axes.lines
    np.testing.assert_allclose(np.asarray(few.get_ydata(), float), [90, 95])
    np.testing.assert_allclose(np.asarray(truth.get_ydata(), float), [90, 90])
