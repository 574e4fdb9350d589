"""The net that comes with the page: small, and good enough."""

from __future__ import annotations

import numpy as np
from drawings.freehand import freehand

from tinynet import checkpoint
from tinynet.data import load
from tinynet.data.strokes import rasterize
from tinynet.page import default
from tinynet.runs import recipe
from tinynet.runs.predictions import predict


def test_it_is_the_recipes_net_and_the_card_is_its_own() -> None:
    model, _, about = default.load("numpy")
    assert model.config() == recipe.load("freehand").build_model(backend="numpy").config()
    text = "\n".join(about["card"]["sections"][0]["text"])
    assert checkpoint.weights_sha256(model) in text
    assert f"{model.store.count + model.store.state_count:,} parameters" in text
    assert default.WEIGHTS.stat().st_size < 500_000


def test_it_reads_freehand_drawings() -> None:
    """The goal that `bench/freehand.py` measures, on a quarter of its drawings."""
    model, loss, _ = default.load()
    drawings = [*freehand(4)]
    images = np.stack([rasterize(drawing.strokes) for drawing in drawings])[..., None]
    right = predict(model, loss, images).classes == [drawing.digit for drawing in drawings]
    assert len(drawings) == 140
    assert right.mean() >= 0.97


def test_it_reads_mnist() -> None:
    model, loss, about = default.load()
    digits = load("sample").test
    assert (predict(model, loss, digits.images).classes == digits.labels).mean() >= 0.985
    assert about["card"]["figures"]["test"]["samples"] == 10_000


def test_drawings_are_the_same_every_time_and_lie_on_the_pad() -> None:
    first, second = [*freehand(1)], [*freehand(1)]
    assert first == second
    assert {drawing.digit for drawing in first} == set(range(10))
    points = np.array([point for drawing in first for stroke in drawing.strokes for point in stroke])
    assert points.min() >= 0
    assert points.max() <= 320
