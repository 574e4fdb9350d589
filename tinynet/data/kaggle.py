"""The CSV files of Kaggle's digit-recognizer competition.

`train.csv` has the columns label, pixel0 … pixel783; `test.csv` has the pixels alone; a submission has
ImageId, Label with ImageId counted from 1. Pixels are whole numbers 0 to 255, row by row of a 28×28 image.

Kaggle has 42,000 and 28,000 rows, all 70,000 images of MNIST in another order: `write_competition` makes
such files from any data set.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn, Protocol

import numpy as np

from tinynet.data.files import atomic_write, open_payload
from tinynet.errors import DataError
from tinynet.rng import Key, Stream, permutation
from tinynet.types import Array

SIDE = 28
PIXELS = tuple(f"pixel{i}" for i in range(SIDE * SIDE))
TRAIN_COLUMNS = ("label", *PIXELS)
MAX_BYTES = 2**28  # 76 MB is the real train.csv
MAX_HEADER = 2**14
MAX_LINE = 8 * len(TRAIN_COLUMNS)  # twice as long as a row can be without needless zeros
MAX_EMPTY = 100
ALPHABET = b"0123456789,\r\n"
TEXT = [str(value).encode() for value in range(256)]
SUBMISSION_HEADER = b"ImageId,Label"

TRAIN, TEST, SAMPLE_SUBMISSION = "train.csv", "test.csv", "sample_submission.csv"
TEST_LABELS = "test-labels-for-scoring-only.csv"
"""What Kaggle keeps to itself: the labels of `test.csv`, as the submission that gets everything right."""


class Labelled(Protocol):
    """Images (N, 28, 28, 1) uint8 and their labels (N,)."""

    @property
    def images(self) -> Array: ...
    @property
    def labels(self) -> Array: ...


def read_csv(path: str | Path) -> tuple[Array, Array | None]:
    """Read a Kaggle digit file, plain or gzipped: images (N, 28, 28, 1) uint8, labels (N,) int64 or None.

    Labels are None when the file has no label column (`test.csv`). Empty lines at the end do not count.
    Raises DataError with the line and the column of the first fault.
    """
    with open_payload(path) as stream:
        columns = _read_header(path, stream.readline(MAX_HEADER).removesuffix(b"\n"))
        body = _read_rows(path, stream, columns)
    if not body:
        raise DataError(f"{path} has no rows", expected="a row an image", received="the header alone")
    table = _parse(body, columns)
    if table is None:
        _raise_first_fault(path, body, columns)
    images = table[:, -len(PIXELS) :].reshape(-1, SIDE, SIDE, 1)
    return images, table[:, 0].astype(np.int64) if columns is TRAIN_COLUMNS else None


def write_csv(path: str | Path, images: Array, labels: Array | None = None) -> None:
    """Write images (N, 28, 28[, 1]) uint8 as Kaggle's `test.csv`, or with labels (N,) as its `train.csv`.

    Gzipped if the name ends in .gz. The file appears whole or not at all.
    """
    if images.dtype != np.uint8 or images.ndim < 2 or images[:1].size != len(images[:1]) * len(PIXELS):
        raise DataError(
            "these images do not fit in a Kaggle file",
            expected="shape (N, 28, 28, 1) of uint8",
            received=f"shape {images.shape} of {images.dtype}",
        )
    columns, table = PIXELS, images.reshape(-1, len(PIXELS))
    if labels is not None:
        columns = TRAIN_COLUMNS
        table = np.column_stack([_check_labels(labels, len(images)), table])
    with atomic_write(path) as stream:
        stream.write(",".join(columns).encode() + b"\n")
        for row in table:
            stream.write(b",".join([TEXT[value] for value in row.tolist()]) + b"\n")


def write_submission(path: str | Path, labels: Array) -> None:
    """Write predicted labels (N,), 0 to 9, as a Kaggle submission. The file appears whole or not at all."""
    rows = enumerate(_check_labels(labels, len(labels)).tolist(), start=1)
    with atomic_write(path) as stream:
        stream.write(SUBMISSION_HEADER + b"\n")
        stream.writelines(f"{image_id},{label}\n".encode() for image_id, label in rows)


def read_submission(path: str | Path, count: int) -> Array:
    """The labels (count,) int64 of a submission for so many images. Raises DataError, naming the line."""
    with open_payload(path) as stream:
        header, *lines = stream.read(100 + 20 * count).rstrip(b"\r\n").split(b"\n")  # ample for so many rows
    rows = [line.rstrip(b"\r").split(b",") for line in lines]
    if header.rstrip(b"\r") != SUBMISSION_HEADER or len(rows) != count:
        raise DataError(
            f"{path} is not a submission for these images",
            expected=f"the header {SUBMISSION_HEADER.decode()}, then {count} rows",
            received=f"{_show(header)}, then {len(rows)} rows",
            fix="give the file that belongs to this test.csv",
        )
    for number, fields in enumerate(rows, start=1):
        if len(fields) != 2 or fields[0] != str(number).encode() or not _is_whole(fields[1], 9):
            raise DataError(
                f"{path}, line {number + 1}: wrong row",
                expected=f"{number},LABEL with a label 0 to 9",
                received=_show(b",".join(fields)),
            )
    return np.array([int(label) for _, label in rows])


def write_competition(folder: str | Path, splits: Sequence[Labelled], *, seed: int = 0) -> tuple[int, int]:
    """Write all images of `splits` as Kaggle's four files into a folder; returns the rows of each table.

    All are put in one random order, a function of the seed. The first three fifths are train.csv, the rest
    is test.csv: 42,000 and 28,000 of MNIST's 70,000. The labels of test.csv go to TEST_LABELS. A folder
    that holds any of the files is refused with DataError.
    """
    folder = Path(folder)
    if taken := [name for name in (TRAIN, TEST, SAMPLE_SUBMISSION, TEST_LABELS) if (folder / name).exists()]:
        raise DataError(f"{folder} has a {taken[0]} already", fix="name another folder")
    images = np.concatenate([split.images for split in splits])
    labels = np.concatenate([split.labels for split in splits])
    order = permutation(Key(seed, Stream.ORDER), len(labels))
    train, test = np.split(order, [len(order) * 3 // 5])
    folder.mkdir(parents=True, exist_ok=True)
    write_submission(folder / TEST_LABELS, labels[test])
    write_submission(folder / SAMPLE_SUBMISSION, np.zeros(len(test), np.int64))
    write_csv(folder / TEST, images[test])
    write_csv(folder / TRAIN, images[train], labels[train])
    return len(train), len(test)


def _check_labels(labels: Array, count: int) -> Array:
    """The labels as uint8 (N,), refused unless they are whole numbers 0 to 9, one an image."""
    whole = labels.dtype.kind in "iu"
    if labels.shape != (count,) or not whole or (count and not 0 <= labels.min() <= labels.max() <= 9):
        raise DataError(
            "these are not digit labels",
            expected=f"shape ({count},) of whole numbers 0 to 9",
            received=f"shape {labels.shape} of {labels.dtype}"
            + (f", {labels.min()} to {labels.max()}" if labels.size else ""),
        )
    return labels.astype(np.uint8)


def _read_header(path: str | Path, line: bytes) -> tuple[str, ...]:
    """The columns that the first line names: TRAIN_COLUMNS or PIXELS, exactly."""
    if not line.strip():
        raise DataError(f"{path} is empty", expected="a header, then a row an image", received="no header")
    names = line.rstrip(b"\r").decode("utf-8", "replace").split(",")
    columns = TRAIN_COLUMNS if names[0].strip('\ufeff" ') == "label" else PIXELS
    if tuple(names) == columns:
        return columns
    place = next((i for i, (a, b) in enumerate(zip(names, columns, strict=False)) if a != b), None)
    if place is None:
        place = min(len(names), len(columns))
    received = f"{names[place][:40]!r}" if place < len(names) else "the end of the line"
    raise DataError(
        f"{path}, line 1: wrong header at field {place + 1} ({len(names)} fields in all)",
        expected=repr(columns[place]) if place < len(columns) else "the end of the line",
        received=received,
        fix="give Kaggle's own file: [label,]pixel0,…,pixel783, in UTF-8 without quotes",
    )


def _read_rows(path: str | Path, stream: BinaryIO, columns: tuple[str, ...]) -> bytes:
    """All rows; DataError for the first that has not one field a column, without a look at what follows.

    A small gzip file can hold gigabytes of that.
    """
    rows: list[bytes] = []
    size = empty = 0
    while line := stream.readline(MAX_LINE):
        rows.append(line)
        size += len(line)
        empty = 0 if line.strip(b"\r\n") else empty + 1
        if size > MAX_BYTES:
            raise DataError(f"{path} is too long", expected=f"at most {MAX_BYTES:,} bytes", received="more")
        whole = len(line) < MAX_LINE and line.count(b",") == len(columns) - 1
        if empty > MAX_EMPTY or not (whole or empty):
            _raise_first_fault(path, b"".join(rows).removesuffix(b"\n"), columns)
    return b"".join(rows).rstrip(b"\r\n")


def _parse(body: bytes, columns: tuple[str, ...]) -> Array | None:
    """All rows as one (N, columns) uint8 table by NumPy's C reader, or None when anything is amiss."""
    if body.translate(None, ALPHABET):
        return None
    try:
        table = np.loadtxt(io.BytesIO(body), np.uint8, comments=None, delimiter=",", ndmin=2)
    except ValueError:
        return None
    good = table.shape == (body.count(b"\n") + 1, len(columns))
    return table if good and (columns is PIXELS or table[:, 0].max() <= 9) else None


