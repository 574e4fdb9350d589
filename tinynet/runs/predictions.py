"""The predictions of a classifier, and the CSV file that keeps them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.data.datasets import Split
from tinynet.errors import RunError, ShapeError
from tinynet.io.atomic import write_atomic
from tinynet.model import Sequential
from tinynet.types import Array


@dataclass(frozen=True)
class Predictions:
    """The probability of each of K classes for M images, (M, K)."""

    probabilities: Array

    @property
    def classes(self) -> Array:
        """The most probable class of each image, int64 (M,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidence(self) -> Array:
        """The probability of that class (M,)."""
        return self.probabilities.max(axis=1)


def predict(model: Sequential, loss: Any, images: Array) -> Predictions:
    """The predictions of a classifier, trained with `loss`, for host images (M, H, W, C)."""
    if images.shape[1:] != model.input_shape:
        raise ShapeError(
            "the images do not fit the model", expected=model.input_shape, received=images.shape[1:]
        )
    outputs = model.backend.asarray(model.predict(images))
    return Predictions(model.backend.to_host(loss.probabilities(outputs)))


def class_names(known: Sequence[str], count: int) -> list[str]:
    """A name for each of the model's outputs: its number where the checkpoint has none."""
    return [*known, *map(str, range(len(known), count))][:count]


def write_predictions(path: Path, split: Split, predictions: Predictions) -> None:
    """A CSV line for every image: its index, label, predicted class, and the probability of that."""
    rows = zip(split.labels, predictions.classes, predictions.confidence, strict=True)
    lines = [f"{i},{label},{guess},{p:.6f}" for i, (label, guess, p) in enumerate(rows)]
    write_atomic(path, ("index,label,predicted,confidence\n" + "\n".join(lines) + "\n").encode())


def read_predictions(folder: Path) -> tuple[Array, Array, Array]:
    """Labels, predicted classes and their probabilities, (N,) each, as a run's predictions.csv has them."""
    path = folder / "predictions.csv"
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
        labels, predicted = (np.array([int(row[name]) for row in rows]) for name in ("label", "predicted"))
        return labels, predicted, np.array([float(row["confidence"]) for row in rows])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} cannot be read",
            expected="index,label,predicted,confidence and a row for each test image",
            received=error,
            fix=f"finish the run: tinynet train --resume {folder}",
        ) from error
