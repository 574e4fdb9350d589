"""What is drawn for distorted images: even within its limits, and the whole numbers that it always was."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinynet.distortions import PIXEL, Distortions, Limits, draw, rectangles
from tinynet.rng import Key, Stream
from tinynet.runs import recipe
from tinynet.types import Array

KEY = Key(5, Stream.AUGMENTATION, layer=1, step=7)
NONE = Limits(0, 0, 0, 0, 0, 0, 0)


def drawn(size: tuple[int, int], **limits: float) -> Distortions:
    return draw(KEY, 0, 5000, size, NONE._replace(**limits))


def unpicked(places: Array) -> dict[str, Array]:
    """Rotation, scale and shear of the places of images, by the other way round: M from M⁻¹."""
    inverse = places.reshape(-1, 2, 3)[:, :, :2] / PIXEL
    M = np.linalg.inv(inverse)
    scale = np.sqrt(np.linalg.det(M))
    rotation = np.arctan2(-M[:, 0, 1], M[:, 1, 1])
    cos, sin = np.cos(rotation), np.sin(rotation)
    slope = -(M[:, 1, 0] * cos - M[:, 0, 0] * sin) / scale
    return {"rotation": np.degrees(rotation), "scale": scale - 1, "shear": np.degrees(np.arctan(slope))}


def assert_fills(values: Array, low: float, high: float) -> None:
    """Within the limits, near both, and even: the mean and deviation of a uniform distribution."""
    width, n = high - low, len(values)
    assert low - 1e-3 * width <= values.min() <= low + 0.01 * width
    assert high - 0.01 * width <= values.max() <= high + 1e-3 * width
    deviation = width / np.sqrt(12)
    assert abs(values.mean() - (low + high) / 2) < 5 * deviation / np.sqrt(n)
    assert abs(values.std() / deviation - 1) < 0.05


def test_the_settings_are_the_limits() -> None:
    limits = {"rotation": 15.0, "scale": 0.3, "shear": 12.0}
    places, contrast, _, growth = drawn((40, 20), shift=0.2, contrast=0.4, erase=0.25, stroke=2, **limits)
    found = unpicked(places)
    for name, values in found.items():
        assert_fills(values, -limits[name], limits[name])
    assert_fills(contrast / 256, 0.6, 1.4)
    assert_fills(growth / 256, -1, 2)
    correlations = np.corrcoef([*found.values(), contrast, growth])
    assert np.abs(correlations - np.eye(5)).max() < 0.06


def test_shifts_are_shares_of_each_side() -> None:
    places = drawn((40, 20), shift=0.25).places
    assert_fills(-places[:, 2] / PIXEL, -10, 10)
    assert_fills(-places[:, 5] / PIXEL, -5, 5)


def test_erased_rectangles_lie_within_the_image_and_the_share() -> None:
    top, bottom, left, right = drawn((40, 60), erase=0.2).erased.T
    height, width = bottom - top, right - left
    assert (top.min(), bottom.max(), left.min(), right.max()) == (0, 40, 0, 60)
    assert (height * width <= 0.2 * 40 * 60 + height / 2).all()  # to whole columns
    assert_fills(np.minimum(height * width / (40 * 60), 0.2), 0, 0.2)
    large = height * width > 100
    assert (height[large] / width[large]).min() > 0.28
    assert (height[large] / width[large]).max() < 3.6
    middles = (top + bottom) / 2, (left + right) / 2
    assert abs(middles[0].mean() - 20) < 0.7
    assert abs(middles[1].mean() - 30) < 1.0


@given(
    area=st.floats(0, 1),
    ratio=st.floats(1 / 3, 3),
    place=st.floats(0, 1, exclude_max=True),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_no_rectangle_leaves_the_image(area: float, ratio: float, place: float, size: Any) -> None:
    one = np.ones(1)
    ((top, bottom, left, right),) = rectangles(size, area * one, ratio * one, place * one, place * one)
    assert 0 <= top <= bottom <= size[0]
    assert 0 <= left <= right <= size[1]


MOST = Limits(180, 1, 0.9, 60, 1, 0.9, 4)
BEFORE = {
    "lenet": "7c8ad8d0cad83d5c",
    "kaggle-cnn": "73358d2bc7f47391",
    "freehand": "343b60cfe79659bb",
    "most": "c0035fb72c45f5cb",
}
"""What was drawn before tinynet had a sine of its own, as NumPy's functions gave it, but for growth."""


@pytest.mark.parametrize("name", BEFORE)
def test_what_is_drawn_is_what_always_was(name: str) -> None:
    """An old recipe with an old seed trains the same net."""
    limits = MOST
    if name != "most":
        chosen = recipe.load(name).training.augmentation
        assert chosen is not None
        limits = Limits(*(getattr(chosen, each) for each in Limits._fields))
    found = draw(KEY, 0, 50_000, (28, 28), limits)[:3]
    digest = hashlib.sha256(b"".join(each.astype("<i8").tobytes() for each in found)).hexdigest()
    assert digest[:16] == BEFORE[name]


@given(
    first=st.integers(0, 2**26),
    count=st.integers(1, 9),
    limits=st.builds(Limits, *(st.floats(0, each) for each in MOST)),
)
def test_an_image_has_its_own_whatever_is_drawn_with_it(first: int, count: int, limits: Limits) -> None:
    together = draw(KEY, first, count, (9, 7), limits)
    for i in range(count):
        alone = draw(KEY, first + i, 1, (9, 7), limits)
        for one, other in zip(alone, together.rows(i, i + 1), strict=True):
            np.testing.assert_array_equal(one, other)
