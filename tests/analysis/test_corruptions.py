"""Images made worse: what becomes of them, by hand and by their measures."""

from __future__ import annotations

import numpy as np
import pytest

from tinynet import backends
from tinynet.analysis.corruptions import NOISE, corruptions
from tinynet.analysis.handwriting import extent, slant
from tinynet.types import Array


@pytest.fixture(scope="module")
def bar() -> Array:
    """An upright bar of 3 x 18 pixels in the middle of a blank image (1, 28, 28, 1)."""
    image = np.zeros((1, 28, 28, 1), np.uint8)
    image[0, 5:23, 13:16] = 240
    return image


@pytest.fixture
def worse(bar: Array, backend: str) -> dict[str, Array]:
    before = bar.copy()
    found = dict(corruptions(bar, backends.get(backend)))
    assert np.array_equal(bar, before)
    return found


def test_images_stay_images(worse: dict[str, Array], bar: Array) -> None:
    assert len(worse) == 10
    assert all(changed.shape == bar.shape and changed.dtype == np.uint8 for changed in worse.values())
    assert np.array_equal(worse["as they are"], bar)
    assert all(not np.array_equal(worse[name], bar) for name in worse if name != "as they are")


def test_what_moves_the_ink(worse: dict[str, Array], bar: Array) -> None:
    assert slant(worse["turned left by 20 degrees"])[0] == pytest.approx(-20, abs=1.5)
    assert slant(worse["turned right by 20 degrees"])[0] == pytest.approx(20, abs=1.5)
    assert slant(worse["leaning 20 degrees more to the right"])[0] == pytest.approx(20, abs=1.5)
    assert extent(worse["three quarters as large"])[0] < 0.75 * extent(bar)[0]
    assert np.array_equal(worse["3 pixels down and to the right"], np.roll(bar, (3, 3), axis=(1, 2)))


def test_what_changes_the_levels(worse: dict[str, Array], bar: Array) -> None:
    assert worse["a third of the contrast"].max() == 80
    blurred = worse["blurred: the mean of 3 x 3 pixels, twice"].astype(int)
    assert blurred.sum() == pytest.approx(bar.astype(int).sum(), rel=0.01)
    assert blurred[0, 14, 14, 0] == pytest.approx(240 * 7 / 9, abs=1)  # (1 2 3 2 1)/9 across three columns
    noisy = worse[f"with noise, standard deviation {NOISE:.0f} levels"]
    assert (noisy[bar == 0] > 0).mean() == pytest.approx(0.5, abs=0.05)
    striped = worse["every fourth row blank"]
    assert striped[:, ::4].max() == 0
    assert np.array_equal(striped[:, 1::4], bar[:, 1::4])
