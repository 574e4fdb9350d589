"""The comparison of imported nets with the programs that made them: what counts as right, and the page."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import tinynet as tn
from tinynet.checkpoint import save_model

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import foreign_nets
from foreign_nets import Found


def found(difference: float = np.nan, said: str = "", refused: str = "") -> Found:
    net = {"name": "a net", "file": "a.onnx", "images": "grey", "recipe": "", "refused": refused}
    return Found(net, 1234, difference, said)


@pytest.mark.parametrize(
    ("one", "right"),
    [
        (found(1e-6), True),
        (found(2e-5), False),
        (found(np.nan), False),
        (found(said="Error: no such layer"), False),
        (found(refused="Lambda"), False),
        (found(said="Error: no layer for Lambda", refused="Lambda"), True),
        (found(said="a traceback", refused="Lambda"), False),
    ],
)
def test_an_answer_is_right_within_the_limit_and_a_refusal_with_the_name(one: Found, right: bool) -> None:
    assert one.is_right == right


def test_the_page_shows_what_is_not_as_it_should_be() -> None:
    read, refused = (
        [found(1e-6), found(0.25)],
        [found(refused="Lambda"), found(said="no Lambda", refused="Lambda")],
    )
    page = foreign_nets.as_markdown([*read, *refused], ["K 3"])
    assert "K 3. 2 of 4 files are as they should be" in page
    for cell in ("1.0e-06", "**2.5e-01**", "**read, though it has to be refused**", "no Lambda"):
        assert f"| {cell} |" in page


def test_logits_of_a_model_become_the_probabilities_of_a_softmax(tmp_path: Path) -> None:
    model = tn.Sequential([tn.Dense(2)], (1,), backend="numpy")
    model.layers[0].params.W[...] = [[0, np.log(3)]]
    save_model(tmp_path / "net.safetensors", model, tn.SoftmaxCrossEntropy())
    answer = foreign_nets.probabilities(tmp_path / "net.safetensors", np.ones((1, 1), np.float32))
    np.testing.assert_allclose(answer, [[0.25, 0.75]], atol=1e-6)


def test_the_images_of_both_kinds_are_those_of_the_sample() -> None:
    images = foreign_nets.images()
    assert images["grey"].shape == (foreign_nets.IMAGES, 28, 28, 1)
    assert images["colour"].shape == (foreign_nets.IMAGES, 28, 28, 3)
    assert len(images["labels"]) == foreign_nets.IMAGES
