"""The images of a file of any kind: IDX, Kaggle's CSV, a picture that a person made, or a drawing."""

from __future__ import annotations

from pathlib import Path

from tinynet.data.files import open_payload
from tinynet.data.idx import read_idx
from tinynet.data.kaggle import read_csv
from tinynet.data.pictures import Reading, read_drawing, read_picture, require_regular
from tinynet.data.pictures.whole import read_whole
from tinynet.errors import DataError
from tinynet.types import Array, Shape


def read_images(file: Path, shape: Shape, whole: bool = False) -> tuple[Array, Reading | None]:
    """The images of one file as (N, H, W, C) of the model's input shape; for a picture, how it was read.

    A picture is of one sign, dark or light on its ground; or, for a model of colours or with `whole`, of
    anything: it is then scaled alone. IDX is told by its first bytes, CSV by its first word or its name, a
    drawing by its brace; anything else is taken for a picture.
    """
    require_regular(file)
    with open_payload(file) as stream:
        head = stream.read(8)
    if head[:2] == b"\0\0" and head[4:] != b"ftyp":
        images = read_idx(file)
        images = images[..., None] if images.ndim == 3 else images
    elif head.startswith((b"label", b"pixel")) or ".csv" in file.suffixes[-2:]:
        images, _ = read_csv(file)
    else:
        is_drawing = head.lstrip().startswith(b"{")
        is_whole = whole or shape[2:] == (3,)
        read = read_drawing if is_drawing else read_whole if is_whole else read_picture
        reading = read(file, shape)
        return reading.image[None], reading
    if images.shape[1:] != shape or len(images) == 0 or images.dtype.kind != "u":
        raise DataError(
            f"the images in {file} do not fit this model",
            expected=f"one or more images of {shape}, of bytes",
            received=f"shape {images.shape} of {images.dtype}",
            fix="give a file of images (not of labels), of the size the model was trained on",
        )
    return images, None
