"""Pictures of one's own: a folder with a folder for each class, called after it.

    flowers/daisy/*.jpg          or   flowers/train/daisy/*.jpg
    flowers/tulip/*.jpg               flowers/test/daisy/*.jpg   …

Without `train` and `test`, a share of each class's pictures becomes the test part: the same ones every time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from tinynet.data.parts import held_out, shuffled
from tinynet.data.pictures.whole import is_coloured, read_whole
from tinynet.errors import DataError
from tinynet.printable import counted, printable
from tinynet.types import Array, Shape

SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".webp",
    ".heic",
    ".heif",
    ".avif",
)
"""Of the files that are taken for pictures; others are left alone. The last three cannot be read: they are
named, so that nobody wonders where they went."""
PARTS = ("train", "test")
MAX_NAMED = 3
"""So many broken pictures are named in one message."""

Progress: TypeAlias = Callable[[str, int, int | None], None]
Files: TypeAlias = dict[str, list[Path]]
"""The pictures of each class, in the order of their names."""


def are_in(folder: Path) -> bool:
    """Whether a folder holds folders, and so may hold pictures by class."""
    return folder.is_dir() and any(_folders(folder))


def no_folders(folder: Path) -> DataError:
    """What to raise of a folder without folders that should hold pictures by class."""
    pictures = sum(is_picture(path) for path in folder.iterdir())
    return DataError(
        f"{folder} has no folder for each class",
        expected="a folder of pictures for each class, called after it, or Kaggle's train.csv",
        received=f"{pictures:,} pictures that lie in no folder" if pictures else "no pictures and no folders",
        fix=f"sort the pictures into folders: {folder / 'cat'}, {folder / 'dog'} …",
    )


class Part(NamedTuple):
    """Images (N, H, W, C) uint8, their labels (N,) int64, and their files (N,) str, seen from the folder."""

    images: Array
    labels: Array
    files: Array


class Pictures(NamedTuple):
    """What a folder holds."""

    train: Part
    test: Part
    classes: tuple[str, ...]
    said: str
    """What they are and how they were divided, in words."""
    sha256: str
    """Over names, images and labels: equal pictures give an equal hash, wherever they lie."""


def read(
    folder: Path,
    shape: Shape | None = None,
    *,
    classes: Sequence[str] | None = None,
    test: float | None = None,
    skip_broken: bool = False,
    on_progress: Progress | None = None,
) -> Pictures:
    """The pictures of a folder.

    shape    (H, W, C): each picture is scaled to fit, see `read_whole`. Without C, it is 3 if any of the
             pictures is coloured, else 1; H and W are 28 by default
    classes  the names whose numbers the labels are; the folders' names in alphabetical order by default
    test     the share of each class that becomes the test part, where the folder has no `test`

    Raises DataError for a folder without classes or with one alone, a class without pictures, and for broken
    pictures unless `skip_broken`: the first of them are named.
    """
    parts = _parts(folder)
    if "test" in parts and test is not None:
        raise DataError(
            f"{folder} has a test part of its own",
            expected="no --test",
            received=f"--test {test:g}",
            fix="leave --test out, or name the folder `train` in it",
        )
    names = _class_names(folder, parts, classes)
    size = sum(path.stat().st_size for files in parts.values() for paths in files.values() for path in paths)
    done, broken = 0, list[DataError]()
    height, width, *channels = shape or (28, 28)
    found: dict[str, tuple[list[Array], list[int], list[str]]] = {}
    for part, files in parts.items():
        images, labels, seen = found.setdefault(part, ([], [], []))
        for name, paths in files.items():
            for path in paths:
                try:
                    images.append(read_whole(path, (height, width, *(channels or [3]))).image)
                    labels.append(names.index(name))
                    seen.append(printable(path.relative_to(folder).as_posix()))
                except DataError as error:
                    broken.append(error)
                done += path.stat().st_size
                if on_progress:
                    on_progress(f"reading {folder}", done, size)
    _check_broken(folder, broken, skip_broken)
    parted = {
        part: Part(np.array(images), np.array(labels, np.int64), np.array(seen, np.str_))
        for part, (images, labels, seen) in found.items()
    }
    if not channels and not any(is_coloured(image) for each in parted.values() for image in each.images):
        parted = {
            part: each._replace(images=np.ascontiguousarray(each.images[..., :1]))
            for part, each in parted.items()
        }
    cut = {part: Part(*shuffled(*each)) for part, each in parted.items()}
    if "test" not in cut:
        tests = held_out(folder, cut["train"].labels, test)
        cut = {
            part: Part(*(column[rows] for column in cut["train"]))
            for part, rows in (("train", ~tests), ("test", tests))
        }
    said = _sentence(folder, cut, len(broken), "test" in parts) + _deeper(parts)
    return Pictures(cut["train"], cut["test"], names, said, _hash(names, cut))


def _folders(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith((".", "__")):
            yield path


def _parts(folder: Path) -> dict[str, Files]:
    """The pictures by part and class: of `train` and `test` if there are both, else all as `train`."""
    there = [part for part in PARTS if (folder / part).is_dir()]
    if there == [*PARTS]:
        return {part: _files(folder / part) for part in PARTS}
    return {"train": _files(folder)}


def _files(folder: Path) -> Files:
    files: Files = {}
    for each in _folders(folder):  # two may have names that look alike
        there = [path for path in sorted(each.iterdir()) if is_picture(path)]
        files.setdefault(printable(each.name), []).extend(there)
    empty = [name for name, paths in files.items() if not paths]
    if empty or len(files) < 2:
        raise DataError(
            f"{folder / empty[0] if empty else folder} has no pictures"
            if empty or not files
            else f"{folder} has one class only, {next(iter(files))}",
            expected=f"a folder for each of two classes or more, with {', '.join(SUFFIXES[:8])} files in it",
            received=", ".join(f"{name}: {len(paths):,}" for name, paths in files.items()) or "no folders",
            fix="take the empty folder away, or put its pictures there" if empty else "add the other classes",
        )
    return files


def pictures_below(folder: Path) -> list[Path]:
    """The pictures in a folder and in its folders, in the order of their paths. DataError for none."""
    found = sorted(path for path in folder.rglob("*") if is_picture(path) and path.is_file())
    if not found:
        raise DataError(f"{folder} has no pictures", expected=f"files such as {', '.join(SUFFIXES[:8])}")
    return found


def is_picture(path: Path) -> bool:
    """Whether a file is called like a picture."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _class_names(folder: Path, parts: Mapping[str, Files], classes: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes. Raises DataError for a folder that is none of them."""
    known = tuple(map(printable, classes or parts["train"]))
    for part, files in parts.items():
        if strange := [name for name in files if name not in known]:
            if classes:
                raise DataError(
                    f"the net does not know a class of {folder}: {strange[0]}",
                    expected=f"folders called after the net's classes: {', '.join(known)}",
                    received=", ".join(files),
                    fix="rename the folder, or take it away; to teach a net these classes: tinynet train",
                )
            raise DataError(
                f"{folder} has a class in its {part} part that its training part lacks: {strange[0]}",
                expected=", ".join(known),
                received=", ".join(files),
                fix="give the folder the name of a class, or take it away",
            )
    return known


