"""The IDX format of the MNIST files: a magic number, the sizes, then the elements, all big-endian.

    0  0  type  rank | size₁ … size_rank, 4 bytes each | elements, last index fastest

Source: the format note on the MNIST page of LeCun, Cortes and Burges.
"""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tinynet.data.files import atomic_write, open_payload
from tinynet.errors import DataError
from tinynet.types import Array, Shape

DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
MAX_RANK = 4
MAX_BYTES = 2**30  # twenty times MNIST; a header that asks for more is damaged or hostile
MAX_RATIO = 1032  # gzip packs no tighter, so a file cannot hold more than so many times its size
CHUNK = 1 << 20


def read_idx(path: str | Path) -> Array:
    """Read one IDX file, plain or gzipped (told by its bytes), into a new array of native byte order.

    Any of the six IDX element types, rank 1 to 4. Raises DataError for whatever is not exactly one IDX
    array: wrong magic, unknown type, absurd sizes, too few or too many bytes, a damaged gzip stream.
    """
    with open_payload(path) as stream:
        dtype, shape = _read_header(path, stream)
        size, most = math.prod(shape) * dtype.itemsize, MAX_RATIO * os.stat(path).st_size
        if size > most:
            raise _wrong_size(path, shape, size, f"{most} bytes at most")
        array = np.empty(shape, dtype)
        count = _read_into(stream, array.reshape(-1).view(np.uint8).data)
        if count < size or stream.read(1):
            raise _wrong_size(path, shape, size, f"{count} bytes" if count < size else "more")
    return array if dtype.isnative else array.byteswap(inplace=True).view(dtype.newbyteorder("="))


def write_idx(path: str | Path, array: Array, *, compress: bool | None = None) -> None:
    """Write an array of rank 1 to 4 as IDX, gzipped if `compress` (by default: if the name ends in .gz).

    Equal arrays give equal files. The file appears whole or not at all. Raises DataError for an element type
    or a rank that IDX lacks, and for a folder that cannot be written.
    """
    header, data = _encode(array)
    with atomic_write(path, compress=compress) as stream:
        stream.write(header)
        stream.write(data)


def idx_sha256(array: Array) -> str:
    """SHA-256, in hex, of the uncompressed IDX file that holds this array: `payload_sha256` of that file."""
    header, data = _encode(array)
    digest = hashlib.sha256(header)
    digest.update(data)
    return digest.hexdigest()


def payload_sha256(path: str | Path, limit: int = MAX_BYTES) -> str:
    """SHA-256, in hex, of a file's bytes after decompression, its header included.

    Raises DataError where there are more than `limit`, and does not read on.
    """
    digest, count = hashlib.sha256(), 0
    with open_payload(path) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            count += len(chunk)
            if count > limit:
                raise DataError(f"{path} is too long", expected=f"at most {limit:,} bytes", received="more")
    return digest.hexdigest()


def _read_into(stream: BinaryIO, place: memoryview) -> int:
    """Fill `place` from the stream, as far as that goes; return how many bytes came."""
    count = 0
    while count < len(place):
        data = stream.read(min(CHUNK, len(place) - count))
        if not data:
            break
        place[count : count + len(data)] = data
        count += len(data)
    return count


def _wrong_size(path: str | Path, shape: Shape, size: int, received: str) -> DataError:
    return DataError(
        f"{path}: the payload is {'too long' if received == 'more' else 'cut short'}",
        expected=f"{size} bytes for shape {shape}",
        received=received,
        fix="fetch the file again",
    )


def _read_header(path: str | Path, stream: BinaryIO) -> tuple[np.dtype[Any], Shape]:
    """The element type and the sizes that the header announces, checked."""
    magic = _read_exactly(path, stream, 4)
    zeros, code, rank = magic[:2], magic[2], magic[3]
    if zeros != b"\0\0" or not 1 <= rank <= MAX_RANK:
        raise DataError(
            f"{path} is not an IDX file{', nor gzip' if str(path).endswith('.gz') else ''}",
            expected=f"first bytes 00 00 TYPE RANK, with RANK 1 to {MAX_RANK}",
            received=magic.hex(" "),
            fix="fetch the file again; a saved error page looks like this",
        )
    if code not in DTYPES:
        raise DataError(
            f"{path}: unknown IDX type code",
            expected=" ".join(f"{known:02x}" for known in DTYPES),
            received=f"{code:02x}",
            fix="fetch the file again",
        )
    sizes = np.frombuffer(_read_exactly(path, stream, 4 * rank), ">u4")
    shape = tuple(sizes.tolist())
    if math.prod(shape) * DTYPES[code].itemsize > MAX_BYTES:
        raise DataError(
            f"{path}: the header announces an absurd size",
            expected=f"at most {MAX_BYTES:,} bytes",
            received=f"shape {shape} of {DTYPES[code].name}",
            fix="fetch the file again",
        )
    return DTYPES[code], shape


def _read_exactly(path: str | Path, stream: BinaryIO, count: int) -> bytes:
    """The next `count` bytes of the header."""
    data = stream.read(count)
    if len(data) < count:
        raise DataError(
            f"{path}: the IDX header is cut short",
            expected=f"{count} more bytes",
            received=f"{len(data)} bytes" if data else "the end of the file",
            fix="fetch the file again",
        )
    return data


def _encode(array: Array) -> tuple[bytes, memoryview]:
    """The header and the elements of the IDX file that holds this array."""
    wanted = array.dtype.newbyteorder(">")
    code = next((code for code, dtype in DTYPES.items() if dtype == wanted), None)
    if code is None or not 1 <= array.ndim <= MAX_RANK:
        raise DataError(
            "this array does not fit in an IDX file",
            expected=f"rank 1 to {MAX_RANK} of " + ", ".join(dtype.name for dtype in DTYPES.values()),
            received=f"rank {array.ndim} of {array.dtype.name}",
            fix="convert it, for example labels.astype(np.uint8)",
        )
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    elements = np.ascontiguousarray(array, wanted).reshape(-1).view(np.uint8)
    return header, elements.data
