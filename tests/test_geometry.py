"""Windows over images: how many there are, where they begin, and what "same" padding means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinynet.errors import ConfigError, ShapeError
from tinynet.geometry import PaddingSetting, Window, as_pair, window_size

pairs = st.tuples(st.integers(1, 5), st.integers(1, 5))
images = st.tuples(st.integers(5, 20), st.integers(5, 20))


@given(image=images, size=pairs, stride=pairs, padding=st.sampled_from(["valid", "same", 1, (0, 2)]))
def test_the_output_counts_the_windows_that_fit(
    image: tuple[int, int], size: tuple[int, int], stride: tuple[int, int], padding: PaddingSetting
) -> None:
    window = Window.resolve(image, size, stride, padding, label="it")
    padded = np.pad(np.zeros(image), window.padding)
    assert padded.shape == window.padded(image)
    every = np.lib.stride_tricks.sliding_window_view(padded, size)[:: stride[0], :: stride[1]]
    assert every.shape[:2] == window.output(image)


@given(image=images, size=pairs, stride=pairs)
def test_same_padding_has_a_window_for_every_stride_and_its_odd_pixel_last(
    image: tuple[int, int], size: tuple[int, int], stride: tuple[int, int]
) -> None:
    window = Window.resolve(image, size, stride, "same", label="it")
    assert window.output(image) == (-(-image[0] // stride[0]), -(-image[1] // stride[1]))
    for before, after in window.padding:
        assert before <= after <= before + 1


def test_the_corner_is_what_lies_above_and_left() -> None:
    window = Window.resolve((5, 5), (3, 3), (1, 1), ((1, 2), (3, 4)), label="it")
    assert window.corner == (1, 3)
    assert window.padded((5, 5)) == (8, 12)


def test_a_window_larger_than_the_padded_image_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"its: the window is larger.*\n.*at least 4 x 3.*\n.*3 x 9"):
        Window.resolve((3, 9), (4, 3), (1, 1), "valid", label="its")


@pytest.mark.parametrize("size", [0, (3, 0), (1, 2, 3), 2.5])
def test_what_is_no_pair_is_refused(size: object) -> None:
    with pytest.raises(ConfigError, match="MaxPool2D cannot use this value for stride"):
        window_size(size, "MaxPool2D", "stride")
    assert as_pair(2) == (2, 2)
