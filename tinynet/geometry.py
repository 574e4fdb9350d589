"""Sliding windows: what convolution and pooling share about kernel, stride and padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from tinynet.checks import refusal, whole
from tinynet.errors import ShapeError
from tinynet.types import Shape

Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = tuple[Pair, Pair]
"""((top, bottom), (left, right)) rows and columns of zeros around an image."""
Size: TypeAlias = int | tuple[int, int]
PaddingSetting: TypeAlias = str | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Window:
    """A window of `size` (KH, KW) pixels that slides by `stride` over an image with `padding` around it.

    Row i of the output sees rows i · stride[0] - top + u of the image, u = 0 … KH - 1; columns likewise.
    """

    size: Pair
    stride: Pair = (1, 1)
    padding: Padding = ((0, 0), (0, 0))

    @classmethod
    def resolve(
        cls, image: Shape, size: Pair, stride: Pair, padding: PaddingSetting, *, label: str
    ) -> Window:
        """The window for images (H, W, …). `padding` is one of these.

        "valid": none. "same": the output has ⌈H / stride⌉ rows; an odd remainder goes to the bottom and right
        (the convention of TensorFlow). A number: that many on every side; a pair: (rows, columns); a pair of
        pairs: ((top, bottom), (left, right)).

        Raises ShapeError where the window is larger than the padded image. `label` is whose window it is.
        """
        window = cls(size, stride, _resolve_padding(padding, image, size, stride))
        height, width = window.padded(image)
        if height < size[0] or width < size[1]:
            raise ShapeError(
                f"{label}: the window is larger than its padded input",
                expected=f"an input of at least {size[0]} x {size[1]} pixels",
                received=f"{height} x {width}",
                fix="a smaller window, padding, or fewer poolings before it",
            )
        return window

    @property
    def corner(self) -> Pair:
        """(top, left): rows of padding above the image and columns left of it."""
        return self.padding[0][0], self.padding[1][0]

    def padded(self, image: Shape) -> Pair:
        """Rows and columns of an image (H, W, …) with its padding."""
        return image[0] + sum(self.padding[0]), image[1] + sum(self.padding[1])

    def output(self, image: Shape) -> Pair:
        """(OH, OW): how many windows there are on an image (H, W, …), one below and one beside another."""
        height, width = self.padded(image)
        return (height - self.size[0]) // self.stride[0] + 1, (width - self.size[1]) // self.stride[1] + 1


def as_pair(size: Size) -> Pair:
    """An int stands for both axes."""
    return size if isinstance(size, tuple) else (size, size)


def window_size(value: object, owner: str, setting: str) -> Size:
    """A setting of a window's size or stride, as ints; ConfigError unless each is at least 1."""
    try:
        if isinstance(value, tuple | list):
            rows, columns = (whole(each, owner, setting, least=1) for each in value)
            return rows, columns
        return whole(value, owner, setting, least=1)
    except ValueError as error:  # a ConfigError, or other than two
        expected = "a whole number of at least 1, or a pair of them (rows, columns)"
        raise refusal(value, owner, setting, expected) from error


def window_padding(value: Any, owner: str, setting: str) -> PaddingSetting:
    """A setting of padding, with ints; ConfigError for anything that `Window.resolve` does not know."""
    try:
        if isinstance(value, str) and value in ("valid", "same"):
            return value
        if isinstance(value, tuple | list):
            first, second = (_side(each, owner, setting) for each in value)
            return first, second
        return whole(value, owner, setting, least=0)
    except ValueError as error:
        expected = '"same", "valid", or 0 and up: a number, (rows, columns), ((top, bottom), (left, right))'
        raise refusal(value, owner, setting, expected) from error


def _side(value: Any, owner: str, setting: str) -> Any:
    if isinstance(value, tuple | list):
        begin, end = (whole(each, owner, setting, least=0) for each in value)
        return begin, end
    return whole(value, owner, setting, least=0)


def _resolve_padding(setting: PaddingSetting, image: Shape, size: Pair, stride: Pair) -> Padding:
    if setting == "valid":
        return ((0, 0), (0, 0))
    if setting == "same":
        return _same(image[0], size[0], stride[0]), _same(image[1], size[1], stride[1])
    rows, columns = setting if isinstance(setting, tuple) else (int(setting), int(setting))
    return _both_sides(rows), _both_sides(columns)


def _same(size: int, window: int, stride: int) -> Pair:
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def _both_sides(side: int | tuple[int, int]) -> Pair:
    return (side, side) if isinstance(side, int) else (side[0], side[1])
