"""The steps of a net: which layers need none of their own."""

from __future__ import annotations

import numpy as np
import pytest

from tinynet import layers as L
from tinynet.export.steps import Plan
from tinynet.layers import Layer
from tinynet.model import Sequential


@pytest.mark.parametrize(
    ("net", "kinds"),
    [
        ([L.Conv2D(3), L.BatchNorm(), L.ReLU()], ["conv2d", "relu"]),
        ([L.Conv2D(3), L.Dropout(0.5), L.BatchNorm(), L.BatchNorm()], ["conv2d"]),
        ([L.Conv2D(3), L.ReLU(), L.BatchNorm()], ["conv2d", "relu", "depthwiseconv2d"]),
        ([L.BatchNorm(), L.Flatten(), L.Dense(3), L.BatchNorm()], ["depthwiseconv2d", "dense"]),
        ([L.Conv2D(2), L.Reshape((9, 16, 1)), L.BatchNorm()], ["conv2d", "depthwiseconv2d"]),
        ([L.Dropout(0.5), L.Flatten()], ["rescale"]),
        (
            [L.Conv2D(2), L.Residual([L.BatchNorm(), L.Conv2D(2, 1), L.BatchNorm()])],
            ["conv2d", "depthwiseconv2d", "conv2d", "add"],
        ),
        (
            [L.Residual([L.Conv2D(3)], [L.Conv2D(3), L.BatchNorm()]), L.BatchNorm()],
            ["conv2d", "conv2d", "add", "depthwiseconv2d"],
        ),
    ],
)
def test_what_is_folded(net: list[Layer], kinds: list[str]) -> None:
    plan = Plan(Sequential(net, (14, 8, 2)))
    assert [step.kind for step in plan.steps] == kinds


def test_multiply_adds_are_counted_within_blocks() -> None:
    assert Plan(Sequential([L.Residual([L.Dense(4)]), L.Dense(3)], (4,))).multiply_adds == 16 + 12


def test_the_model_is_not_written_into() -> None:
    model = Sequential([L.Dense(3), L.BatchNorm()], (4,), dtype="float64")
    model.store.values.views["batchnorm_1.gamma"][...] = 7
    before = model.store.values.flat.copy()
    plan = Plan(model, np.ones((2, 4)))
    assert np.array_equal(model.store.values.flat, before)
    assert plan.steps[0].tensors["W"].dtype == np.float32
    assert plan.multiply_adds == 12


@pytest.mark.parametrize(
    ("net", "shape", "bytes_"),
    [
        ([L.Rescale(), L.Dense(2)], (4,), False),
        ([L.Rescale(), L.Flatten()], (4, 4, 1), True),
        ([L.Flatten()], (4, 4, 1), False),
    ],
)
def test_a_net_of_images_that_scales_them_takes_bytes(
    net: list[Layer], shape: tuple[int, ...], bytes_: bool
) -> None:
    assert Plan(Sequential(net, shape)).takes_bytes == bytes_
