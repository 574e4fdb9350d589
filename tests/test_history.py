"""A history in a notebook."""

from __future__ import annotations

from tinynet.history import History


def test_a_notebook_shows_a_row_for_each_epoch_and_a_column_for_each_figure() -> None:
    history = History([{"epoch": 1, "loss": 0.123456}, {"epoch": 2, "loss": 0.1, "val_loss": 0.2}])
    html = history._repr_html_()
    assert "<th>epoch</th><th>loss</th><th>val_loss</th>" in html
    assert "<td>1</td><td>0.1235</td><td></td>" in html
