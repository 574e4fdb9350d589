"""From a file to colours: whatever it is called, however it was saved, and never more than memory holds."""

from __future__ import annotations

import io
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinynet.errors import DataError
from tinynet.types import Array

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
MAX_PIXELS = 2**26  # 67 million: almost any camera's picture, but no decompression bomb
WORKING_SIDE = 640
"""Larger pictures are first scaled down to this, for speed; a digit of a twentieth of that is still sharp."""
BRANDS = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC",
    b"hevx": "HEIC",
    b"mif1": "HEIC",
    b"msf1": "HEIC",
}
BRANDS |= {b"avif": "AVIF", b"avis": "AVIF"}
"""How the pictures of phones that we cannot decode name themselves in bytes 8 to 11 (ISO 14496-12, ftyp)."""


def require_regular(path: Path) -> None:
    """Raise DataError for what is there but no regular file: to open a pipe would wait for ever."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except OSError as error:
        raise _unreadable(path, error.strerror or error) from error
    if kind == stat.S_IFDIR:
        raise _unreadable(path, "a directory")
    if kind != stat.S_IFREG:
        raise _unreadable(path, "a pipe, socket or device")


def decode(
    source: Path | bytes, formats: tuple[str, ...] = FORMATS, max_pixels: int = MAX_PIXELS
) -> tuple[Array, tuple[int, int]]:
    """The colours of a picture, uint8 (h, w, 3) of at most WORKING_SIDE, and its own height and width.

    `source` is a file's path, or what the file holds. The picture comes out upright (EXIF), and what is
    transparent is laid on a ground that its ink stands out from. Raises DataError for a file that is missing,
    damaged, of more than `max_pixels`, no picture, or of another format than `formats`.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    name = name_of(source)
    _refuse_by_name(name, _head(source), formats)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow mutters about odd files it reads all the same
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(
                io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats
            ) as file:
                width, height = file.size
                if width * height > max_pixels:  # the header says so: nothing is decoded yet
                    raise Image.DecompressionBombError(f"{height} x {width} (height x width)")
                file.draft(None, (WORKING_SIDE, WORKING_SIDE))  # JPEG: decodes no finer than needed
                upright = ImageOps.exif_transpose(_reduced(file))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{name} is too large",
            expected=f"at most {max_pixels:,} pixels",
            received=error,
            fix="scale it down first",
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{name} is not a picture",
            expected=", ".join(formats),
            received="a file of another kind, or a damaged one",
            fix="check the file; save the picture as PNG",
        ) from error
    except Exception as error:  # on damaged files Pillow's decoders raise almost any kind
        raise _unreadable(name, getattr(error, "strerror", None) or error, formats) from error
    turned = (upright.width > upright.height) != (width > height)
    return _opaque(upright), (width, height) if turned else (height, width)


def plain_grey(source: bytes) -> Array | None:
    """The levels uint8 (h, w) of a PNG that is grey, opaque and says nothing of how to show it; None for all
    others, damaged ones too: `decode` reads them, or says what is wrong."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(source), formats=("PNG",)) as file:
            if file.mode != "L" or max(file.size) > WORKING_SIDE:
                return None
            levels = np.array(file)
            return None if file.info else levels  # such as a turn by EXIF, or which grey is transparent
    except Exception:  # as in `decode`
        return None


def name_of(source: str | Path | bytes) -> str:
    """What a message calls the picture."""
    return "the picture" if isinstance(source, bytes) else str(source)


def _unreadable(name: object, received: object, formats: tuple[str, ...] = FORMATS) -> DataError:
    return DataError(
        f"{name} cannot be read",
        expected="a whole picture: " + ", ".join(formats),
        received=received,
        fix="save the picture again as PNG",
    )


def _head(source: Path | bytes) -> bytes:
    """The first 12 bytes. DataError for what is no regular file."""
    if isinstance(source, bytes):
        return source[:12]
    require_regular(source)
    try:
        with open(source, "rb") as file:
            return file.read(12)
    except FileNotFoundError as error:
        raise DataError(f"{source} cannot be read", received=error.strerror, fix="check the path") from error
    except OSError as error:
        raise _unreadable(source, error.strerror or error) from error


def _refuse_by_name(name: str, head: bytes, formats: tuple[str, ...]) -> None:
    """Raise DataError for HEIC and AVIF, whatever the file is called."""
    if head[4:8] == b"ftyp" and head[8:12] in BRANDS:
        raise DataError(
            f"{name} is {BRANDS[head[8:12]]}: save it as PNG or JPEG", expected=", ".join(formats)
        )


def _reduced(picture: Image) -> Image:
    """The picture in 8 bits a channel, scaled down to at most WORKING_SIDE."""
    from PIL import Image

    exif = picture.getexif()
    if picture.mode[0] in "IF":
        picture = Image.fromarray(_stretched(np.array(picture, dtype=np.float32)))
    elif picture.mode not in ("L", "RGB", "RGBA", "CMYK"):
        picture = picture.convert("RGBA")
    picture.thumbnail((WORKING_SIDE, WORKING_SIDE), reducing_gap=2.0)
    picture.info["exif"] = exif.tobytes()
    return picture


def _stretched(levels: Array) -> Array:
    """More than 8 bits, overwritten: from the darkest, which becomes 0, to the brightest, as 255."""
    np.nan_to_num(levels, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(levels.min()), float(levels.max())
    levels -= low  # in place: a large picture is large enough once
    levels *= 255 / max(high - low, 1e-9)
    return levels.astype(np.uint8)


def _opaque(picture: Image) -> Array:
    """Colours uint8 (h, w, 3), where nothing shines through any more.

    Where most of the picture is transparent, the rest is ink, and is laid on white or black, whichever is
    farther from it. Where little is, that is filled with the usual colour of the rest.
    """
    if picture.mode in ("L", "RGB"):
        return np.array(picture.convert("RGB"))
    layers = np.asarray(picture.convert("RGBA"), dtype=np.float32)
    colours, cover = layers[..., :3], layers[..., 3:] / 255
    visible = float(cover.mean())
    if visible == 1:
        return colours.astype(np.uint8)
    if visible > 0.5:
        ground = np.median(colours[cover[..., 0] > 0.5], axis=0)
    else:
        brightness = float((colours.mean(axis=2, keepdims=True) * cover).mean()) / max(visible, 1e-9)
        ground = np.full(3, 0.0 if brightness > 127 else 255.0)
    return (colours * cover + ground.astype(np.float32) * (1 - cover)).round().astype(np.uint8)
