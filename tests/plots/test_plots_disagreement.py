"""The sheet of what nets call otherwise: what it says of each image, in which colours, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from plots_drawn import IMAGES, svg_text

from tinynet import plots
from tinynet.errors import ShapeError
from tinynet.plots.disagreement import LABEL, LONGEST, SAID, Bar, Card


def card(image: Any = IMAGES[0], name: str = "#7", said: int = 2) -> Card:
    return Card(image, name, Bar("label 3", 0.004), [Bar(f"answer {n}", 0.9) for n in range(said)])


def draw(path: Path, *cards: Card) -> Path:
    plots.disagreement(cards, path, title="a title", caption="a caption")
    return path


def test_it_says_the_number_the_label_and_every_answer(tmp_path: Path) -> None:
    text = svg_text(draw(tmp_path / "plot.svg", card(), card(name="#1234", said=1)))
    assert text.split("\n") == [
        *("#7", "label 3", "0.4 %", "answer 0", "90.0 %", "answer 1", "90.0 %"),
        *("#1234", "label 3", "0.4 %", "answer 0", "90.0 %"),
        *("a title", "a caption"),
    ]


def count(path: Path, colour: Any) -> int:
    """The pixels of that colour."""
    drawn = np.asarray(Image.open(path).convert("RGB"))
    return int((drawn == colour).all(axis=-1).sum())


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def test_a_bar_is_as_long_as_the_net_is_sure(tmp_path: Path) -> None:
    """The answers' bars, and the label's in another colour; text hides a part of each."""

    def drawn(label: float, answer: float) -> tuple[int, int]:
        path = tmp_path / "plot.png"
        draw(path, Card(IMAGES[0], "#1", Bar("", label), [Bar("", answer)]))
        return count(path, rgb(LABEL)), count(path, rgb(SAID))

    half, whole = drawn(0.25, 0.5), drawn(0.5, 1.0)
    assert half[0] > 100
    assert 1.7 < whole[0] / half[0] < 2.3
    assert 1.7 < half[1] / half[0] < 2.3
    assert whole[1] > 1.5 * half[1]


def test_colours_are_drawn_as_they_are_and_grey_as_ink(tmp_path: Path) -> None:
    sky = np.full((8, 4, 3), (10, 160, 220), np.uint8)
    ink = np.full((4, 8, 1), 255, np.uint8)
    path = draw(tmp_path / "plot.png", card(sky), card(ink))
    assert count(path, (10, 160, 220)) > 5000
    assert count(path, (0, 0, 0)) > 5000


def test_a_long_name_is_cut_and_a_dollar_is_a_dollar(tmp_path: Path) -> None:
    answers = [Bar("x" * 40, 0.5), Bar("$\\frac", 0.5)]
    text = svg_text(draw(tmp_path / "plot.svg", Card(IMAGES[0], "#1", Bar("label 1", 0.1), answers)))
    assert "x" * (LONGEST - 1) + "…" in text
    assert "x" * LONGEST not in text
    assert "$\\frac" in text


def test_cards_stand_in_rows_and_a_row_is_as_high_as_its_highest(tmp_path: Path) -> None:
    def size(*cards: Card) -> tuple[int, int]:
        with Image.open(draw(tmp_path / "plot.png", *cards)) as image:
            return image.size

    one, many = size(*[card()] * 4), size(*[card()] * 48)
    assert many[0] < 2100
    assert many[1] > 5 * one[1]
    higher = size(*[card()] * 47, card(said=9))
    assert 0 < higher[1] - many[1] < 200


@pytest.mark.parametrize(
    "image", [IMAGES[0] / 255, IMAGES[0, ..., 0], np.zeros((4, 4, 2), np.uint8)], ids=["float", "2-d", "two"]
)
def test_what_is_no_image_is_refused(image: Any, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"(?s)expected: uint8 images.*received: .*4|6"):
        draw(tmp_path / "plot.png", card(), card(image))
    with pytest.raises(ShapeError, match="received: none"):
        draw(tmp_path / "plot.png")
