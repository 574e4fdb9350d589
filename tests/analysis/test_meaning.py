"""What is written of an explanation's pictures: one text for each picture, and no markup broken by a name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from explained import CLASSES, convolutional, digit, loss_of

from tinynet.analysis import explain, meaning
from tinynet.types import Shape


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)])
@pytest.mark.parametrize("file", meaning.MEANINGS)
def test_a_picture_has_a_description_a_meaning_a_limit_and_a_source(file: str, shape: Shape) -> None:
    heading, picture, means, does_not_mean, source = meaning.described(file, "cat", "dog", shape)
    assert shape[2] == 1 or not re.search(r"\b(ink|grey|stroke)\b", " ".join((picture, means, does_not_mean)))
    assert heading.startswith("## ")
    alt, path = re.fullmatch(r"!\[([^]]+)]\((.+)\)", picture).groups()  # type: ignore[union-attr]
    assert path == file
    assert len(alt) > 60
    assert means.startswith("**What it means.** ")
    assert does_not_mean.startswith("**What not to conclude.** ")
    assert re.fullmatch(r"Source: (.+, 20\d\d, arXiv:\d{4}\.\d{4,5}(; |\.$))+", source)
    assert "{" not in "".join((heading, picture, means, does_not_mean))


def test_every_picture_that_can_be_drawn_has_a_text(tmp_path: Path) -> None:
    model = convolutional("numpy")
    found = explain.explain(model, loss_of(model), digit(), samples=1)
    about = {"model": "m", "image": "i", "fitted": None}
    explain.write_explanation(tmp_path, found, CLASSES, about)
    assert {path.name for path in tmp_path.glob("*.png")} == meaning.MEANINGS.keys()
    page = (tmp_path / "explanation.md").read_text("utf-8")
    assert page.count("**What not to conclude.** ") == len(meaning.MEANINGS)
    assert page.endswith(f"{meaning.limits()[-1]}\n")


def test_the_name_of_a_class_breaks_no_markup() -> None:
    picture = meaning.described("top-two.png", "a](b)\nc", "d[\\", (8, 8, 1))[1]
    assert re.fullmatch(r"!\[[^][\n\\]+]\(top-two\.png\)", picture)


def test_the_page_ends_with_what_no_map_can_say() -> None:
    text = "\n".join(meaning.limits())
    assert "Adebayo" in text
    assert "arXiv:1810.03292" in text