def _raise_first_fault(path: str | Path, body: bytes, columns: tuple[str, ...]) -> NoReturn:
    """The slow pass: find the first field that `_parse` could not take, and say where it stands."""
    for number, line in enumerate(body.split(b"\n"), start=2):
        fields = line.removesuffix(b"\r").split(b",")
        for column, field in zip(columns, fields, strict=False):
            top = 9 if column == "label" else 255
            if not _is_whole(field, top):
                raise DataError(
                    f"{path}, line {number}, column {column}: wrong value",
                    expected=f"a whole number 0 to {top}",
                    received=_show(field),
                    fix="give Kaggle's own file",
                )
        if len(line) >= MAX_LINE:
            raise DataError(
                f"{path}, line {number} is too long",
                expected=f"at most {MAX_LINE:,} bytes",
                received="more",
                fix="give Kaggle's own file",
            )
        if len(fields) != len(columns):
            raise DataError(
                f"{path}, line {number}: wrong number of fields",
                expected=f"{len(columns)}, the last is {columns[-1]}",
                received=f"{len(fields)}, the last is {columns[min(len(fields), len(columns)) - 1]}"
                + (" and more after it" if len(fields) > len(columns) else ""),
                fix="give Kaggle's own file",
            )
    raise DataError(f"{path} cannot be read as a Kaggle file", fix="give Kaggle's own file")


def _is_whole(field: bytes, top: int) -> bool:
    """Whether the field is decimal digits alone, worth at most `top`."""
    digits = field.lstrip(b"0")
    return field.isdigit() and len(digits) <= 3 and int(digits or b"0") <= top


def _show(field: bytes) -> str:
    """A field as the reader of an error message should see it."""
    try:
        return repr(field[:40].decode())
    except UnicodeDecodeError:
        return f"bytes {field[:8].hex(' ')}, which are not UTF-8"
