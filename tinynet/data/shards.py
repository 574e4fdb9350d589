"""Kaggle's tables in several files: a folder with train_0.csv, train_1.csv …, or a pattern: rows/*.csv.

They are read one after another: only one file's text is in memory at a time.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tinynet.data import kaggle
from tinynet.data.download import Progress
from tinynet.errors import DataError
from tinynet.types import Array

SUFFIXES = (".csv", ".csv.gz")


def find(name: str, table: str = kaggle.TRAIN) -> list[Path]:
    """The files that `name` stands for, in the order of the numbers in their names; none where it names none.

    name    a file, a pattern, or a folder: of that its `table`, plain or gzipped, or the parts of it, which
            are called like it with more before the dot (train_0.csv)

    Raises DataError for a folder with a table both whole and in parts.
    """
    path = Path(name)
    if path.is_file():
        return [path]
    if not path.is_dir():
        return _in_order(Path(each) for each in glob.glob(name) if Path(each).is_file())
    stem = table.removesuffix(".csv")
    whole = find_csv(path, table)
    parts = _in_order(
        each
        for each in path.glob(f"{stem}?*")
        if each.name.endswith(SUFFIXES) and each.name.split(".")[0] != stem and each.is_file()
    )
    if table == kaggle.TEST:
        parts = [each for each in parts if each.name != kaggle.TEST_LABELS]
    if whole and parts:
        raise DataError(
            f"{path} has a table both whole and in parts",
            expected=f"{table}, or its parts",
            received=f"{whole.name} and {', '.join(each.name for each in parts[:3])}",
            fix=f"name what you mean: {whole}, or '{path / stem}?*.csv'",
        )
    return [whole] if whole else parts


def find_csv(folder: Path, file: str) -> Path | None:
    """That CSV in the folder, plain or gzipped, or None."""
    return next((path for path in (folder / file, folder / f"{file}.gz") if path.is_file()), None)


def read(paths: Sequence[Path], on_progress: Progress | None = None) -> tuple[Array, Array | None]:
    """All rows of the files, in their order: images (N, 28, 28, 1) uint8, labels (N,) int64.

    Labels are None where no file has a label. `on_progress` as in `load`, if there is more than one file.
    Raises DataError as `kaggle.read_csv` does, and for a file without labels among others with them.
    """
    images: list[Array] = []
    labels: list[Array] = []
    done, size = 0, sum(path.stat().st_size for path in paths)
    for path in paths:
        rows, told = kaggle.read_csv(path)
        if images and (told is None) == bool(labels):
            raise no_labels(path if told is None else paths[0])
        images.append(rows)
        labels += [] if told is None else [told]
        done += path.stat().st_size
        if on_progress and len(paths) > 1:
            on_progress(f"reading {in_words(paths)}", done, size)
    if len(images) == 1:
        return images[0], labels[0] if labels else None
    return np.concatenate(images), np.concatenate(labels) if labels else None


def in_words(paths: Sequence[Path]) -> str:
    """The name of a file; of several, how many, and the first and the last."""
    return str(paths[0]) if len(paths) == 1 else f"{len(paths)} files, {paths[0]} to {paths[-1].name}"


def no_labels(path: Path) -> DataError:
    """What to raise of a Kaggle file that should teach, but has pixels alone."""
    return DataError(
        f"{path} has no labels",
        expected="a first column `label`, then pixel0 to pixel783",
        received="the pixels alone, as in Kaggle's test.csv",
        fix="give Kaggle's train.csv",
    )


def _in_order(paths: Iterable[Path]) -> list[Path]:
    """train_2.csv before train_10.csv."""
    return sorted(paths, key=lambda path: [*map(_key, re.split(r"(\d+)", str(path)))])


def _key(piece: str) -> tuple[int, str]:
    return (int(piece), piece) if piece.isdecimal() else (0, piece)
