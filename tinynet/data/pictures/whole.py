"""A picture of anything: all of it, scaled to the size that a net takes, with black beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinynet.data.pictures.decode import FORMATS, MAX_PIXELS, decode
from tinynet.data.pictures.reading import Reading
from tinynet.types import Array, Shape


def read_whole(
    source: str | Path | bytes,
    shape: Shape,
    *,
    formats: tuple[str, ...] = FORMATS,
    max_pixels: int = MAX_PIXELS,
) -> Reading:
    """The picture as uint8 of `shape` (H, W, 3), or (H, W, 1) in grey; source, errors as of `read_picture`.

    Each pixel is the mean of what it covers. A picture of that very size comes out as it is.
    """
    from PIL import Image

    colours, (rows, columns) = decode(
        source if isinstance(source, bytes) else Path(source), formats, max_pixels
    )
    height, width, channels = shape
    picture = Image.fromarray(colours).convert("L" if channels == 1 else "RGB")
    step = max(picture.height / height, picture.width / width)
    inner = tuple(max(1, round(side / step)) for side in picture.size)
    scaled = np.asarray(picture.resize((inner[0], inner[1]), Image.Resampling.BOX))
    image = np.zeros(shape, np.uint8)
    top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
    image[top : top + inner[1], left : left + inner[0]] = scaled.reshape(inner[1], inner[0], channels)
    fits = (rows, columns) == (height, width)
    scaled_by = f"scaled from {rows} x {columns} to {inner[1]} x {inner[0]} (height x width)"
    fitted = "used as it is" if fits else scaled_by
    return Reading(colours, None, None, None, image, fitted, 1)


def is_coloured(image: Array) -> bool:
    """Whether an image (H, W, 3) is more than grey."""
    return bool((image.max(axis=2) - image.min(axis=2)).max() > 2)
