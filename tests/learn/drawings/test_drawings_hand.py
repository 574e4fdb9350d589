"""tinynet.learn.drawings.hand: strokes on pads, and shares with their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from tinynet.learn.drawings.hand import pads, shares
from tinynet.metrics import wilson_interval


def test_each_stroke_is_a_line_and_begins_at_a_ring() -> None:
    strokes = [np.array([[10.0, 20.0], [30.0, 90.0]]), np.array([[50.0, 60.0]])]
    [drawn, empty] = pads([strokes], ["a 1"], 100, columns=2).axes
    assert drawn.get_title() == "a 1"
    assert drawn.get_ylim() == (100, 0), "y goes downwards"
    lines = [np.asarray(line.get_xydata()).tolist() for line in drawn.get_lines()]
    assert lines == [strokes[0].tolist(), [[10, 20]], [[50, 60]], [[50, 60]]]
    assert not empty.axison


def test_shares_have_wilsons_intervals() -> None:
    [axes] = shares({"mine": [(9, 10), (5, 10)], "theirs": [(10, 10), (20, 20)]}, ["a", "b"], "read").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mine", "theirs"]
    first, second = axes.get_lines()
    assert first.get_xdata() == pytest.approx([90, 100])
    assert second.get_xdata() == pytest.approx([50, 100])
    assert first.get_marker() != second.get_marker()
    [blue, _] = axes.collections
    assert isinstance(blue, LineCollection)
    ends = blue.get_segments()[0][:, 0]
    assert ends == pytest.approx([100 * end for end in wilson_interval(9, 10)])
