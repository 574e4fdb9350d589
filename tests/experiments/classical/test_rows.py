"""The rows: Kaggle's size, the reference's split, and a way to train a net on the same ones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from tinynet.data import load, overlap
from tinynet.data.datasets import Dataset
from tinynet.data.kaggle import TEST_LABELS, write_csv, write_submission
from tinynet.errors import ConfigError, DataError
from tinynet.experiments import classical
from tinynet.experiments.classical.rows import Rows


def test_the_split_is_the_references(small: Dataset, rows: Rows) -> None:
    train, validation = train_test_split(np.arange(500), test_size=0.2, random_state=42)
    np.testing.assert_array_equal(rows.train.images, small.train.images[train])
    np.testing.assert_array_equal(rows.validation.labels, small.train.labels[validation])
    np.testing.assert_array_equal(rows.test, small.test.images)
    assert not overlap(rows.validation.images, rows.train.images).any()
    assert "The first 500 of the 500 training images" in rows.source
    assert "400 for training and 100 for validation" in rows.source


def test_another_seed_is_another_split(small: Dataset, rows: Rows) -> None:
    other = classical.from_dataset(small, seed=1)
    assert overlap(other.validation.images, rows.train.images).any()


def test_of_mnist_the_first_42000_are_taken(mnist_dir: Path) -> None:
    data = load("mnist", data_dir=mnist_dir)
    rows = classical.from_dataset(data)
    assert (len(rows.train), len(rows.validation), len(rows.test)) == (33_600, 8_400, 10_000)
    together = np.concatenate([rows.train.images, rows.validation.images])
    assert overlap(together, data.train.images[:42_000]).all()
    assert not overlap(together, data.train.images[42_000:]).any()


def test_a_kaggle_folder_with_and_without_a_test_table(small: Dataset, rows: Rows, tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", small.train.images, small.train.labels)
    read = classical.from_kaggle(tmp_path)
    np.testing.assert_array_equal(read.train.images, rows.train.images)
    np.testing.assert_array_equal(read.validation.labels, rows.validation.labels)
    assert (len(read.test), read.test_labels) == (0, None)

    write_csv(tmp_path / "test.csv.gz", small.test.images)
    read = classical.from_kaggle(tmp_path)
    np.testing.assert_array_equal(read.test, small.test.images)
    assert read.test_labels is None

    write_submission(tmp_path / TEST_LABELS, small.test.labels)
    np.testing.assert_array_equal(classical.from_kaggle(tmp_path).test_labels, small.test.labels)


def test_a_train_csv_that_has_no_labels(small: Dataset, tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", small.test.images)
    with pytest.raises(DataError, match="has no labels"):
        classical.from_kaggle(tmp_path)
    with pytest.raises(DataError, match=r"has no train\.csv"):
        classical.from_kaggle(tmp_path / "elsewhere")


def test_the_written_rows_are_a_data_set_of_the_same_parts(rows: Rows, tmp_path: Path) -> None:
    classical.write_rows(tmp_path / "rows", rows)
    data = load(str(tmp_path / "rows"))
    np.testing.assert_array_equal(data.train.images, rows.train.images)
    np.testing.assert_array_equal(data.test.images, rows.validation.images)
    np.testing.assert_array_equal(data.test.labels, rows.validation.labels)
    with pytest.raises(DataError, match=r"has a train\.csv already"):
        classical.write_rows(tmp_path / "rows", rows)


def test_without_scikit_learn_the_error_says_what_to_install(
    small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ConfigError, match=r"need scikit-learn(.|\n)*\[classical\]"):
        classical.from_dataset(small)
