"""Thickness, slant and size, of strokes whose own are known."""

from __future__ import annotations

import numpy as np
import pytest

from tinynet.analysis.handwriting import extent, slant, thickness
from tinynet.data import load
from tinynet.types import Array


def stroke(width: float, length: float, degrees: float = 0.0, size: int = 64) -> Array:
    """A bar (1, size, size, 1) that leans so far to the right, with an edge as soft as MNIST's."""
    middle = (size - 1) / 2
    y, x = (axis - middle for axis in np.mgrid[:size, :size])
    angle = np.radians(degrees)
    along, across = x * np.sin(angle) - y * np.cos(angle), x * np.cos(angle) + y * np.sin(angle)
    distance = np.maximum(np.abs(across) - width / 2, np.abs(along) - length / 2)
    return (255 * np.clip(0.5 - distance, 0, 1)).astype(np.uint8)[None, ..., None]


@pytest.mark.parametrize("degrees", [0, 17, 30, 45, 90])
@pytest.mark.parametrize("width", [2.0, 3.5, 6.0])
def test_thickness_is_the_width_of_a_stroke_at_any_angle(width: float, degrees: float) -> None:
    length = 50.0
    (found,) = thickness(stroke(width, length, degrees))
    assert found == pytest.approx(width * length / (length + width), rel=0.1)


@pytest.mark.parametrize("degrees", [-40, -15, 0, 8, 30])
def test_slant_is_the_angle_of_a_thin_stroke(degrees: float) -> None:
    assert slant(stroke(2.0, 50.0, degrees)) == pytest.approx([degrees], abs=0.6)


def test_a_sheared_digit_leans_by_the_shear() -> None:
    upright = stroke(3.0, 40.0)
    sheared = np.stack(
        [np.roll(row, round((31.5 - y) * np.tan(np.radians(20)))) for y, row in enumerate(upright[0])]
    )
    assert slant(sheared[None]) == pytest.approx([20], abs=0.5)


def test_extent_is_the_area_of_the_box() -> None:
    images = np.zeros((2, 28, 28, 1), np.uint8)
    images[0, 4:24, 10:17] = 255
    images[1, 4:24, 10:17] = 100  # too pale to count
    assert extent(images).tolist() == [140, 0]


def test_a_blank_image_has_no_thickness_and_no_slant() -> None:
    blank = np.zeros((1, 28, 28, 1), np.uint8)
    assert np.isnan([*thickness(blank), *slant(blank)]).all()
    assert thickness(blank[:0]).shape == (0,)


def test_mnist_is_as_it_is_known_to_be() -> None:
    """Written by right-handed people for the most part: it leans to the right. Its boxes are 20 pixels."""
    digits = load("sample").test
    wide, leaning, area = (measure(digits.images) for measure in (thickness, slant, extent))
    assert 1.5 < np.median(wide) < 4
    assert 0 < np.median(leaning) < 15
    assert area.max() <= 400
    ones = digits.labels == 1
    assert np.median(area[ones]) < 0.7 * np.median(area[~ones])
