"""Pictures by class: what is read, in what order, how they are divided, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinynet.data import class_folders, load
from tinynet.data.class_folders import pictures_below
from tinynet.data.datasets import Choices
from tinynet.data.pictures.whole import is_coloured, read_whole
from tinynet.errors import DataError

RED, GREY = (200, 30, 30), (90, 90, 90)


def save(path: Path, colour: tuple[int, int, int] = RED, size: tuple[int, int] = (12, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten cats, each of another shade, and five dogs."""
    for n in range(10):
        save(tmp_path / "pets" / "cat" / f"{n}.png", (100 + n, 30, 30))
    for n in range(5):
        save(tmp_path / "pets" / "dog" / f"{n}.JPG", (30, 30, 100 + n))
    (tmp_path / "pets" / ".hidden").mkdir()
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "pets" / "cat" / ".DS_Store").write_text("no picture")
    return tmp_path / "pets"


def test_a_share_of_each_class_tests_and_it_is_the_same_every_time(folder: Path) -> None:
    data, again = load(str(folder)), load(str(folder))
    assert (data.name, data.classes, data.whole) == ("pets", ("cat", "dog"), True)
    assert data.train.images.shape == (12, 28, 28, 3)
    assert np.bincount(data.test.labels).tolist() == [2, 1]
    assert np.bincount(data.train.labels).tolist() == [8, 4]
    assert np.array_equal(data.train.images, again.train.images)
    assert data.sha256 == again.sha256
    assert data.parts == (
        f"Pictures in {folder}, in colour, scaled to 28 × 28: 12 to train with, 3 to test with "
        "(a share of each class, the same every time)."
    )
    assert len({*data.train.labels[-4:].tolist()}) == 2  # what validation holds out has both


def test_labels_belong_to_their_pictures(folder: Path) -> None:
    for split in (load(str(folder)).train, load(str(folder)).test):
        reddish = split.images[:, 14, 14, 0] > split.images[:, 14, 14, 2]
        assert np.array_equal(reddish, split.labels == 0)


def test_names_that_a_terminal_would_obey(folder: Path) -> None:
    for n, name in enumerate(("a\tb", "zero\u200bwidth", "\x1b[31mred", "\u202eleft")):
        save(folder / name / "0.png", (0, 0, 10 * n))
    data = load(str(folder))
    assert data.classes == ("\\x1b[31mred", "a\\tb", "cat", "dog", "zero\\u200bwidth", "\\u202eleft")
    assert np.bincount(np.concatenate([data.train.labels, data.test.labels])).tolist() == [1, 1, 10, 5, 1, 1]


def test_pictures_in_deeper_folders_are_counted(folder: Path) -> None:
    save(folder / "cat" / "kittens" / "young" / "0.png")
    said = load(str(folder)).parts
    assert said is not None
    assert said.endswith("; 1 in folders within those of the classes left out.")


def test_the_share_can_be_chosen_and_none_is_one(folder: Path) -> None:
    half = load(str(folder), choices=Choices(test=0.5))
    assert (len(half.train), len(half.test)) == (8, 7)
    every = load(str(folder), choices=Choices(test=0))
    assert (len(every.train), len(every.test)) == (15, 0)
    assert every.parts is not None
    assert "none to test with" in every.parts


def test_a_test_part_of_its_own(folder: Path, tmp_path: Path) -> None:
    for part, count in (("train", 3), ("test", 2)):
        for name in ("cat", "dog"):
            for n in range(count):
                save(tmp_path / "parts" / part / name / f"{n}.png")
    data = load(str(tmp_path / "parts"))
    assert (len(data.train), len(data.test)) == (6, 4)
    with pytest.raises(DataError, match=r"a test part of its own(.|\n)*--test 0.3"):
        load(str(tmp_path / "parts"), choices=Choices(test=0.3))
    save(tmp_path / "parts" / "test" / "bird" / "1.png")
    with pytest.raises(
        DataError, match=r"in its test part that its training part lacks: bird(.|\n)*cat, dog"
    ):
        load(str(tmp_path / "parts"))


