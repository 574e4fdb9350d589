"""tinynet.data.parts: which samples are held out for the test."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinynet.data.parts import held_out, shuffled, training_rows
from tinynet.errors import DataError


@given(st.lists(st.integers(0, 3), min_size=2), st.floats(0.01, 0.99))
def test_every_class_gives_its_share_and_keeps_one(values: list[int], share: float) -> None:
    labels = np.array(values)
    counts = np.bincount(labels)
    if counts.max() < 2:
        with pytest.raises(DataError, match=r"too few images for a test part(.|\n)*--test 0"):
            held_out("data", labels, share)
        return
    tested = np.bincount(labels[held_out("data", labels, share)], minlength=len(counts))
    for count, taken in zip(counts.tolist(), tested.tolist(), strict=True):
        assert taken == 0 if count < 2 else 1 <= taken < count
        assert abs(taken - share * count) <= 1


def test_without_a_test_part() -> None:
    assert not held_out("data", np.array([0, 0, 1]), 0).any()
    assert training_rows("data", 7, 0) == 7
    assert training_rows("data", 12, None) == 10
    assert training_rows("data", 10, 0.3) == 7
    with pytest.raises(DataError, match="data is too short to split"):
        training_rows("data", 4, None)


def test_the_order_is_a_random_one_and_the_same_every_time() -> None:
    labels = np.arange(100)
    images, order = shuffled(labels, labels)
    np.testing.assert_array_equal(images, order)
    np.testing.assert_array_equal(order, shuffled(labels, labels)[1])
    np.testing.assert_array_equal(np.sort(order), labels)
    assert (order != labels).mean() > 0.9
