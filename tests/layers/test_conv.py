"""Conv2D: values worked out by hand, and TensorFlow's rule for padding."""

from __future__ import annotations

import numpy as np
import pytest
from one_layer import NINE, built, forward, image

from tinynet import layers as L

KERNEL = np.array([[1, 2], [3, 4]])[:, :, None, None]


def test_convolution_does_not_flip_its_kernel(backend: str) -> None:
    y = forward(built(L.Conv2D(1, 2), (3, 3, 1), backend, W=KERNEL, b=[10]), NINE)
    # top left: 1·1 + 2·2 + 4·3 + 5·4 = 37
    np.testing.assert_allclose(y, image([[47, 57], [77, 87]]))


def test_same_padding_puts_the_odd_pixel_bottom_and_right(backend: str) -> None:
    y = forward(built(L.Conv2D(1, 2, padding="same"), (3, 3, 1), backend, W=KERNEL), NINE)
    np.testing.assert_allclose(y, image([[37, 47, 21], [67, 77, 33], [23, 26, 9]]))


@pytest.mark.parametrize(
    ("kernel", "size", "expected"),
    [
        (3, 4, [[9, 6], [6, 4]]),  # one pixel in all, at the end (symmetric padding would give 4 first)
        (3, 5, [[4, 6, 4], [6, 9, 6], [4, 6, 4]]),  # two pixels, one on each side
        (2, 4, [[4, 4], [4, 4]]),  # none needed
        (2, 3, [[4, 2], [2, 1]]),  # one, at the end
        (5, 4, [[16, 12], [12, 9]]),  # three: one before, two after
    ],
)
def test_same_padding_with_stride_2_follows_tensorflow(
    kernel: int, size: int, expected: list[list[int]], backend: str
) -> None:
    """Sums of ones count the real pixels in each window; TensorFlow's pads worked out by hand."""
    layer = built(L.Conv2D(1, kernel, 2, "same"), (size, size, 1), backend, W=1)
    np.testing.assert_allclose(forward(layer, np.ones((1, size, size, 1))), image(expected))


def test_explicit_padding_and_a_pair_of_strides(backend: str) -> None:
    layer = built(L.Conv2D(1, (2, 3), (1, 2), ((1, 0), (2, 1))), (2, 2, 1), backend, W=1)
    # padded to 3 x 5: a row of zeros above, two columns left, one right
    np.testing.assert_allclose(forward(layer, np.ones((1, 2, 2, 1))), image([[1, 2], [2, 4]]))


def test_convolution_mixes_channels_into_filters(backend: str) -> None:
    W = np.array([[1, 0, 2], [0, 1, -1]])[None, None]
    y = forward(built(L.Conv2D(3, 1), (1, 2, 2), backend, W=W), np.array([[[[1.0, 2], [3, 5]]]]))
    np.testing.assert_allclose(y, [[[[1, 2, 0], [3, 5, 1]]]])
