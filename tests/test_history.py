"""A history in a notebook."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tinynet.history import BestBy, History


def test_a_notebook_shows_a_row_for_each_epoch_and_a_column_for_each_figure() -> None:
    history = History([{"epoch": 1, "loss": 0.123456}, {"epoch": 2, "loss": 0.1, "val_loss": 0.2}])
    html = history._repr_html_()
    assert "<th>epoch</th><th>loss</th><th>val_loss</th>" in html
    assert "<td>1</td><td>0.1235</td><td></td>" in html


RECORDS = [
    {"epoch": 1, "val_loss": 3.0, "val_accuracy": 0.5},
    {"epoch": 2, "val_loss": math.nan, "val_accuracy": 0.8},
    {"epoch": 3, "val_loss": 1.0, "val_accuracy": 0.8},
    {"epoch": 4, "val_loss": 0.9, "val_accuracy": 0.85},
    {"epoch": 5, "loss": 0.1},
]


@pytest.mark.parametrize(
    ("by", "best", "final"),
    [
        (BestBy(), 4, 5),
        (BestBy(restored=True), 4, 4),
        (BestBy(min_delta=0.5, restored=True), 3, 3),
        (BestBy("val_accuracy"), 4, 5),
        (BestBy("val_accuracy", 0.1, True), 2, 2),
        (BestBy("loss"), 5, 5),
        (BestBy("accuracy", restored=True), None, 5),
    ],
)
def test_the_best_epoch_and_the_one_whose_weights_are_final(by: BestBy, best: int | None, final: int) -> None:
    found: Any = by.best(RECORDS)
    assert (found and found["epoch"]) == best
    kept: Any = by.final(RECORDS)
    assert kept["epoch"] == final
    assert by.best([]) is by.final([]) is None
