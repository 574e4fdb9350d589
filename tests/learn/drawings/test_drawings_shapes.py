"""tinynet.learn.drawings.shapes: what an equation of boxes says, and how large its boxes are."""

from __future__ import annotations

import numpy as np

from tinynet.learn.drawings.shapes import CELL, MAX_CELLS, Box, equation

N, I, O = ("N", 3), ("I", 784), ("O", 2)


def test_an_equation_names_each_box_each_axis_and_each_sign() -> None:
    figure = equation(Box("x", N, I), "@", Box("W", I, O), "+", Box("b", ("", 1), O), "=", Box("y", N, O))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert [each for each in texts if each in ("x", "@", "W", "+", "b", "=", "y")] == list("x@W+b=y")
    assert [each for each in texts if each.startswith("(")] == ["(N, I)", "(I, O)", "(O)", "(N, O)"]
    assert texts.count("N = 3") == texts.count("I = 784") == 2
    assert texts.count("O = 2") == 3


def test_values_stand_in_the_cells_row_by_row() -> None:
    values = np.array([[1.0, 2.5], [0.0, -3.0], [4.0, 0.1]])
    texts = [text.get_text() for text in equation(Box("y", N, O, values)).axes[0].texts]
    assert texts[:6] == ["1", "2.5", "0", "-3", "4", "0.1"]


def test_a_long_axis_is_drawn_shorter_than_it_is() -> None:
    box = Box("W", I, O)
    assert (box.height, box.width) == (CELL * MAX_CELLS, CELL * 2)


def test_a_mark_covers_its_row_its_column_or_one_element() -> None:
    def marked(row: int | None, column: int | None) -> tuple[float, float]:
        figure = equation(Box("y", ("N", 4), O, row=row, column=column))
        outlined = [patch for patch in figure.axes[0].patches if patch.get_linewidth() == 1.8]
        box = outlined[0].get_path().get_extents(outlined[0].get_patch_transform())
        return round(box.width / CELL, 6), round(box.height / CELL, 6)

    assert marked(1, None) == (2.0, 1.0)
    assert marked(None, 1) == (1.0, 4.0)
    assert marked(1, 1) == (1.0, 1.0)
