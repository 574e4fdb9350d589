"""tinynet.data.shards: Kaggle's rows in several files."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tinynet.data import load, shards, write_csv
from tinynet.data.datasets import Choices
from tinynet.errors import DataError
from tinynet.types import Array

IMAGES = np.random.default_rng(5).integers(0, 256, (24, 28, 28, 1), np.uint8)
LABELS = np.arange(24) % 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Rows 0 to 23 in train_0.csv to train_11.csv, two in each."""
    for n in range(12):
        write(tmp_path / f"train_{n}.csv{'.gz' * (n % 2)}", 2 * n)
    return tmp_path


def write(path: Path, first: int, labels: Array | None = LABELS) -> None:
    write_csv(path, IMAGES[first : first + 2], None if labels is None else labels[first : first + 2])


@pytest.mark.parametrize("pattern", ["", "train_*", "*.csv*"])
def test_files_are_joined_in_the_order_of_their_numbers(folder: Path, pattern: str) -> None:
    seen = []
    data = load(str(folder / pattern), on_progress=lambda what, done, size: seen.append((what, done, size)))
    np.testing.assert_array_equal(np.concatenate([data.train.images, data.test.images]), IMAGES)
    np.testing.assert_array_equal(np.concatenate([data.train.labels, data.test.labels]), LABELS)
    assert len(data.test) == 4
    assert f"12 files, {folder / 'train_0.csv'} to train_11.csv.gz" in data.source
    assert "The last 4 rows of 12 files" in (data.parts or "")
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert len(seen) == 12
    assert seen[-1][1] == seen[-1][2]


def test_one_file_hashes_as_it_did_before(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", IMAGES, LABELS)
    assert load(str(tmp_path)).sha256 == load(str(tmp_path / "train.csv")).sha256


def test_parts_of_a_test_table(folder: Path) -> None:
    for n in range(2):
        write(folder / f"test_{n}.csv", 2 * n)
    data = load(str(folder))
    assert len(data.train) == 24
    np.testing.assert_array_equal(data.test.images, IMAGES[:4])
    with pytest.raises(DataError, match=r"2 files, .* is a test part"):
        load(str(folder), choices=Choices(test=0.5))
    write(folder / "test_1.csv", 2, labels=None)
    with pytest.raises(DataError, match=r"test_1\.csv has no labels"):
        load(str(folder))


def test_a_fault_is_named_with_its_file(folder: Path) -> None:
    write(folder / "train_4.csv", 8, labels=None)
    with pytest.raises(DataError, match=r"train_4\.csv has no labels"):
        load(str(folder))
    text = (folder / "train_0.csv").read_text()
    (folder / "train_4.csv").write_text(text.replace("pixel7,", "pixel8,", 1))
    with pytest.raises(DataError, match=r"train_4\.csv, line 1: wrong header at field 9"):
        load(str(folder))


def test_labels_missing_in_the_first_file_or_in_all(folder: Path) -> None:
    write(folder / "train_0.csv", 0, labels=None)
    with pytest.raises(DataError, match=r"train_0\.csv has no labels"):
        load(str(folder))
    with pytest.raises(DataError, match=r"train_0\.csv has no labels"):
        load(str(folder / "train_0.*"))


def test_a_table_whole_and_in_parts_is_refused(folder: Path) -> None:
    write(folder / "train.csv", 0)
    with pytest.raises(DataError, match=r"both whole and in parts(.|\n)*train\.csv and train_0\.csv, "):
        load(str(folder))
    assert len(load(str(folder / "train_?*")).train) == 20


def test_what_kaggle_keeps_to_itself_is_no_part(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", IMAGES, LABELS)
    (tmp_path / "test-labels-for-scoring-only.csv").write_text("ImageId,Label\n1,1\n")
    assert len(load(str(tmp_path)).test) == 4


def test_a_pattern_without_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no data set"):
        load(str(tmp_path / "train_*.csv"))


def test_only_one_file_s_text_is_in_memory(tmp_path: Path) -> None:
    images, labels = np.full((300, 28, 28, 1), 255, np.uint8), np.zeros(300, np.int64)
    for n in range(8):
        write_csv(tmp_path / f"train_{n}.csv", images, labels)
    text = (tmp_path / "train_0.csv").stat().st_size
    files = shards.find(str(tmp_path))
    tracemalloc.start()
    shards.read(files)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    rows = 8 * 300 * 785
    assert peak < 2 * rows + 4 * text  # the text of all would be 8
