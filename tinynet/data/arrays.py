"""Data sets as NumPy saves them: an .npz file with arrays of images and of labels.

    x_train, y_train, x_test, y_test   as in Keras' mnist.npz; or x and y alone
    train_images, train_labels, …      or images and labels alone

Arrays of objects are refused: to read one would run what it holds.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from tinynet.data.parts import held_out, shuffled
from tinynet.errors import DataError
from tinynet.io.reading import open_regular, reason
from tinynet.printable import printable
from tinynet.types import Array

LAYOUTS = (
    ("x_train", "x_test", "y_train", "y_test"),
    ("train_images", "test_images", "train_labels", "test_labels"),
    ("x", "y"),
    ("images", "labels"),
)
"""Names of arrays: images of each part, then the labels of each."""
CLASSES = "classes"
"""A text for each class, if there is such an array."""
MAX_BYTES = 2**32
"""Of all arrays; MNIST has 55 million."""
MAX_CLASSES = 1000
READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Arrays(NamedTuple):
    """What a file holds: images (N, H, W, C) uint8 and labels (N,) int64 of both parts."""

    train: tuple[Array, Array]
    test: tuple[Array, Array]
    classes: tuple[str, ...]
    said: str
    """How it was divided, and what was left, in words."""
    sha256: str


def read(path: Path, *, classes: Sequence[str] | None = None, test: float | None = None) -> Arrays:
    """The images and labels of an .npz file.

    classes  names for the numbers that the labels are, where the file has none
    test     the share of each class that becomes the test part, where the file has one part alone

    Raises DataError for a damaged file, arrays of objects, and arrays that are no images or labels.
    """
    try:
        with open_regular(path) as raw, zipfile.ZipFile(raw) as file:
            there = {name.removesuffix(".npy"): name for name in file.namelist() if name.endswith(".npy")}
            layout = _layout(path, there)
            wanted = [*layout, CLASSES] if CLASSES in there else [*layout]
            if sum(file.getinfo(there[name]).file_size for name in wanted) > MAX_BYTES:
                raise DataError(
                    f"{path} is too large", expected=f"at most {MAX_BYTES:,} bytes", received="more"
                )
            found = {name: _read_array(path, name, file, there[name]) for name in wanted}
    except DataError:
        raise
    except Exception as error:  # zipfile, its decompressors and NumPy's headers raise a dozen kinds
        raise DataError(
            f"{path} cannot be read as .npz",
            expected="a whole file that numpy.savez wrote",
            received=reason(error),
        ) from error
    half = len(layout) // 2
    pairs = [
        (_images(path, x, found[x]), _labels(path, y, found[y], len(found[x])))
        for x, y in zip(layout[:half], layout[half:], strict=True)
    ]
    names = _class_names(path, found.get(CLASSES), classes, max(int(labels.max()) for _, labels in pairs))
    if len(pairs) == 2:
        _check_alike(path, layout, [images for images, _ in pairs])
        if test is not None:
            raise DataError(
                f"{path} has a test part of its own", expected="no --test", received=f"--test {test:g}"
            )
        (train, tested), how = pairs, "as the names of its arrays say"
    else:
        images, labels = shuffled(*pairs[0])
        tests = held_out(path, labels, test)
        train, tested = (images[~tests], labels[~tests]), (images[tests], labels[tests])
        how = "a share of each class, the same every time"
    unused = [printable(name) for name in sorted({*there} - {*wanted})]
    return Arrays(train, tested, names, _sentence(path, train, tested, how, unused), _hash(found))


def _layout(path: Path, there: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the arrays to read. DataError where there are none, or of two layouts."""
    fits = [layout for layout in LAYOUTS if all(name in there for name in layout)]
    if len(fits) != 1:
        raise DataError(
            f"{path} does not say which arrays are its images and labels",
            expected="; or ".join(", ".join(layout) for layout in LAYOUTS),
            received=", ".join(there) or "no arrays",
            fix="save them under such names: numpy.savez(file, x=images, y=labels)",
        )
    return fits[0]


