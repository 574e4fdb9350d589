"""tinynet.runs.leakage: how many images a net has met, and what is said where it cannot be told."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinynet.data import load
from tinynet.data.datasets import Dataset
from tinynet.errors import DataError
from tinynet.runs import recipe
from tinynet.runs.leakage import find_leakage, sentences
from tinynet.runs.settings import Settings, StartingPoint

DATA = load("sample")


def settings(**changes: Any) -> Settings:
    """A run that was trained on the first 80 images, and validated by the next 20."""
    plan = recipe.from_table(
        {"layers": [{"type": "Dense", "units": 10}], "training": {"samples": 100, "validation": 0.2}}
    )
    common: dict[str, Any] = {"dataset": "sample", "data_dir": None, "data_sha256": DATA.sha256, "seed": 0}
    common |= {"backend": "numpy", "dtype": "float32", "command": ""}
    return Settings(name="net", recipe=plan, **common | changes)


def find(settings: Settings) -> Dataset:
    return DATA


def test_images_that_a_run_and_those_before_it_have_met() -> None:
    images = DATA.train.images[70:110]
    found = find_leakage(images, settings(), find)
    assert np.flatnonzero(found.trained).tolist() == list(range(10))
    assert np.flatnonzero(found.validated).tolist() == list(range(10, 30))
    assert not found.is_clean
    clean = find_leakage(DATA.test.images, settings(), find)
    assert clean.is_clean
    child = settings(dataset="elsewhere", data_sha256="other", start=StartingPoint("parent", "", settings()))
    own = dataclasses.replace(DATA, sha256="other", train=DATA.test)
    both = find_leakage(images, child, find, own)
    assert both.facts() == found.facts()
    assert (clean | clean).is_clean


@pytest.mark.parametrize(
    ("maker", "why"),
    [
        (None, "the weights are in no run's folder"),
        (settings(data_sha256="0"), "the data set sample is not the one the run net was trained on"),
        (
            settings(start=StartingPoint("x", "", None)),
            "weights whose training data are unknown",
        ),
    ],
)
def test_what_cannot_be_told_is_said(maker: Settings | None, why: str) -> None:
    found = find_leakage(DATA.train.images[:3], maker, find)
    assert found.unknown is not None
    assert why in found.unknown
    assert not found.is_clean
    assert not (find_leakage(DATA.test.images[:3], settings(), find) | found).is_clean


def test_data_that_are_gone(tmp_path: Path) -> None:
    def gone(settings: Settings) -> Dataset:
        raise DataError("there is no data set", fix="look elsewhere")

    assert find_leakage(DATA.test.images, settings(), gone).unknown == "there is no data set"


def facts(images: int, trained: int = 0, validated: int = 0, unknown: str | None = None) -> dict[str, Any]:
    return {"images": images, "trained_on": trained, "validated_by": validated, "unknown": unknown}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (facts(10_000), "None of these 10,000 images was in its training data."),
        (facts(10_000, 4331), "4,331 of these 10,000 images were in its training data."),
        (
            facts(90, 1, 2),
            "1 of these 90 images was in its training data, 2 more were in its validation data.",
        ),
        (facts(90, 0, 1), "1 of these 90 images was in its validation data."),
        (
            facts(9, unknown="gone"),
            "Whether any of these images were in its training data cannot be told: gone.",
        ),
        (
            facts(9, 2, unknown="gone"),
            "2 of these 9 images were in its training data. Whether more of them were in its training data "
            "cannot be told: gone.",
        ),
        (facts(1), "This image was not in its training data."),
        (facts(1, 1), "This image was in its training data."),
        (facts(1, 0, 1), "This image was in its validation data."),
        (facts(1, unknown="gone"), "Whether this image was in its training data cannot be told: gone."),
    ],
)
def test_the_sentence(found: dict[str, Any], said: str) -> None:
    assert sentences(found) == said
    assert sentences(found, "their") == said.replace(" its ", " their ")
