"""Confusion matrix, curves and reliability: what their titles say, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plots_drawn import MATRIX, RANKINGS, svg_text

from tinynet import metrics, plots
from tinynet.errors import DataError, ShapeError


@pytest.mark.parametrize(
    ("matrix", "title"),
    [
        (MATRIX, ["Confusion matrix: 95.74 % right", "most confused: b → c (3 times)"]),
        ([[1, 1], [0, 1]], ["66.67 % right", "a → b (1 time)"]),
        ([[2, 0], [0, 0]], ["100.00 % right, no errors"]),
        ([[4]], ["100.00 % right, no errors"]),
    ],
)
def test_confusion_matrix_says_what_to_see(matrix: Any, title: list[str], tmp_path: Path) -> None:
    plots.confusion_matrix(np.asarray(matrix), "abc"[: len(matrix)], tmp_path / "plot.svg")
    text = svg_text(tmp_path / "plot.svg")
    assert all(line in text for line in title)


def test_confusion_matrix_of_many_classes_writes_no_counts(tmp_path: Path) -> None:
    plots.confusion_matrix(
        np.eye(31, dtype=int) * 777, [f"class {i}" for i in range(31)], tmp_path / "plot.svg"
    )
    assert "777" not in svg_text(tmp_path / "plot.svg")


def test_confusion_matrix_refuses(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"(?s)expected: shape \(2, 2\).*received: \(3, 3\)"):
        plots.confusion_matrix(MATRIX, ["a", "b"], tmp_path / "plot.png")
    with pytest.raises(ShapeError):
        plots.confusion_matrix(np.zeros((0, 0), int), [], tmp_path / "plot.png")
    with pytest.raises(DataError, match="empty"):
        plots.confusion_matrix(0 * MATRIX, ["a", "b", "c"], tmp_path / "plot.png")


def test_the_curves_name_the_lowest_area(tmp_path: Path) -> None:
    for draw, name in ((plots.roc, "roc_auc"), (plots.precision_recall, "average_precision")):
        draw(RANKINGS, "abcd", tmp_path / "plot.svg")
        areas = [getattr(ranking, name) for ranking in RANKINGS]
        text = svg_text(tmp_path / "plot.svg")
        assert f"lowest {min(areas):.5f} ({'abcd'[int(np.argmin(areas))]})" in text
        assert f"mean {'area' if name == 'roc_auc' else 'average precision'} {np.mean(areas):.5f}" in text
        assert text.count("the others") == 1


def test_a_class_without_a_curve_is_left_out(tmp_path: Path) -> None:
    rankings = metrics.one_against_rest(
        np.array([0, 1, 1]), np.array([[0.8, 0.2, 0], [0.1, 0.9, 0], [1, 0, 0]])
    )
    for draw in (plots.roc, plots.precision_recall):
        draw(rankings, "abc", tmp_path / "plot.svg")
        text = svg_text(tmp_path / "plot.svg")
        assert "c (" not in text
        assert "nan" not in text
        every = metrics.ranking(np.array([True]), np.array([0.5]))  # all positive: no curve either
        with pytest.raises(DataError, match="no curve"):
            draw([rankings[2], every], "cd", tmp_path / "plot.svg")


def test_reliability_says_which_way_it_leans(tmp_path: Path) -> None:
    for labels, leaning in (
        (np.ones(4, int), "not sure enough"),
        (np.zeros(4, int), "too sure"),
        (np.array([1, 1, 0, 1]), "neither too sure nor too unsure"),
    ):
        calibration = metrics.calibration(labels, np.array([[0.2, 0.8]] * 4))
        plots.reliability(calibration, tmp_path / "plot.svg")
        assert leaning in svg_text(tmp_path / "plot.svg")


def test_few_predictions_are_counted_in_whole_numbers(tmp_path: Path) -> None:
    calibration = metrics.calibration(
        np.ones(4, int), np.array([[0.2, 0.8], [0.2, 0.8], [0.4, 0.6], [0.4, 0.6]])
    )
    plots.reliability(calibration, tmp_path / "plot.svg")
    text = svg_text(tmp_path / "plot.svg")
    assert "Calibration error 30.00 % (4 predictions)" in text
    assert "×" not in text
