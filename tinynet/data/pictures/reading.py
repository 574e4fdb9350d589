"""A picture read as a person reads it: light, paper and dust are seen through, the strokes are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinynet.data.pictures import windows
from tinynet.data.pictures.colour import separate
from tinynet.data.pictures.decode import FORMATS, MAX_PIXELS, decode, name_of, plain_grey
from tinynet.data.pictures.fit import box_of, fit
from tinynet.data.pictures.ground import Ground, light, noise_of, possible_grounds, smoother
from tinynet.data.pictures.ink import Strokes, find_strokes
from tinynet.data.pictures.sheet import find_sheet, inner, on_sheet_alone
from tinynet.errors import DataError
from tinynet.types import Array, Shape

CALM = 4.0
"""A standard deviation of noise, in grey levels, that need not be smoothed away."""
SMALL = 140
"""A picture whose longer side has fewer pixels is enlarged first."""
SMOOTHEST = 3
"""Pixels that smoothing reaches at most."""


@dataclass(frozen=True)
class Reading:
    """What was made of a picture, step by step."""

    picture: Array
    """Its colours, uint8 (h, w, 3)."""
    contrast: Array | None
    """How far each pixel stands out from the ground, of the strongest: 0 to 1, (h, w). This and the next two
    are None for a picture that was only scaled: see `whole`."""
    dropped: Array | None
    """What stands out, but is no part of the digit: lines of the paper, dust. Bool (h, w)."""
    ink: Array | None
    """The digit's ink, 0 to 1, (h, w)."""
    image: Array
    """What the net sees, uint8 (H, W, C)."""
    fitted: str
    """The same in words."""
    digits: int
    """How many shapes there are that could each be a digit."""

    @property
    def warning(self) -> str | None:
        """What a person should know before believing what a net says of it."""
        return f"several digits: {self.digits} separate shapes" if self.digits > 1 else None


def read_picture(
    source: str | Path | bytes,
    shape: Shape = (28, 28, 1),
    *,
    formats: tuple[str, ...] = FORMATS,
    max_pixels: int = MAX_PIXELS,
) -> Reading:
    """Read a PNG, JPEG, BMP, GIF, TIFF or WebP of one digit: a file's path, or what the file holds.

    A grey picture of that very size on a dark ground, if it is not blank, is used as it is: it is MNIST's
    own. Of any other, the ground is found wherever the light falls, the ink is told from it, lines and dust
    are dropped, and the digit is fitted as MNIST's are. Raises DataError for a file that is missing, damaged,
    blank, too large or no picture, and for a shape other than (H, W, 1).
    """
    require_grey(shape)
    colours, whole = decode(source if isinstance(source, bytes) else Path(source), formats, max_pixels)
    if _is_ready(colours, whole, shape):
        return _unchanged(colours)
    colours = _enlarged(colours)
    found, ground, on_sheet = _look(colours)
    if not found.digits:
        raise DataError(
            f"{name_of(source)} is blank",
            expected="one digit, darker or lighter than the ground around it",
            received=f"nothing that stands out by more than {strongest:.0f} of 256 levels"
            if (strongest := ground.ink.max()) >= 0.5
            else "every pixel is alike",
            fix="draw the digit with more contrast, clear of the edge",
        )
    return Reading(
        colours,
        ground.ink / max(float(ground.ink.max()), 1e-9),
        found.dropped,
        found.ink,
        fit(found.ink, (shape[0], shape[1]))[..., None],
        _explain(colours, whole, found, ground.bright, on_sheet),
        found.digits,
    )


def require_grey(shape: Shape) -> None:
    """Raise DataError unless the input shape is (H, W, 1)."""
    if len(shape) != 3 or shape[2] != 1:
        raise DataError(
            "a picture does not fit this model",
            expected="a model for grey pictures, of input shape (H, W, 1)",
            received=f"one of input shape {shape}",
        )


def read_as_it_is(source: bytes, shape: Shape) -> Reading | None:
    """What `read_picture` makes of a plain grey PNG that needs no fitting; None for any other picture.

    Quick, and the same answer: for whoever gets many of them.
    """
    grey = plain_grey(source)
    if grey is None or (*grey.shape, 1) != shape or not _on_dark(grey) or not np.ptp(grey):
        return None
    return _unchanged(np.repeat(grey[..., None], 3, axis=2))


def _unchanged(colours: Array) -> Reading:
    ink = colours[..., 0] / np.float32(255)
    return Reading(colours, ink, np.zeros(ink.shape, bool), ink, colours[..., :1].copy(), "used as it is", 1)


def _is_ready(colours: Array, whole: tuple[int, int], shape: Shape) -> bool:
    """Whether a picture is like MNIST's already: grey, of the right size, on a dark ground."""
    return whole == shape[:2] and _is_grey(colours) and _on_dark(colours[..., 0]) and bool(np.ptp(colours))


def _on_dark(grey: Array) -> bool:
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return int(np.count_nonzero(edge <= 127)) * 2 >= edge.size


def _is_grey(colours: Array) -> bool:
    return bool(np.ptp(colours, axis=2).max() <= 2)


def _enlarged(colours: Array) -> Array:
    """A small picture so many times larger that its strokes are several pixels wide."""
    from PIL import Image

    height, width = colours.shape[:2]
    times = -(-SMALL // max(height, width))
    size = (times * width, times * height)
    return (
        np.asarray(Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)) if times > 1 else colours
    )


def _look(colours: Array) -> tuple[Strokes, Ground, bool]:
    """The digit in colours (h, w, 3), the ground it stands on, and whether that is a sheet on a desk.

    A first look finds the sheet, if there is more than that in the picture; a second one sees it alone.
    """
    lit = light(colours)
    plane, noise = _smoothed(separate(colours))
    dark_ink, light_ink = possible_grounds(plane)
    sheet = find_sheet(dark_ink.level, dark_ink.ink / lit)
    where = np.ones(plane.shape, bool)
    ground = smoother(dark_ink, light_ink)
    if sheet is not None:
        where = inner(sheet)
        colours = on_sheet_alone(colours, sheet)
        lit = light(colours)
        plane, noise = _smoothed(separate(colours, where))
        ground = smoother(*possible_grounds(plane))
    if ground.bright:  # paper: what it throws back, its ink throws back a share of
        ground = ground._replace(ink=ground.ink / lit)
    ground = ground._replace(ink=np.where(where, ground.ink, 0))
    return find_strokes(ground.ink, noise, where), ground, sheet is not None


def _smoothed(plane: Array) -> tuple[Array, float]:
    """The plane with no more noise than can be borne, and the standard deviation of that."""
    noise = noise_of(plane)
    radius = min(SMOOTHEST, round(noise / CALM / 2)) if noise > CALM else 0
    return windows.mean(plane, radius), noise / (2 * radius + 1)


def _explain(colours: Array, whole: tuple[int, int], found: Strokes, bright: bool, on_sheet: bool) -> str:
    steps = [] if _is_grey(colours) else ["turned to grey"]
    steps += ["sheet found"] if on_sheet else []
    steps += ["inverted"] if bright else []
    steps += ["lines dropped"] if found.lines else []
    reduced = whole[0] / colours.shape[0]
    height, width = (round(length * reduced) for length in box_of(found.ink > 0.5))
    cropped = f"cropped from {whole[0]} x {whole[1]} to {height} x {width} (height x width)"
    return ", ".join([*steps, cropped, "scaled", "centred"])
