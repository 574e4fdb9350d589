"""The picture of a rate finder: what it says, that an exploding loss hides nothing, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from plots_drawn import DRAW, FALLING, RATES, svg_text

from tinynet import plots
from tinynet.errors import ShapeError


def test_it_marks_the_suggestion(tmp_path: Path) -> None:
    DRAW["rate_curve"](tmp_path / "plot.svg")
    text = svg_text(tmp_path / "plot.svg")
    for part in ("most steeply at a learning rate of 0.0078", "suggested: 0.0078", "smoothed", "each batch"):
        assert part in text
    plots.rate_curve(RATES, FALLING, FALLING, tmp_path / "none.svg")
    text = svg_text(tmp_path / "none.svg")
    assert "The loss falls at no rate" in text
    assert "suggested" not in text


@pytest.mark.parametrize("last", [1e3, 1e300])
def test_an_exploding_loss_does_not_flatten_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: float
) -> None:
    limits: list[tuple[float, float]] = []
    draw = Axes.set

    def watched(axes: Axes, **given: Any) -> Any:
        limits.append(given["ylim"])
        return draw(axes, **given)

    monkeypatch.setattr(Axes, "set", watched)
    losses = np.append(FALLING[:-1], last)
    plots.rate_curve(RATES, losses, losses, tmp_path / "plot.png")
    assert limits[0][0] < FALLING[:-1].min()
    assert FALLING.max() < limits[0][1] < 5


def test_a_loss_that_never_changes_is_drawn(tmp_path: Path) -> None:
    plots.rate_curve(RATES, np.ones(20), np.ones(20), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_arrays_that_do_not_fit(tmp_path: Path) -> None:
    for rates, losses in ((RATES, FALLING[1:]), (RATES[:0], FALLING[:0])):
        with pytest.raises(ShapeError, match="cannot be drawn"):
            plots.rate_curve(rates, losses, losses, tmp_path / "plot.png")
    assert not (tmp_path / "plot.png").exists()