def test_grey_where_all_are_and_where_it_is_asked_for(tmp_path: Path, folder: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / "grey" / name / "1.png", GREY)
        Image.new("L", (5, 5), 7).save(tmp_path / "grey" / name / "2.png")
    grey = load(str(tmp_path / "grey"), choices=Choices((16, 20)))
    assert grey.train.images.shape[1:] == (16, 20, 1)
    assert load(str(folder), choices=Choices((16, 16, 1))).train.images.shape[1:] == (16, 16, 1)


def test_the_classes_of_a_net_keep_their_numbers(folder: Path) -> None:
    data = load(str(folder), choices=Choices(classes=("bird", "dog", "cat")))
    assert data.classes == ("bird", "dog", "cat")
    assert np.bincount(data.train.labels).tolist() == [0, 4, 8]


def test_other_pixels_and_other_names_have_another_hash(folder: Path) -> None:
    before = load(str(folder)).sha256
    save(folder / "cat" / "0.png", (1, 2, 3))
    changed = load(str(folder)).sha256
    (folder / "cat").rename(folder / "lion")
    assert len({before, changed, load(str(folder)).sha256}) == 3


def test_broken_pictures_are_named_and_left_out_if_asked(folder: Path) -> None:
    for name in ("7.png", "x.png", "y.png", "z.heic"):
        (folder / "cat" / name).write_bytes(b"no picture")
    with pytest.raises(
        DataError, match=r"4 of the pictures in .*\n(.|\n)*7.png is not(.|\n)*, and 1 more"
    ) as caught:
        load(str(folder))
    assert "--skip-broken" in str(caught.value)
    data = load(str(folder), choices=Choices(skip_broken=True))
    assert len(data.train) + len(data.test) == 14
    assert data.parts is not None
    assert "4 broken ones are left out" in data.parts


def test_what_holds_no_classes(tmp_path: Path, folder: Path) -> None:
    (folder / "bird").mkdir()
    with pytest.raises(
        DataError, match=r"bird has no pictures(.|\n)*bird: 0(.|\n)*take the empty folder away"
    ):
        load(str(folder))
    save(tmp_path / "one" / "cat" / "1.png")
    with pytest.raises(DataError, match="one class only, cat"):
        load(str(tmp_path / "one"))
    for name in ("a", "b"):
        save(tmp_path / "few" / name / "1.png")
    with pytest.raises(DataError, match=r"too few images for a test part(.|\n)*--test 0"):
        load(str(tmp_path / "few"))
    with pytest.raises(DataError, match="has no pictures"):
        pictures_below(folder / "bird")


def test_progress_ends_at_the_whole(folder: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    class_folders.read(folder, on_progress=lambda *each: seen.append(each))
    assert len(seen) == 15
    assert seen[-1][1] == seen[-1][2]
    assert seen[0][0] == f"reading {folder}"


def test_a_picture_is_scaled_as_a_whole(tmp_path: Path) -> None:
    """Each pixel is the mean of what it covers; beside it is black; its own size comes out as it is."""
    colours = np.random.default_rng(1).integers(0, 256, (8, 4, 3), np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    found = read_whole(tmp_path / "a.png", (4, 4, 3))
    assert found.fitted == "scaled from 8 x 4 to 4 x 2 (height x width)"
    means = colours.reshape(4, 2, 2, 2, 3).mean(axis=(1, 3))
    assert np.abs(found.image[:, 1:3] - means).max() <= 1  # rows and columns are rounded one after the other
    assert found.image[:, [0, 3]].max() == 0
    same = read_whole(tmp_path / "a.png", (8, 4, 3))
    assert np.array_equal(same.image, colours)
    assert same.fitted == "used as it is"
    assert is_coloured(same.image)
    grey = np.repeat(colours[..., :1], 3, axis=2)
    Image.fromarray(grey).save(tmp_path / "g.png")
    assert np.array_equal(read_whole(tmp_path / "g.png", (8, 4, 1)).image, grey[..., :1])
    assert not is_coloured(grey)


def test_a_folder_without_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no folder for each class(.|\n)*received: no pictures and no"):
        load(str(tmp_path))
    (tmp_path / "cat-1.png").write_bytes(b"")
    (tmp_path / "dog-1.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"received: 2 pictures that lie in no(.|\n)*fix: sort the pictures"):
        load(str(tmp_path))
