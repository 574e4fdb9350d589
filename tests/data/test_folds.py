"""tinynet.data.folds: folds that are even, and the data set of one of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinynet.data import load
from tinynet.data.folds import assign, part
from tinynet.errors import ConfigError


@given(
    counts=st.lists(st.integers(5, 23), min_size=1, max_size=5),
    folds=st.integers(2, 5),
    seed=st.integers(0, 2**64 - 1),
)
def test_folds_are_even_and_so_is_each_class(counts: list[int], folds: int, seed: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    fold = assign(labels, folds, seed)
    assert np.ptp(np.bincount(fold, minlength=folds)) <= 1
    for label in range(len(counts)):
        assert np.ptp(np.bincount(fold[labels == label], minlength=folds)) <= 1


def test_folds_go_by_the_seed() -> None:
    digits = load("sample")
    one, same, other = (assign(digits.train.labels, 5, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert 0.5 < np.mean(one != other) < 0.95


@pytest.mark.parametrize("folds", [1, 4])
def test_too_many_folds_or_too_few(folds: int) -> None:
    with pytest.raises(ConfigError, match=r"expected: 2 to 3, the images of class 1\n  received: "):
        assign(np.array([0] * 9 + [1] * 3), folds, 0)


def test_each_image_is_in_the_test_part_of_one_fold() -> None:
    data = load("sample")
    parts = [part(data, number, 3, seed=5) for number in (1, 2, 3)]
    assert sum(len(each.test) for each in parts) == len(data.train)
    assert {len(each.train) + len(each.test) for each in parts} == {len(data.train)}
    assert len({each.sha256 for each in (data, *parts)}) == 4
    assert parts[1].name == "sample, fold 2 of 3"
    images = {image.tobytes() for each in parts for image in each.test.images}
    assert images == {image.tobytes() for image in data.train.images}
