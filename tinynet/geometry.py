"""Sliding windows: what convolution and pooling share about kernel, stride and padding."""

from __future__ import annotations

from typing import TypeAlias

from tinynet.backends.base import Padding, Pair
from tinynet.errors import ConfigError, ShapeError
from tinynet.layers.base import Layer
from tinynet.types import Shape

Size: TypeAlias = int | tuple[int, int]
PaddingSetting: TypeAlias = str | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]


def as_pair(size: Size, layer: Layer, setting: str) -> Pair:
    """An int stands for both axes; ConfigError unless both are at least 1."""
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) != 2 or not all(isinstance(extent, int) and extent >= 1 for extent in pair):
        raise ConfigError(
            f"{type(layer).__name__} cannot use this {setting}",
            expected="a whole number of at least 1, or a pair of them (rows, columns)",
            received=repr(size),
        )
    return pair


def resolve_padding(setting: PaddingSetting, size: Pair, window: Pair, stride: Pair) -> Padding:
    """Rows and columns of zeros for an image of `size`.

    "valid": none. "same": the output has ⌈size / stride⌉ pixels; an odd remainder goes to the bottom and
    right (the convention of TensorFlow). A number: that many on every side; a pair: (rows, columns); a pair
    of pairs: ((top, bottom), (left, right)).
    """
    if setting == "valid":
        return ((0, 0), (0, 0))
    if setting == "same":
        return _same(size[0], window[0], stride[0]), _same(size[1], window[1], stride[1])
    if isinstance(setting, int):
        setting = (setting, setting)
    if isinstance(setting, tuple | list) and len(setting) == 2:
        top_bottom, left_right = (_both_sides(side) for side in setting)
        if min(top_bottom + left_right) >= 0:
            return top_bottom, left_right
    raise ConfigError(
        "unknown padding",
        expected='"same", "valid", or 0 and up: a number, (rows, columns), ((top, bottom), (left, right))',
        received=repr(setting),
    )


def output_shape(layer: Layer, input_shape: Shape, window: Pair, stride: Pair, padding: Padding) -> Pair:
    """(OH, OW); ShapeError where the window is larger than the padded image."""
    padded = tuple(size + sum(pad) for size, pad in zip(input_shape[:2], padding, strict=True))
    if padded[0] < window[0] or padded[1] < window[1]:
        raise ShapeError(
            f"{layer.label}: the window is larger than its padded input",
            expected=f"an input of at least {window[0]} x {window[1]} pixels",
            received=f"{padded[0]} x {padded[1]}",
            fix="a smaller window, padding, or fewer poolings before it",
        )
    return (padded[0] - window[0]) // stride[0] + 1, (padded[1] - window[1]) // stride[1] + 1


def _same(size: int, window: int, stride: int) -> Pair:
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def _both_sides(side: int | tuple[int, int]) -> Pair:
    return (side, side) if isinstance(side, int) else (side[0], side[1])
