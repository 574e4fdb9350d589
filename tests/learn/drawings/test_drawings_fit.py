"""Pictures of rung 8: they show the figures they are given."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import StepPatch

from tinynet.learn.drawings import fit as drawing_fit


def test_the_least_loss_on_unseen_images_is_marked() -> None:
    (axes,) = drawing_fit.two_losses([3.0, 2.0, 1.0], [3.0, 1.5, 2.0], "Losses").axes
    marked = axes.lines[2]
    assert np.asarray([marked.get_xdata(), marked.get_ydata()], float).ravel().tolist() == [2, 1.5]


def test_the_mean_is_over_the_runs_that_still_go() -> None:
    none = np.array([[4.0, 3.0, 2.0]])
    stopped = np.array([[4.0, 2.0, np.nan], [2.0, np.nan, np.nan]])
    figure = drawing_fit.against_none({"none": none, "stopping": stopped}, "loss")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["stopping"]
    mean = np.asarray(figure.axes[0].lines[-1].get_ydata(), float)
    np.testing.assert_array_equal(mean, [3.0, 2.0, np.nan])


def test_outcomes_are_in_percent_with_a_bar_at_the_mean() -> None:
    (axes,) = drawing_fit.outcomes({"none": np.array([0.5, 0.7])}, "Accuracy").axes
    rings, bar = axes.lines
    np.testing.assert_allclose(np.asarray(rings.get_xdata(), float), [50, 70])
    np.testing.assert_allclose(np.asarray(bar.get_xdata(), float), [60])


def test_every_image_has_a_panel_and_every_weight_is_counted() -> None:
    images = np.zeros((6, 4, 4), np.uint8)
    assert len(drawing_fit.before_and_after(images, columns=3).axes) == 6
    (axes,) = drawing_fit.weight_sizes({"none": np.arange(-3.0, 4.0)}, "Weights").axes
    (outline,) = axes.patches
    assert isinstance(outline, StepPatch)
    assert np.sum(outline.get_data()[0]) == 7
