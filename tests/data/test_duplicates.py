"""tinynet.data.duplicates: exactly the images that occur in the other set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinynet.data import load, overlap
from tinynet.errors import ShapeError
from tinynet.types import Array

IMAGES = np.random.default_rng(5).integers(0, 256, (20, 28, 28, 1), np.uint8)


@given(st.sets(st.integers(0, 19)), st.integers(0, 99))
def test_it_finds_exactly_the_images_that_are_there(chosen: set[int], seed: int) -> None:
    others = IMAGES[np.random.default_rng(seed).permutation(sorted(chosen)).astype(int)]
    np.testing.assert_array_equal(overlap(IMAGES, others.reshape(-1, 784)), np.isin(np.arange(20), [*chosen]))


def test_one_pixel_makes_another_image() -> None:
    changed = IMAGES.copy()
    changed[3, 27, 27, 0] ^= 1
    assert np.flatnonzero(~overlap(changed, IMAGES)).tolist() == [3]


def test_the_sample_has_no_test_image_among_its_training_images() -> None:
    data = load("sample")
    assert not overlap(data.test.images, data.train.images).any()


@pytest.mark.parametrize("others", [IMAGES / 255, IMAGES[:, :27]])
def test_images_of_another_kind(others: Array) -> None:
    with pytest.raises(ShapeError, match="uint8 images of one size"):
        overlap(IMAGES, others)
