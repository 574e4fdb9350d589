"""A drawing as a file of pen strokes: {"strokes": [[[x, y], …], …]}, y downwards, in any unit.

Other keys of the table, such as a label, are not looked at.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinynet.data.pictures.ink import count_digits
from tinynet.data.pictures.reading import Reading, require_grey
from tinynet.data.strokes import SIZE, rasterize
from tinynet.errors import DataError
from tinynet.io.reading import read_json, reason
from tinynet.types import Shape

MAX_BYTES = 2**16
"""Of a file; a drawn digit takes some thousands."""
FINER = 4
"""The picture to look at has so many pixels for each of the net's, in both directions."""


def read_drawing(path: str | Path, shape: Shape = (SIZE, SIZE, 1)) -> Reading:
    """The drawing in a file of strokes, as the page makes the net's input of it.

    Raises DataError for a file that is missing, damaged, blank or too long, and for a shape other than
    (S, S, 1).
    """
    require_grey(shape)
    if shape[0] != shape[1] or shape[0] < 8:
        raise DataError(
            "a drawing does not fit this model",
            expected="a model for square pictures of at least 8 x 8 pixels",
            received=f"one of input shape {shape}",
        )
    try:
        table = read_json(path, MAX_BYTES)
        if not isinstance(table, dict) or "strokes" not in table:
            raise ValueError("it has no strokes")
        strokes = table["strokes"]
        image, large = rasterize(strokes, shape[0]), rasterize(strokes, FINER * shape[0])
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as a drawing",
            expected=f'a table such as {{"strokes": [[[10, 20], [12, 80]]]}}, of at most {MAX_BYTES:,} bytes',
            received=" ".join(reason(error).split()),
        ) from error
    if not image.any():
        raise DataError(f"{path} is blank", expected="at least one point", received="none")
    ink = large / np.float32(255)
    paper = np.repeat(255 - large[..., None], 3, axis=2)
    number = sum(map(bool, strokes))
    fitted = f"{number} {'stroke' if number == 1 else 'strokes'}, scaled, centred"
    blank = np.zeros(ink.shape, bool)
    return Reading(paper, ink, blank, ink, image[..., None], fitted, count_digits(large >= 128))
