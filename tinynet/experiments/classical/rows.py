"""The rows that all models are fitted and tested on: a table of Kaggle's size cut 80 to 20, a test table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinynet import extras
from tinynet.data import kaggle
from tinynet.data.datasets import DIGITS, Dataset, Split
from tinynet.data.idx import payload_sha256
from tinynet.data.shards import find_csv, no_labels
from tinynet.errors import DataError
from tinynet.types import Array

KAGGLE_ROWS = 42_000
VALIDATION = 0.2
SEED = 42


@dataclass(frozen=True, eq=False)
class Rows:
    """The training rows, the validation rows, and the test table that a submission is for."""

    train: Split
    validation: Split
    test: Array
    """Images (M, H, W, C) of the test table; M may be 0."""
    test_labels: Array | None
    """Their labels (M,), where they are known: Kaggle keeps its own."""
    classes: tuple[str, ...]
    source: str
    """Where the rows came from and how they were cut, in sentences."""
    sha256: str
    notice: str | None = None
    """What the reader must be told of the data set."""


def from_dataset(dataset: Dataset, seed: int = SEED) -> Rows:
    """The first 42,000 training images of a data set in file order (all where it has fewer), cut by the seed.

    The test table is the data set's test images. At least two of the training images are needed.
    """
    count = min(KAGGLE_ROWS, len(dataset.train))
    table = Split(dataset.train.images[:count], dataset.train.labels[:count])
    train, validation = _cut(table, seed)
    source = (
        f"The first {count:,} of the {len(dataset.train):,} training images of {dataset.name}, in file order"
        f" ({dataset.source}), {_cut_in_words(train, validation, seed)} The test table is its"
        f" {len(dataset.test):,} test images."
    )
    return Rows(
        train,
        validation,
        dataset.test.images,
        dataset.test.labels,
        dataset.classes,
        source,
        dataset.sha256,
        dataset.notice,
    )


def from_kaggle(folder: str | Path, seed: int = SEED) -> Rows:
    """All rows of a folder's train.csv, cut by the seed; its test.csv, if there is one, is the test table.

    The labels of the test table are its own column's, else those of the file that `tinynet data to-kaggle`
    left for scoring, else unknown. Raises DataError for a file that is missing or wrong.
    """
    folder = Path(folder)
    file = find_csv(folder, kaggle.TRAIN)
    if file is None:
        raise DataError(
            f"{folder} has no {kaggle.TRAIN}",
            expected="Kaggle's file, plain or gzipped",
            fix="name the folder that holds it; `tinynet data to-kaggle` makes one from MNIST",
        )
    images, labels = kaggle.read_csv(file)
    if labels is None:
        raise no_labels(file)
    train, validation = _cut(Split(images, labels), seed)
    test, test_labels = _read_test(folder, like=images)
    source = f"All {len(labels):,} rows of {file}, {_cut_in_words(train, validation, seed)}" + (
        f" The test table is the {len(test):,} rows of {kaggle.TEST} beside it." if len(test) else ""
    )
    return Rows(train, validation, test, test_labels, DIGITS, source, payload_sha256(file))


def write_rows(folder: str | Path, rows: Rows) -> None:
    """Write the training rows as train.csv and the validation rows, labelled, as test.csv.

    `tinynet train --dataset FOLDER` then trains on exactly the former and is tested on the latter. A folder
    that holds either file is refused with DataError.
    """
    folder = Path(folder)
    if taken := [name for name in (kaggle.TRAIN, kaggle.TEST) if (folder / name).exists()]:
        raise DataError(f"{folder} has a {taken[0]} already", fix="name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    kaggle.write_csv(folder / kaggle.TEST, rows.validation.images, rows.validation.labels)
    kaggle.write_csv(folder / kaggle.TRAIN, rows.train.images, rows.train.labels)


def _cut(table: Split, seed: int) -> tuple[Split, Split]:
    """(training, validation): scikit-learn's `train_test_split`, as the reference report cuts its rows."""
    extras.load("classical")
    from sklearn.model_selection import train_test_split

    if len(table) < 2:
        raise DataError("the table is too short to cut", expected="2 rows or more", received=len(table))
    parts = train_test_split(table.images, table.labels, test_size=VALIDATION, random_state=seed)
    images, validation_images, labels, validation_labels = parts
    return Split(images, labels), Split(validation_images, validation_labels)


def _cut_in_words(train: Split, validation: Split, seed: int) -> str:
    return (
        f"cut by scikit-learn's train_test_split(test_size={VALIDATION}, random_state={seed}) into"
        f" {len(train):,} for training and {len(validation):,} for validation."
    )


def _read_test(folder: Path, like: Array) -> tuple[Array, Array | None]:
    file = find_csv(folder, kaggle.TEST)
    if file is None:
        return like[:0], None
    images, labels = kaggle.read_csv(file)
    if labels is None and (folder / kaggle.TEST_LABELS).exists():
        labels = kaggle.read_submission(folder / kaggle.TEST_LABELS, len(images))
    return images, labels
