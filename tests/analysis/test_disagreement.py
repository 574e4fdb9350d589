"""The images that all nets call otherwise than their label: which, in which order, what is said."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tinynet.analysis import disagreement
from tinynet.analysis.disagreement import EACH, MOST

LABELS = np.array([0, 1, 2, 0, 1])
NETS = np.array(
    [
        [[0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.3, 0.6, 0.1], [0.6, 0.3, 0.1]],
        [[0.1, 0.3, 0.6], [0.7, 0.2, 0.1], [0.1, 0.9, 0.0], [0.9, 0.0, 0.1], [0.2, 0.1, 0.7]],
    ]
)
CLASSES = ("a", "b", "c|d")


def test_what_all_nets_call_otherwise_with_the_surest_first() -> None:
    found = disagreement.against_label(LABELS, NETS, CLASSES)
    assert [row["index"] for row in found] == [2, 0, 4]
    assert [row["label"] for row in found] == ["c|d", "a", "b"]
    assert [row["probability_of_label"] for row in found] == pytest.approx([0.05, 0.15, 0.2])
    assert found[0]["nets"] == [{"says": "a", "confidence": 0.5}, {"says": "b", "confidence": 0.9}]
    assert "file" not in found[0]


def test_pictures_have_the_name_of_their_file() -> None:
    files = np.array([f"{n}.png" for n in range(5)])
    found = disagreement.against_label(LABELS, NETS, CLASSES, files)
    assert [row["file"] for row in found] == ["2.png", "0.png", "4.png"]
    assert "| #2 2.png | c\\|d | 5.00 % | a (50.00 %), b (90.00 %) |" in disagreement.section(found, "")[-1]


def test_of_many_nets_each_answer_is_counted() -> None:
    said = ["8"] * 5 + ["3"] * 3 + ["5"]
    nets = [{"says": each, "confidence": 0.1 * n} for n, each in enumerate(said)]
    found = disagreement.answers(nets)
    assert [bar.text for bar in found] == ["5 say 8", "3 say 3", "1 says 5"]
    assert [bar.share for bar in found] == pytest.approx([0.2, 0.6, 0.8])
    assert [bar.text for bar in disagreement.answers(nets[:EACH])] == said[:EACH]


def test_more_answers_than_bars_share_one() -> None:
    nets = [{"says": str(n), "confidence": 1 - 0.05 * n} for n in range(9)]
    found = disagreement.answers([*nets, nets[4]])
    assert [bar.text for bar in found] == [
        *("2 say 4", "1 says 0", "1 says 1", "1 says 2", "1 says 3", "4 say others")
    ]
    assert found[-1].share == pytest.approx(1 - 0.05 * 6.5)


def test_the_sentence_counts() -> None:
    found = disagreement.against_label(LABELS, NETS, CLASSES)
    assert disagreement.sentence(found, 2, "5 test images of x") == (
        "Both nets call 3 of 5 test images of x otherwise than their label."
    )
    said = disagreement.sentence([], 20, "5 test images of x")
    assert said == "All 20 nets call none of 5 test images of x otherwise than their label."
    assert disagreement.section([], said)[1:] == [said]


def test_the_sheet_and_the_table_show_the_first_and_count_the_rest(tmp_path: Path) -> None:
    labels, path = np.zeros(MOST + 3, int), tmp_path / "sheet.svg"
    nets = np.tile([[[0.1, 0.9]]], (7, len(labels), 1))
    images = np.zeros((len(labels), 5, 4, 3), np.uint8)
    found = disagreement.against_label(labels, nets, "ab")
    assert len(found) == MOST + 3
    said = disagreement.sentence(found, 7, "51 images of x")
    disagreement.draw(images, found, said, path)
    text = re.findall("<!-- (.*?) -->", path.read_text(encoding="utf-8"), re.DOTALL)
    assert [name for name in text if name.startswith("#")] == [f"#{n}" for n in range(MOST)]
    assert text.count("label a") == text.count("7 say b") == text.count("10.0 %") == MOST
    assert "3 more, whose label the nets find more probable, are in evaluation.json." in path.read_text(
        encoding="utf-8"
    )
    assert "All 7 nets call 51 of 51 images of x otherwise than their label" in text
    disagreement.draw(images, disagreement.against_label(labels, nets[:2], "ab"), said, path, nets=["x", "y"])
    assert "The nets, in the order of their answers: x, y." in path.read_text(encoding="utf-8")
    _, sentence, picture, table = disagreement.section(found, said)
    assert f"The first {MOST} are shown" in sentence
    assert "(disagreement.png)" in picture
    assert len(table.splitlines()) == 2 + MOST