def _check_broken(folder: Path, broken: Sequence[DataError], skip: bool) -> None:
    if broken and not skip:
        more = f", and {len(broken) - MAX_NAMED:,} more" if len(broken) > MAX_NAMED else ""
        raise DataError(
            f"{len(broken):,} of the pictures in {folder} cannot be read",
            expected="whole pictures",
            received="; ".join(str(error).splitlines()[0] for error in broken[:MAX_NAMED]) + more,
            fix="repair or delete them, or leave them out with --skip-broken",
        )


def _sentence(folder: Path, cut: Mapping[str, Part], broken: int, own_test: bool) -> str:
    train, test = (part.images for part in cut.values())
    kind = "grey" if train.shape[-1] == 1 else "in colour"
    how = (
        "as its folders `train` and `test` say" if own_test else "a share of each class, the same every time"
    )
    tested = f"{len(test):,} to test with ({how})" if len(test) else "none to test with"
    left = f"; {counted(broken, 'broken one')} {'is' if broken == 1 else 'are'} left out" if broken else ""
    return (
        f"pictures in {folder}, {kind}, scaled to {train.shape[1]} × {train.shape[2]}:"
        f" {len(train):,} to train with, {tested}{left}"
    )


def _deeper(parts: Mapping[str, Files]) -> str:
    """Words on pictures in folders within those of the classes; none where there are none."""
    folders = {path.parent for files in parts.values() for paths in files.values() for path in paths}
    count = sum(is_picture(path) for folder in folders for path in folder.glob("*/**/*"))
    return f"; {count:,} in folders within those of the classes left out" if count else ""


def _hash(names: Sequence[str], cut: Mapping[str, Part]) -> str:
    digest = hashlib.sha256("\0".join(names).encode(errors="surrogateescape"))
    for part in cut.values():
        digest.update(str(part.images.shape).encode() + part.images.tobytes() + part.labels.tobytes())
    return digest.hexdigest()
