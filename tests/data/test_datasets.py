"""tinynet.data.datasets: which data set comes from where, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinynet.data import Dataset, load, sample, write_csv, write_idx
from tinynet.data.datasets import SYSTEM_FOLDERS, Choices, fetch, info, locate, verify
from tinynet.data.download import FILES, MIRRORS, PAYLOAD_SHA256, find_file
from tinynet.data.idx import idx_sha256
from tinynet.errors import DataError
from tinynet.types import Array

MNIST = Path(os.environ.get("TINYNET_DATA") or "not named")
needs_mnist = pytest.mark.skipif(
    any(find_file(MNIST, stem) is None for stem in FILES),
    reason="needs all of MNIST: name the folder of its four files in TINYNET_DATA",
)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No user's cache, no system's folder, no network."""
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    for key in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(key, "127.0.0.1")
    monkeypatch.setattr("tinynet.data.datasets.SYSTEM_FOLDERS", {})
    for name in MIRRORS:
        monkeypatch.setitem(MIRRORS, name, ("http://127.0.0.1:1/",))


def make(folder: Path, seed: int, *, packed: bool = True, **changed: Array) -> dict[str, str]:
    """Write a small data set of four files, and return the payload hash of each."""
    rng = np.random.default_rng(seed)
    arrays = {
        "train-images-idx3-ubyte": rng.integers(0, 256, (30, 28, 28), np.uint8),
        "train-labels-idx1-ubyte": np.arange(30, dtype=np.uint8) % 10,
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (10, 28, 28), np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(10, dtype=np.uint8),
    }
    arrays.update({key.replace("_", "-"): array for key, array in changed.items()})
    folder.mkdir(parents=True, exist_ok=True)
    for stem, array in arrays.items():
        write_idx(folder / (f"{stem}.gz" if packed else stem), array)
    return {stem: idx_sha256(array) for stem, array in arrays.items()}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small known data sets: tmp_path/m is mnist, tmp_path/f is fashion-mnist."""
    for name, seed in (("mnist", 0), ("fashion-mnist", 1)):
        monkeypatch.setitem(PAYLOAD_SHA256, name, make(tmp_path / name[0], seed))
    return tmp_path


# The sample


def test_the_sample_has_4000_and_1000_digits_stratified_and_mixed() -> None:
    data = load("sample")
    assert isinstance(data, Dataset)
    assert data.is_sample
    assert "5,000" in str(data.notice)
    for split, count in ((data.train, 400), (data.test, 100)):
        assert split.images.shape == (10 * count, 28, 28, 1)
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert np.bincount(split.labels).tolist() == [count] * 10
        assert len(set(split.labels[:50].tolist())) == 10, "the classes are mixed"
    assert data.classes == tuple("0123456789")


def test_the_sample_is_the_one_we_made() -> None:
    assert load("sample").sha256 == "a259a355405e90ad4cefabbec208a9ce78703ef90614d333c7542dfa25cf2904"
    assert sum(path.stat().st_size for path in sample.path().glob("*.gz")) < 1_200_000
    assert "CC BY-SA 3.0" in (sample.path() / "ATTRIBUTION.md").read_text()


def test_no_digit_of_the_sample_is_in_both_splits() -> None:
    data = load("sample")
    train, test = ({image.tobytes() for image in split.images} for split in (data.train, data.test))
    assert len(train) == 4000
    assert len(test) == 1000
    assert not train & test


def test_the_recipe_splits_by_class_in_stored_order() -> None:
    spec = importlib.util.spec_from_file_location("make_sample", Path(__file__).with_name("make_sample.py"))
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    labels = np.repeat(np.arange(10), 500)
    rows = recipe.split_rows(labels)
    expected = np.arange(5000).reshape(10, 500)
    assert sorted(rows["train"].tolist()) == expected[:, :400].ravel().tolist()
    assert sorted(rows["t10k"].tolist()) == expected[:, 400:].ravel().tolist()


@needs_mnist
def test_the_sample_is_real_digits_of_mnists_training_set() -> None:
    data, mnist = load("sample"), load("mnist", data_dir=MNIST)
    label_of = {
        image.tobytes(): label for image, label in zip(mnist.train.images, mnist.train.labels, strict=True)
    }
    for split in (data.train, data.test):
        found = [label_of[image.tobytes()] for image in split.images]
        np.testing.assert_array_equal(found, split.labels)


# The real MNIST


@needs_mnist
def test_the_real_mnist_is_known() -> None:
    data = load("mnist", data_dir=MNIST)
    assert data.train.images.shape == (60_000, 28, 28, 1)
    assert data.test.images.shape == (10_000, 28, 28, 1)
    assert data.sha256 == hashlib.sha256("".join(PAYLOAD_SHA256["mnist"].values()).encode()).hexdigest()
    assert not data.is_sample
    assert data.notice is None
    facts: Any = info(data)
    assert facts["splits"]["test"]["labels"]["1"] == 1135
    assert {status for _, status, _ in verify(MNIST)} == {"ok"}


# Folders


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_a_named_folder_is_read(
    small: Path, monkeypatch: pytest.MonkeyPatch, name: str, packed: bool
) -> None:
    make(small / "other", 0, packed=packed)
    data = load(name, data_dir=small / "other")
    assert data.name == "mnist"
    assert data.train.images.shape == (30, 28, 28, 1)
    assert len(data.test) == 10
    assert data.test.labels.tolist() == list(range(10))
    assert str(small / "other") in data.source
    assert not data.is_sample
    monkeypatch.setenv("TINYNET_DATA", str(small / "other"))
    assert load(name).sha256 == data.sha256


def test_the_argument_goes_before_the_environment_and_that_before_the_cache(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(small / "cache" / "mnist", 0)
    assert str(small / "cache") in load("auto").source
    monkeypatch.setenv("TINYNET_DATA", str(small / "m"))
    assert str(small / "m") in load("auto").source
    monkeypatch.setenv("TINYNET_DATA", str(small / "absent"))
    assert str(small / "m") in load("auto", data_dir=str(small / "m")).source


def test_a_subfolder_called_after_the_data_set_is_found(small: Path) -> None:
    make(small / "m" / "fashion-mnist", 1)
    data = load("fashion-mnist", data_dir=small / "m")
    assert data.classes[9] == "Ankle boot"
    assert str(small / "m" / "fashion-mnist") in data.source
    assert load("mnist", data_dir=small / "m").name == "mnist"


def test_the_systems_folder_is_found(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SYSTEM_FOLDERS["fashion-mnist"] == Path("/usr/share/datasets/fashion-mnist")
    monkeypatch.setattr("tinynet.data.datasets.SYSTEM_FOLDERS", {"fashion-mnist": small / "f"})
    assert locate("fashion-mnist") == small / "f"
    assert load("fashion-mnist").sha256 == load("fashion-mnist", data_dir=small / "f").sha256


@pytest.mark.parametrize("name", ["mnist", "auto"])
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_named_folder_without_the_files_is_an_error(
    small: Path, monkeypatch: pytest.MonkeyPatch, name: str, by: str
) -> None:
    (small / "m" / "t10k-labels-idx1-ubyte.gz").unlink()
    if by == "environment":
        monkeypatch.setenv("TINYNET_DATA", str(small / "m"))
    with pytest.raises(DataError, match=r"missing: t10k-labels-idx1-ubyte\n"):
        load(name, data_dir=small / "m" if by == "argument" else None)


def test_a_folder_of_another_data_set_is_an_error_that_knows_it(small: Path) -> None:
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz is not the file of mnist") as error:
        load("mnist", data_dir=small / "f")
    assert "(a file of fashion-mnist)" in str(error.value)


def test_a_damaged_file_in_a_named_folder_is_an_error(small: Path) -> None:
    path = small / "m" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match="damaged gzip"):
        load("auto", data_dir=small / "m")


@pytest.mark.parametrize(
    ("stem", "array", "message"),
    [
        ("t10k_labels_idx1_ubyte", np.arange(9, dtype=np.uint8), "labels do not fit"),
        ("t10k_labels_idx1_ubyte", np.arange(1, 11, dtype=np.uint8), "up to 10"),
        ("t10k_labels_idx1_ubyte", np.arange(10, dtype=np.int16), "int16"),
        ("train_images_idx3_ubyte", np.zeros((0, 28, 28), np.uint8), "another kind"),
        ("train_images_idx3_ubyte", np.zeros((30, 784), np.uint8), "another kind"),
        ("train_images_idx3_ubyte", np.zeros((30, 28, 28), np.float32), "another kind"),
    ],
)
def test_files_that_do_not_fit_together(tmp_path: Path, stem: str, array: Array, message: str) -> None:
    changed: dict[str, Any] = {stem: array}
    make(tmp_path / "bad", 0, **changed)
    with pytest.raises(DataError, match=message):
        load("mnist", data_dir=tmp_path / "bad")


# Without a network


def test_without_a_network_auto_gives_the_sample_and_says_so() -> None:
    data = load("auto")
    assert data.is_sample
    assert "no mirror gave train-images-idx3-ubyte.gz" in str(data.notice)
    assert "no connection" in str(data.notice)
    assert "tinynet data fetch" in str(data.notice)
    assert "TINYNET_DATA" in str(data.notice)
    assert "\n" not in str(data.notice)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_without_a_network_a_name_is_an_error(name: str) -> None:
    with pytest.raises(DataError, match="no mirror gave"):
        load(name)


def test_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "file"))
    assert "cannot be made" in str(load("auto").notice)
    with pytest.raises(DataError, match="cannot be made"):
        load("mnist")


def test_a_damaged_cache_is_not_used(small: Path) -> None:
    make(small / "cache" / "mnist", 0)
    (small / "cache" / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"broken")
    assert load("auto").is_sample
    with pytest.raises(DataError, match=r"no mirror gave t10k-labels-idx1-ubyte.gz"):
        load("mnist")


# Kaggle


def digits(count: int) -> tuple[Array, Array]:
    return np.random.default_rng(count).integers(0, 256, (count, 28, 28, 1), np.uint8), np.arange(count) % 10


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("by_folder", [True, False])
def test_kaggles_last_fifth_is_the_test_split(tmp_path: Path, suffix: str, by_folder: bool) -> None:
    images, labels = digits(12)
    path = tmp_path / f"train.csv{suffix}"
    write_csv(path, images, labels)
    write_csv(tmp_path / "test.csv", images)
    data = load(str(tmp_path if by_folder else path))
    assert data.name == "kaggle"
    np.testing.assert_array_equal(data.train.images, images[:10])
    np.testing.assert_array_equal(data.test.images, images[10:])
    np.testing.assert_array_equal(data.test.labels, labels[10:])
    assert str(path) in data.source


def test_a_labelled_test_csv_is_the_test_split(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", *digits(7))
    write_csv(tmp_path / "test.csv", *digits(3))
    data = load(str(tmp_path))
    assert len(data.train) == 7
    assert len(data.test) == 3


def test_kaggle_files_that_will_not_do(tmp_path: Path) -> None:
    images, labels = digits(4)
    write_csv(tmp_path / "train.csv", images, labels)
    with pytest.raises(DataError, match="too short"):
        load(str(tmp_path))
    write_csv(tmp_path / "test.csv", images)
    with pytest.raises(DataError, match="has no labels"):
        load(str(tmp_path / "test.csv"))


@pytest.mark.parametrize("name", ["cifar", "absent/train.csv", "MNIST", ""])
def test_an_unknown_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="there is no data set"):
        load(name)


def test_a_name_that_is_almost_one() -> None:
    with pytest.raises(DataError, match="fix: did you mean 'sample'\\?"):
        load("smaple")


# fetch, verify, info


def test_fetch_leaves_what_is_there(small: Path) -> None:
    assert fetch("mnist", small / "m") == small / "m"
    with pytest.raises(DataError, match="is not the file of mnist"):
        fetch("mnist", small / "f")
    with pytest.raises(DataError, match="cannot be fetched"):
        fetch("sample")


def test_verify_tells_of_each_file(small: Path) -> None:
    folder = small / "m"
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"x")[:-2])
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"x")
    report = verify(folder, "mnist")
    assert [(file, status) for file, status, _ in report] == [
        ("train-images-idx3-ubyte", "ok"),
        ("train-labels-idx1-ubyte", "missing"),
        ("t10k-images-idx3-ubyte", "wrong"),
        ("t10k-labels-idx1-ubyte", "wrong"),
    ]
    assert "damaged gzip" in report[2][2]
    assert hashlib.sha256(b"x").hexdigest() in report[3][2]
    assert "a file of fashion-mnist" in verify(small / "f", "mnist")[0][2]
    with pytest.raises(DataError, match="cannot be fetched or verified"):
        verify(folder, "sample")


def test_info_counts_the_labels() -> None:
    facts: Any = info(load("sample"))
    assert facts["name"] == "sample"
    assert facts["is_sample"]
    assert facts["splits"]["test"] == {
        "shape": (1000, 28, 28, 1),
        "labels": {str(digit): 100 for digit in range(10)},
    }


def test_importing_the_room_stays_light() -> None:
    heavy = "pooch requests platformdirs numba matplotlib"
    code = f"import sys, tinynet.data; print([m for m in {heavy.split()} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Several


def test_data_sets_are_joined(tmp_path: Path) -> None:
    for name, first in (("a", 0), ("b", 10)):
        images, labels = digits(20)
        write_csv(tmp_path / f"{name}.csv", images[first : first + 10], labels[first : first + 10])
    names = [str(tmp_path / f"{name}.csv") for name in "ab"]
    one, other, both = load(names[0]), load(names[1]), load(" + ".join(names))
    assert both.name == "kaggle + kaggle"
    assert (len(both.train), len(both.test)) == (16, 4)
    np.testing.assert_array_equal(both.test.images, np.concatenate([one.test.images, other.test.images]))
    pairs = zip(both.train.images, both.train.labels, strict=True)
    there = {image.tobytes(): label for image, label in pairs}
    for split in (one.train, other.train):
        assert [there[image.tobytes()] for image in split.images] == split.labels.tolist()
    assert both.sha256 not in (one.sha256, other.sha256, load(" + ".join(names[::-1])).sha256)
    assert one.source in both.source
    assert other.source in both.source
    assert (both.parts or "").count("the test part") == 2
    assert len(load(" + ".join(["sample", names[0]]), choices=Choices(test=0)).test) == 1000


def test_what_cannot_be_joined(tmp_path: Path) -> None:
    arrays = {"x": np.zeros((4, 28, 28), np.uint8), "y": np.arange(4) % 2}
    np.savez(tmp_path / "two.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"two cannot be joined with sample: its classes are others"):
        load(f"sample + {tmp_path / 'two.npz'}")
    np.savez(tmp_path / "small.npz", x=np.zeros((20, 8, 8), np.uint8), y=np.arange(20) % 10)
    with pytest.raises(DataError, match=r"small cannot be joined(.|\n)*another shape(.|\n)*\(8, 8, 1\)"):
        load(f"sample + {tmp_path / 'small.npz'}")
    for names in ("sample + sample", "sample + auto"):
        with pytest.raises(DataError, match="named once each"):
            load(names)
    with pytest.raises(DataError, match="there is no data set 'nothing'"):
        load("sample + nothing")
    with pytest.raises(DataError, match="there is no data set 'nothing-0'"):
        load(" + ".join(f"nothing-{n}" for n in range(1000)))


def test_a_path_may_have_a_plus_in_it(tmp_path: Path) -> None:
    write_csv(tmp_path / "mine + yours.csv", *digits(10))
    assert load(str(tmp_path / "mine + yours.csv")).name == "kaggle"
