"""Model cards: what is counted, what is said, and that nothing is said which was not measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinynet.analysis.card import LIMITS, LIMITS_OF_OTHERS, MEASURES, Part, as_markdown, card
from tinynet.analysis.evaluation import class_figures
from tinynet.data import load
from tinynet.io.markdown import plain
from tinynet.metrics import wilson_interval
from tinynet.types import Array

DIGITS = [str(digit) for digit in range(10)]
ABOUT: dict[str, Any] = {
    "name": "mine",
    "parameters": 1234,
    "weights_sha256": "abc",
    "input_shape": (28, 28, 1),
    "data": {"name": "sample", "hash": "def"},
    "command": "tinynet train mine",
    "remarks": ["A remark."],
}


def answers(labels: Array, wrong: Array, sure: float = 0.95) -> Array:
    """Probabilities (N, 10), right but where `wrong` (N,) is true; there half as sure of the next class."""
    said = np.where(wrong, (labels + 1) % 10, labels)
    confidence = np.where(wrong, sure / 2 + 0.1, sure)[:, None]
    return np.where(np.arange(10) == said[:, None], confidence, (1 - confidence) / 9)


@pytest.fixture(scope="module")
def test() -> Part:
    """The sample's test images; every tenth answer is wrong, and not sure."""
    digits = load("sample").test
    wrong = np.arange(len(digits)) % 10 == 0
    return Part(digits.images, digits.labels, answers(digits.labels, wrong))


def section(found: dict[str, Any], heading: str) -> dict[str, Any]:
    (one,) = [each for each in found["sections"] if each["heading"] == heading]
    return dict(one)


def test_all_figures_of_the_test_images(test: Part) -> None:
    found = card(ABOUT, DIGITS, {"training": test, "test": test})
    figures = found["figures"]
    assert figures["test"]["errors"] == 100
    assert figures["test"]["interval"] == list(wilson_interval(900, 1000))
    assert figures["calibration"]["wrong_not_sure"] == 100
    assert figures["calibration"]["right_not_sure"] == 0
    assert figures["calibration"]["expected_calibration_error"] == pytest.approx(0.9 * 0.05 + 0.1 * 0.575)
    assert [part["name"] for part in figures["parts"]] == ["training", "test"]
    assert found == plain(found)  # a page takes it as JSON
    assert "Training minus test is +0.00" in section(found, "How good it is")["text"][1]
    assert [row[0] for row in section(found, "How good it is")["rows"]] == ["training", "test"]
    assert len(section(found, "Class by class")["rows"]) == 10


def test_slices_hold_every_image_once_and_are_in_order(test: Part) -> None:
    slices = card(ABOUT, DIGITS, {"test": test})["figures"]["slices"]
    assert [each["by"] for each in slices] == [measure.name for measure in MEASURES]
    for each in slices:
        assert sum(row["samples"] for row in each["rows"]) == 1000
        assert sum(row["right"] for row in each["rows"]) == 900
        edges = [edge for row in each["rows"] for edge in (row["from"], row["to"])]
        assert edges == sorted(edges)
        assert each["rows"][0]["samples"] < 150  # the extremes are small


def test_a_net_that_is_wrong_about_thick_strokes_is_found_out(test: Part) -> None:
    thick = MEASURES[0].of(test.images)
    wrong = thick > np.quantile(thick, 0.95)
    part = Part(test.images, test.labels, answers(test.labels, wrong))
    rows = card(ABOUT, DIGITS, {"test": part})["figures"]["slices"][0]["rows"]
    assert [row["accuracy"] for row in rows] == [1, 1, 1, 1, 0]


def test_the_reports_own_figures_count(test: Part) -> None:
    reported = class_figures(test.labels, test.labels, DIGITS)
    found = card(ABOUT, DIGITS, {"test": test}, reported)
    assert found["figures"]["test"]["errors"] == 0
    assert section(found, "How good it is")["rows"][-1][1] == "100.00 %"


def test_without_data_the_card_has_what_was_reported_and_no_more(test: Part) -> None:
    reported = class_figures(test.labels, test.labels, DIGITS)
    found = card(ABOUT, DIGITS, {}, reported)
    assert found["figures"].keys() == {"test"}
    headings = [each["heading"] for each in found["sections"]]
    assert "By slant" not in headings
    assert "How far its probabilities can be believed" not in headings
    nothing = card({}, DIGITS, {})
    assert nothing["title"] == "Model card: a net"
    assert "not known" in section(nothing, "How good it is")["text"][0]
    assert "Nothing is recorded" in section(nothing, "Whose handwriting")["text"][0]


def test_images_made_worse_are_told(test: Part) -> None:
    found = card(ABOUT, DIGITS, {"test": test}, None, {"blurred": np.arange(4) > 0})
    assert found["figures"]["worse"][0]["right"] == 3
    rows = section(found, "When images are made worse")["rows"]
    assert rows == [["blurred", "75.00 %", "30.06 % to 95.44 %"]]


def test_other_classes_are_no_handwriting(test: Part) -> None:
    clothes = [f"class {number}" for number in range(10)]
    found = card({"data": {"name": "fashion-mnist"}}, clothes, {"test": test})
    assert "slices" not in found["figures"]
    assert "no handwriting" in section(found, "Whose data")["text"][0]
    assert section(found, "What it must not be used for")["text"] == list(LIMITS_OF_OTHERS)


def test_the_card_as_markdown(test: Part) -> None:
    text = as_markdown(card(ABOUT, DIGITS, {"test": test}))
    assert text.startswith("# Model card: mine\n\n## What it is\n\nA net of 1,234 parameters")
    assert "90.00 % of 1,000 test images are right: 100 errors" in text
    assert "## By stroke thickness" in text
    assert "A remark." in text
    assert "`tinynet train mine`" in text
    assert all(limit in text for limit in LIMITS)


def test_a_class_that_never_occurs_has_no_interval(test: Part) -> None:
    some = test.labels != 3
    part = Part(test.images[some], test.labels[some], test.probabilities[some])
    rows = section(card(ABOUT, DIGITS, {"test": part}), "Class by class")["rows"]
    assert rows[3][2] == "not defined"
