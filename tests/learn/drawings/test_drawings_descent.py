"""Pictures of optimisers: the numbers that are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from tinynet.learn.drawings.descent import descents, lines
from tinynet.types import Array

pytest.importorskip("matplotlib")


def bowl(points: Array) -> Array:
    squares: Array = ((points - np.array([1.0, 0.5])) ** 2).sum(axis=-1)
    return squares


def test_each_path_is_drawn_where_it_went_with_a_marker_of_its_own() -> None:
    paths = {"SGD": np.array([[0.0, 0.0], [0.5, 0.2]]), "Adam": np.array([[0.0, 0.0], [0.9, 0.5]])}
    panels = {"a bowl": (bowl, paths), "again": (bowl, paths)}
    figure = descents(panels, minimum=(1.0, 0.5), across=(-1.0, 3.0), up=(-0.5, 1.5))
    for axes in figure.axes:
        drawn = {line.get_label(): line for line in axes.lines if line.get_label() in paths}
        assert drawn.keys() == paths.keys()
        for name, path in paths.items():
            np.testing.assert_array_equal(np.stack(drawn[name].get_data()).T, path)
        assert len({line.get_marker() for line in drawn.values()}) == len(paths)
        assert axes.get_xlim() == pytest.approx((-1.0, 3.0))
        assert axes.get_ylim() == pytest.approx((-0.5, 1.5))
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(paths)


def test_lines_on_the_axes_that_were_asked_for() -> None:
    series = {"a": ([1.0, 10.0], [2.0, 3.0]), "b": ([1.0, 10.0], [4.0, 5.0])}
    [axes] = lines({"both": series}, across="rate", up="loss", log="x", vertical={"here": 3.0}).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert axes.get_legend_handles_labels()[1] == ["a", "b"]
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [4.0, 5.0])
    np.testing.assert_array_equal(axes.lines[2].get_xdata(), [3.0, 3.0])
    assert [text.get_text().strip() for text in axes.texts] == ["here"]
    assert lines({"alone": {"a": series["a"]}}, across="rate", up="loss").legends == []
