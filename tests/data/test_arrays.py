"""tinynet.data.arrays: images and labels in an .npz file, and what is no such file."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinynet.data import load
from tinynet.data.datasets import Choices
from tinynet.errors import DataError

RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (40, 28, 28), np.uint8)
LABELS = (np.arange(40) % 10).astype(np.uint8)
COLOURS = RNG.integers(0, 256, (12, 8, 9, 3), np.uint8)
KINDS = np.arange(12) % 3


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "own.npz"


@pytest.mark.parametrize(
    ("names", "compressed"),
    [("x_train y_train x_test y_test", False), ("train_images train_labels test_images test_labels", True)],
)
def test_both_parts_as_keras_has_them(file: Path, names: str, compressed: bool) -> None:
    arrays: dict[str, Any] = dict(
        zip(names.split(), (IMAGES[:30], LABELS[:30], IMAGES[30:], LABELS[30:]), strict=True)
    )
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    data = load(str(file))
    np.testing.assert_array_equal(data.train.images, IMAGES[:30, ..., None])
    np.testing.assert_array_equal(data.test.labels, LABELS[30:])
    assert data.train.labels.dtype == np.int64
    assert data.classes == tuple("0123456789")
    assert data.name == "own"
    assert not data.whole
    assert "30 to train with, 10 to test with (as the names of its arrays say)." in (data.parts or "")
    with pytest.raises(DataError, match="has a test part of its own"):
        load(str(file), choices=Choices(test=0.5))


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels")])
def test_one_part_is_cut_class_by_class(file: Path, names: tuple[str, str]) -> None:
    arrays: dict[str, Any] = {names[0]: COLOURS, names[1]: KINDS[:, None], "x_val": COLOURS}
    np.savez(file, **arrays)
    data = load(str(file), choices=Choices(test=0.25))
    assert data.train.images.shape == (9, 8, 9, 3)
    assert sorted(data.test.labels.tolist()) == [0, 1, 2]
    assert data.classes == ("0", "1", "2")
    assert data.whole
    assert "not read: x_val." in (data.parts or "")
    for images, labels in ((data.train.images, data.train.labels), (data.test.images, data.test.labels)):
        for image, label in zip(images, labels, strict=True):
            [place] = np.flatnonzero((image == COLOURS).all((1, 2, 3)))
            assert label == KINDS[place]
    assert data.sha256 == load(str(file)).sha256
    everything = load(str(file), choices=Choices(test=0))
    assert len(everything.train) == 12
    assert len(everything.test) == 0


def test_classes_have_names(file: Path) -> None:
    np.savez(file, x=COLOURS, y=KINDS, classes=np.array(["red", "green", "blue"]))
    assert load(str(file)).classes == ("red", "green", "blue")
    np.savez(file, x=COLOURS, y=KINDS)
    assert load(str(file), choices=Choices(classes=("a", "b", "c", "d"))).classes == ("a", "b", "c", "d")
    assert load(str(file), choices=Choices(classes=("a", "b"))).classes == ("0", "1", "2")


def test_whole_numbers_of_other_types_are_taken(file: Path) -> None:
    np.savez(file, x=COLOURS.astype(np.int32), y=KINDS.astype(np.uint8))
    data = load(str(file))
    assert data.train.images.dtype == np.uint8


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "other names": ({"a": COLOURS, "b": KINDS}, r"which arrays are its images(.|\n)*received: a, b"),
    "two layouts": ({"x": COLOURS, "y": KINDS, "images": COLOURS, "labels": KINDS}, "which arrays"),
    "objects": ({"x": COLOURS, "y": np.array([1, "a", None] * 4, object)}, "y holds Python objects"),
    "fractions": ({"x": COLOURS / 255, "y": KINDS}, r"values of x are not pixels(.|\n)*rint\(255 \* x\)"),
    "large": ({"x": COLOURS.astype(int) * 2, "y": KINDS}, r"of x are not pixels(.|\n)*received: up to 5"),
    "negative": ({"x": COLOURS.astype(int) - 9, "y": KINDS}, "values of x are not pixels"),
    "channels first": ({"x": COLOURS.transpose(0, 3, 1, 2), "y": KINDS}, r"x\.transpose\(0, 2, 3, 1\)"),
    "flat": ({"x": COLOURS.reshape(12, -1), "y": KINDS}, "x are no images"),
    "none": ({"x": COLOURS[:0], "y": KINDS[:0]}, "x are no images"),
    "too few labels": ({"x": COLOURS, "y": KINDS[:5]}, "y are no labels of these images"),
    "fractions of labels": ({"x": COLOURS, "y": KINDS / 2}, "y are no labels"),
    "texts": ({"x": COLOURS, "y": KINDS.astype(str)}, r"y are no labels(.|\n)*numpy\.unique"),
    "below 0": ({"x": COLOURS, "y": KINDS - 1}, "y are no labels(.|\n)*-1 to 1"),
    "huge": ({"x": COLOURS, "y": KINDS * 10**12}, "y are no labels"),
    "few names": ({"x": COLOURS, "y": KINDS, "classes": np.array(["a", "b"])}, "does not name each class"),
    "a name twice": ({"x": COLOURS, "y": KINDS, "classes": np.array(["a", "b", "a"])}, "does not name each"),
    "numbers for names": ({"x": COLOURS, "y": KINDS, "classes": np.arange(3)}, "does not name each class"),
    "two sizes": (
        {"x_train": COLOURS, "y_train": KINDS, "x_test": COLOURS[:, :4], "y_test": KINDS},
        "x_test are of another size than x_train",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_arrays_that_will_not_do(file: Path, fault: str) -> None:
    arrays, said = WRONG[fault]
    np.savez(file, **arrays)
    with pytest.raises(DataError, match=said):
        load(str(file))


def test_a_header_that_asks_for_too_much_is_not_believed(file: Path) -> None:
    header = io.BytesIO()
    asked = {"descr": "|u1", "fortran_order": False, "shape": (2**40, 28, 28)}
    np.lib.format.write_array_header_1_0(header, asked)
    labels = io.BytesIO()
    np.save(labels, KINDS)
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("x.npy", header.getvalue())
        packed.writestr("y.npy", labels.getvalue())
    with pytest.raises(DataError, match=r"cannot be read as \.npz(.|\n)*x ends before"):
        load(str(file))


def test_a_file_that_is_no_archive(file: Path) -> None:
    file.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"own\.npz cannot be read as \.npz"):
        load(str(file))
    with pytest.raises(DataError, match="there is no data set"):
        load(str(file.with_name("none.npz")))
