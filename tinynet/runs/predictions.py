"""The predictions of a classifier, and the CSV file that keeps them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinynet.data.datasets import Split
from tinynet.errors import NonFiniteError, RunError, ShapeError
from tinynet.io.atomic import write_atomic
from tinynet.io.reading import read_text, reason
from tinynet.model import Sequential
from tinynet.printable import quoted
from tinynet.types import Array

HEAD = "index,label,predicted,confidence"
NAMES = "file,label_name,predicted_name"
"""Columns that pictures in folders have, too."""
ROW = re.compile(r"([0-9]{1,9}),([0-9]{1,9}),([0-9]{1,9}),([01]\.[0-9]{1,20})(?:,(.+))?", re.ASCII)
MAX_BYTES = 2**26
"""Of a predictions.csv: two million rows."""


@dataclass(frozen=True)
class Predictions:
    """The probability of each of K classes for M images, (M, K)."""

    probabilities: Array
    unshifted: Array | None = None
    """Those of the images as they are (M, K), where `probabilities` are means over shifted ones."""

    @property
    def classes(self) -> Array:
        """The most probable class of each image, int64 (M,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidence(self) -> Array:
        """The probability of that class (M,)."""
        return self.probabilities.max(axis=1)


def predict(model: Sequential, loss: Any, images: Array, *, shifts: int = 0) -> Predictions:
    """The predictions of a classifier, trained with `loss`, for host images (M, H, W, C).

    With `shifts` (test-time augmentation), the mean of the probabilities of each image and of itself moved by
    up to so many pixels: see `shifted`. Raises ShapeError for a model or images that do not fit,
    NonFiniteError where an output is NaN.
    """
    if shifts:
        views = [predict(model, loss, view).probabilities for view in shifted(images, shifts)]
        return Predictions(np.mean(views, axis=0), unshifted=views[0])
    if len(model.output_shape) != 1:
        raise ShapeError(
            "this model is no classifier",
            expected="outputs (M, K), one for each of K classes",
            received=f"(M, {', '.join(map(str, model.output_shape))})",
        )
    if images.shape[1:] != model.input_shape:
        raise ShapeError(
            "the images do not fit the model", expected=model.input_shape, received=images.shape[1:]
        )
    outputs = model.backend.asarray(model.predict(images))
    # a copy: a backend keeps its results in memory that the next call writes anew
    probabilities = np.array(model.backend.to_host(loss.probabilities(outputs)))
    if wrong := int((~np.isfinite(probabilities).all(axis=1)).sum()):
        raise NonFiniteError(
            "the model does not give probabilities",
            expected="numbers from 0 to 1",
            received=f"NaN for {wrong:,} of {len(images):,} images",
            fix="its weights are NaN or far too large: use another checkpoint, or train again",
        )
    return Predictions(probabilities)


def shifted(images: Array, pixels: int) -> Iterator[Array]:
    """Images (M, H, W, C) as they are, then moved by (dy, dx) for all |dy| + |dx| ≤ pixels; edges repeat.

    4 views for one pixel besides the images themselves, 12 for two. Raises ShapeError for what is no images.
    """
    if images.ndim != 4:
        raise ShapeError("only images can be shifted", expected="(M, H, W, C)", received=images.shape)
    _, height, width, _ = images.shape
    wide = np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode="edge")
    yield images
    for y, x in np.ndindex(2 * pixels + 1, 2 * pixels + 1):
        if 0 < abs(y - pixels) + abs(x - pixels) <= pixels:
            yield np.ascontiguousarray(wide[:, y : y + height, x : x + width])


def class_names(known: Sequence[str], count: int) -> list[str]:
    """A name for each of the model's outputs: its number where the checkpoint has none."""
    return [*known, *map(str, range(len(known), count))][:count]


def write_predictions(path: Path, split: Split, predictions: Predictions, classes: Sequence[str]) -> None:
    """A CSV line for every image: its index, label, predicted class, and the probability of that; of pictures
    in folders also the file, and the names of both classes. classes: K names"""
    rows = zip(split.labels, predictions.classes, predictions.confidence, strict=True)
    lines = [f"{i},{label},{guess},{p:.6f}" for i, (label, guess, p) in enumerate(rows)]
    names = name_columns(split.files, split.labels, predictions.classes, classes)
    if names:
        lines = [f"{line},{name}" for line, name in zip(lines, names, strict=True)]
    head = f"{HEAD},{NAMES}" if split.files is not None else HEAD
    write_atomic(path, "".join(f"{line}\n" for line in [head, *lines]).encode())


def name_columns(files: Array | None, labels: Array, predicted: Array, classes: Sequence[str]) -> list[str]:
    """The columns NAMES of each row, as CSV; none without files. files, labels, predicted (N,)"""
    if files is None:
        return []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for file, *pair in zip(files, labels.tolist(), predicted.tolist(), strict=True):
        writer.writerow((file, *(classes[k] if k < len(classes) else k for k in pair)))
    return text.getvalue().splitlines()


class Recorded(NamedTuple):
    """What a run's predictions.csv says."""

    labels: Array
    """int64 (N,)"""
    predicted: Array
    """int64 (N,): the most probable class."""
    confidence: Array
    """float64 (N,): the probability of that."""
    names: list[str]
    """The columns NAMES of each row, as they stand there; none where the file does not have them."""


def read_predictions(folder: Path) -> Recorded:
    """What a run's predictions.csv says. Raises RunError if it cannot be read."""
    path = folder / "predictions.csv"
    try:
        head, *lines = read_text(path, MAX_BYTES).removesuffix("\n").split("\n")
        if head not in (HEAD, f"{HEAD},{NAMES}"):
            raise ValueError(f"the head {head[:60]!r}")
        rows = [_parsed(number, line, head != HEAD) for number, line in enumerate(lines)]
        labels, predicted = (np.array([row[place] for row in rows], np.int64) for place in (0, 1))
        confidence = np.array([row[2] for row in rows], np.float64)
        return Recorded(labels, predicted, confidence, [row[3] for row in rows if row[3]])
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} cannot be read",
            expected=f"{HEAD} and a row for each test image",
            received=reason(error),
            fix=f"finish the run: tinynet train --resume {quoted(folder)}",
        ) from error


def _parsed(number: int, line: str, named: bool) -> tuple[int, int, float, str | None]:
    """The label, the predicted class, its probability and the columns NAMES in row `number`, from 0."""
    found = ROW.fullmatch(line)
    if found is None or int(found[1]) != number or (found[5] is not None) != named:
        raise ValueError(f"row {number}: {line[:60]!r}")
    return int(found[2]), int(found[3]), float(found[4]), found[5]