def _read_array(path: Path, name: str, file: zipfile.ZipFile, entry: str) -> Array:
    """One array, its header checked first: a small file may ask for a lot of memory."""
    size = file.getinfo(entry).file_size
    with file.open(entry) as stream:
        shape, _, dtype = _header(stream)
        if dtype.hasobject:
            raise DataError(
                f"{path}: {name} holds Python objects",
                expected="an array of numbers",
                received=dtype,
                fix="save it as numbers: numpy.asarray(values, numpy.uint8)",
            )
        if int(np.prod(shape, dtype=object)) * dtype.itemsize > size:
            raise ValueError(f"{name} ends before its {shape} of {dtype}")
    with file.open(entry) as stream:
        array: Array = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _header(stream: IO[bytes]) -> Any:
    version = np.lib.format.read_magic(stream)
    if version not in READERS:
        raise ValueError(f"an array in format {version}")
    return READERS[version](stream)


def _images(path: Path, name: str, array: Array) -> Array:
    """The images as (N, H, W, C) uint8."""
    images = array[..., None] if array.ndim == 3 else array
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        first = images.ndim == 4 and images.shape[1] in (1, 3)
        raise DataError(
            f"{path}: {name} are no images",
            expected="shape (N, height, width), or (N, height, width, 1 or 3)",
            received=f"shape {array.shape}",
            fix=f"channels come last: {name}.transpose(0, 2, 3, 1)" if first else f"reshape {name}",
        )
    fits = images.dtype.kind == "u" or (images.dtype.kind == "i" and images.min() >= 0)
    if not fits or images.max() > 255:
        raise DataError(
            f"{path}: the values of {name} are not pixels of 0 to 255",
            expected="whole numbers 0 to 255, as uint8",
            received=images.dtype if not fits else f"up to {images.max()}",
            fix=f"save them so; numbers from 0 to 1 as numpy.rint(255 * {name}).astype(numpy.uint8)",
        )
    return np.ascontiguousarray(images, np.uint8)


def _labels(path: Path, name: str, array: Array, count: int) -> Array:
    """The labels as (N,) int64."""
    labels = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    whole = labels.dtype.kind in "iu" and labels.shape == (count,)
    if not whole or labels.min() < 0 or labels.max() >= MAX_CLASSES:
        values = f", {labels.min()} to {labels.max()}" if whole else ""
        raise DataError(
            f"{path}: {name} are no labels of these images",
            expected=f"shape ({count},) of whole numbers from 0, below {MAX_CLASSES:,}",
            received=f"shape {array.shape} of {array.dtype}{values}",
            fix="number the classes: numpy.unique(names, return_inverse=True)",
        )
    return labels.astype(np.int64)


def _check_alike(path: Path, layout: Sequence[str], images: Sequence[Array]) -> None:
    if images[0].shape[1:] != images[1].shape[1:]:
        raise DataError(
            f"{path}: {layout[1]} are of another size than {layout[0]}",
            expected=images[0].shape[1:],
            received=images[1].shape[1:],
        )


def _class_names(path: Path, own: Array | None, known: Sequence[str] | None, last: int) -> tuple[str, ...]:
    """A name for each label: those in the file, else those known if they suffice, else numbers."""
    if own is None:
        fits = known is not None and last < len(known)
        return tuple(known) if known and fits else tuple(map(str, range(last + 1)))
    names = tuple(printable(str(name)) for name in own.ravel()) if own.dtype.kind == "U" else ()
    if len(names) <= last or len({*names}) < len(names):
        raise DataError(
            f"{path}: {CLASSES} does not name each class",
            expected=f"{last + 1} different texts",
            received=f"{own.size} of {own.dtype}",
        )
    return names


def _sentence(path: Path, train: Any, test: Any, how: str, unused: Sequence[str]) -> str:
    tested = f"{len(test[1]):,} to test with ({how})" if len(test[1]) else "none to test with"
    left = f"; not read: {', '.join(unused)}" if unused else ""
    return f"Images in {path}: {len(train[1]):,} to train with, {tested}{left}."


def _hash(arrays: dict[str, Array]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
