"""From the body of a request to the images that a net takes, by the one preprocessing that `predict` has."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple, NoReturn

import numpy as np

from tinynet.data.pictures import read_as_it_is, read_picture
from tinynet.data.pictures.whole import read_whole
from tinynet.data.strokes import SMALLEST, rasterize
from tinynet.errors import TinynetError
from tinynet.serve.limits import Refused
from tinynet.serve.models import LARGEST, Served
from tinynet.types import Array

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
JSON, BYTES = "application/json", "application/octet-stream"
MEDIA = (JSON, BYTES, *FORMATS)
MAX_PIXELS = 4_000_000
"""Of a picture, as its header says, before anything is decoded."""
QUICK = 2**13
"""Bytes of a picture that may be read at once, if it is as small as the net takes it."""
MAX_POINTS = 10_000
"""Of all strokes together: minutes of drawing."""


class Given(NamedTuple):
    """Images (N, H, W, C) for the net, and what is known of how they were made, if they are of a picture."""

    images: Array
    fitted: str | None = None
    warning: str | None = None


def read(media: str, body: bytes, served: Served) -> Given:
    """The images in a body of that media type. Refused with 400 or 415 where there are none."""
    if media in FORMATS:
        return _picture(body, served)
    if media == BYTES:
        return Given(_counted(_from_bytes(body, served)))
    if media == JSON:
        return _from_table(parse(body), body, served)
    raise Refused(415, f"the content type is one of {', '.join(MEDIA)}")


def as_it_is(body: bytes, served: Served) -> Given | None:
    """A PNG of the net's own size that needs no fitting, read in 0.1 ms; None for any other."""
    height, width = served.shape[:2]
    size = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")
    if served.sees_whole_pictures or len(body) > QUICK or body[12:24] != size:
        return None
    reading = read_as_it_is(body, served.shape)
    return None if reading is None else Given(reading.image[None], reading.fitted)


def parse(body: bytes) -> Any:
    """What a JSON text says. Refused for anything else, NaN and infinities among it."""
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise Refused(400, "the JSON is nested too deep") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Refused(400, f"the body is no JSON: {str(error)[:200]}") from error
    except ValueError as error:
        raise Refused(400, "the body is no JSON: a number has thousands of digits") from error


def _refuse_constant(name: str) -> NoReturn:
    raise Refused(400, f"{name} is no JSON")


def pixels(values: Any, text: bytes) -> Array:
    """An array of numbers from 0 to 255: uint8 where all are whole numbers, else float32.

    `text` is the JSON that they are of: whether each of them is a number is looked at only where it has the
    words for what is none, and which NumPy takes for numbers.
    """
    try:
        array = np.array(values)
    except (ValueError, OverflowError, RecursionError) as error:
        raise Refused(400, "the pixels are no table of numbers: its rows have different lengths") from error
    if (b"true" in text or b"false" in text) and _has_truth(values):
        raise Refused(400, "pixels are numbers from 0 to 255")
    return settled(array)


def _has_truth(values: Any) -> bool:
    return any(map(_has_truth, values)) if isinstance(values, list) else isinstance(values, bool)


def settled(array: Array) -> Array:
    """The same numbers as the net takes them. Refused for other kinds, NaN, and what is not 0 to 255."""
    if array.dtype.kind not in "uif":
        raise Refused(400, "pixels are numbers from 0 to 255")
    if not array.size:
        raise Refused(400, "there are no pixels")
    if not (array.min() >= 0 and array.max() <= 255):  # of NaN, neither holds
        raise Refused(400, "pixels are numbers from 0 to 255")
    return array.astype(np.float32 if array.dtype.kind == "f" else np.uint8)


def explained(error: TinynetError) -> str:
    """An error's lines as one sentence."""
    problem, *lines = str(error).splitlines()
    return "; ".join([problem, *(line.strip() for line in lines)])


def _from_table(table: Any, text: bytes, served: Served) -> Given:
    if not isinstance(table, dict) or len(table.keys() & {"pixels", "strokes"}) != 1 or len(table) != 1:
        raise Refused(400, 'the JSON is {"pixels": …} or {"strokes": …}')
    if "pixels" in table:
        return Given(_counted(_shaped(pixels(table["pixels"], text), served)))
    return Given(_drawn(table["strokes"], served)[None])


def _shaped(array: Array, served: Served) -> Array:
    """One image or several, with or without the axis of a single channel: (N, H, W, C)."""
    shape = served.shape
    for single in (shape, shape[:-1]) if served.is_grey else (shape,):
        if array.shape == single:
            return array.reshape(1, *shape)
        if array.shape[1:] == single:
            return array.reshape(len(array), *shape)
    wanted = " × ".join(map(str, shape[:-1] if served.is_grey else shape))
    got = " × ".join(map(str, array.shape)) or "a single number"
    raise Refused(400, f"the pixels are {got}; {served.name} takes {wanted}, or several of that")


def _from_bytes(body: bytes, served: Served) -> Array:
    size = math.prod(served.shape)
    if not body or len(body) % size:
        wanted = " × ".join(map(str, served.shape))
        raise Refused(400, f"{len(body):,} bytes are no images of {wanted} = {size:,} bytes each")
    return np.frombuffer(body, np.uint8).reshape(-1, *served.shape)


def _counted(images: Array) -> Array:
    if len(images) > LARGEST:
        raise Refused(400, f"{len(images):,} images; a request has at most {LARGEST}")
    return images


def _picture(body: bytes, served: Served) -> Given:
    read = read_whole if served.sees_whole_pictures else read_picture
    try:
        reading = read(body, served.shape, formats=tuple(FORMATS.values()), max_pixels=MAX_PIXELS)
    except TinynetError as error:
        raise Refused(400, explained(error)) from error
    return Given(reading.image[None], reading.fitted, reading.warning)


def _drawn(strokes: Any, served: Served) -> Array:
    """Strokes as lists of [x, y], y downwards, as (H, W, 1)."""
    if served.sees_whole_pictures:
        raise Refused(400, f"{served.name} sees pictures, not drawings: send it pixels or a picture")
    height, width, _ = served.shape
    if height != width or height < SMALLEST:
        wanted = f"squares of {SMALLEST} pixels or more"
        raise Refused(400, f"strokes are drawn on {wanted}, and {served.name} takes {height} × {width}")
    if not isinstance(strokes, list) or not all(isinstance(each, list) for each in strokes):
        raise Refused(400, "strokes are lists of points [x, y]")
    points = [point for stroke in strokes for point in stroke]
    if not points:
        raise Refused(400, "nothing is drawn")
    if len(points) > MAX_POINTS:
        raise Refused(400, f"{len(points):,} points; a drawing has at most {MAX_POINTS:,}")
    if not all(map(_is_point, points)):
        raise Refused(400, "a point is [x, y], two numbers of at most a million")
    return rasterize(strokes, height)[..., None]


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(type(each) in (int, float) and abs(each) <= 1e6 for each in point)
    )
