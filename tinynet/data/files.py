"""Reading plain or gzipped files, and writing whole files or none."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from tinynet.errors import DataError
from tinynet.io.atomic import atomic_file, fix_for
from tinynet.io.reading import open_regular

GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def open_payload(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for reading, decompressed when its first two bytes say gzip, whatever its name says.

    Raises DataError when it is missing, unreadable or no regular file, and when its gzip stream is damaged.
    How much a gzip stream becomes, nobody knows before: read no more of it than there should be.
    """
    try:
        with open_regular(path) as raw:
            packed = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield cast(BinaryIO, unpacked)
            else:
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path} is a damaged gzip file",
            expected="a complete gzip stream whose checksum agrees",
            received=error,
            fix="fetch the file again",
        ) from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read",
            expected="a readable file",
            received=error.strerror or error,
            fix="check the path and its permissions",
        ) from error


@contextmanager
def atomic_write(path: str | Path, *, compress: bool | None = None) -> Iterator[BinaryIO]:
    """Write a data file that appears whole under its name, or not at all (see `tinynet.io.atomic`).

    `compress` gzips it (by default when the name ends in .gz) with neither time nor name inside, so the same
    bytes in give the same file out. Raises DataError when the folder cannot be written.
    """
    path = Path(path)
    try:
        with atomic_file(path) as raw:
            if path.suffix == ".gz" if compress is None else compress:
                with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=9, mtime=0) as packed:
                    yield cast(BinaryIO, packed)
            else:
                yield raw
    except OSError as error:
        raise DataError(
            f"{path} cannot be written",
            expected="a folder that exists and can be written",
            received=error.strerror or error,
            fix=fix_for(error) or "name another folder, or mend its permissions",
        ) from error
