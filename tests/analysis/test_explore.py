"""The first look at a data set: each figure recomputed here by other means."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from tinynet import plots
from tinynet.analysis import explore
from tinynet.data import load
from tinynet.data.datasets import Dataset, Split
from tinynet.errors import DataError
from tinynet.types import Array

_rng = np.random.default_rng(5)
TRAIN = Split(_rng.integers(0, 256, (30, 4, 5, 1), dtype=np.uint8), np.arange(30) % 3)
TRAIN.images[:, 0, 0] = 7  # a pixel that never changes
TRAIN.images[4] = TRAIN.images[9]
TEST = Split(TRAIN.images[3:6].copy(), np.zeros(3, np.int64))
TEST.images[0] = 0
SMALL = Dataset("small", TRAIN, TEST, ("a", "b", "c|d", "never"), "made here", "00ff")


def test_the_facts_of_a_split() -> None:
    train, test = explore.describe(TRAIN), explore.describe(TEST)
    assert (train["images"], train["shape"], train["dtype"], train["bytes"]) == (30, (4, 5, 1), "uint8", 600)
    assert (train["missing"], train["blank"], train["duplicates"]) == (0, 0, 1)
    assert (test["blank"], test["duplicates"]) == (1, 0)
    assert train["constant_pixels"] == 1
    assert train["pixel_mean"] == pytest.approx(TRAIN.images.mean())
    assert train["pixel_deviation"] == pytest.approx(TRAIN.images.std())
    assert train["histogram"][7] == (TRAIN.images == 7).sum() >= 30
    assert explore.explore(SMALL).figures["test_images_in_train"] == 2


IMAGES = hnp.arrays(np.uint8, st.tuples(st.integers(2, 12), st.integers(1, 4), st.integers(1, 4), st.just(1)))


@given(IMAGES)
@settings(max_examples=80, deadline=None)
def test_covariance_and_components_agree_with_numpy(images: Array) -> None:
    rows = images.reshape(len(images), -1).astype(float)
    if (rows == rows[0]).all():
        with pytest.raises(DataError, match="do not differ"):
            explore.covariance(images)
        return
    found = explore.covariance(images)
    np.testing.assert_allclose(found, np.atleast_2d(np.cov(rows.T)), atol=1e-9)
    singular = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    shares = explore.explained_variance(found)
    expected = np.zeros(len(shares))
    expected[: len(singular)] = singular**2 / (singular**2).sum()
    np.testing.assert_allclose(shares, expected, atol=1e-10)
    varies = rows.std(axis=0) > 0
    correlation = explore.correlation(found)
    assert (np.isnan(correlation) == ~np.outer(varies, varies)).all()
    inner = correlation[np.ix_(varies, varies)]
    np.testing.assert_allclose(inner, np.atleast_2d(np.corrcoef(rows[:, varies].T)), atol=1e-9)


def test_covariance_is_summed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = explore.covariance(TRAIN.images)
    monkeypatch.setattr(explore, "ROWS", 7)
    np.testing.assert_array_equal(explore.covariance(TRAIN.images), whole)


def test_components_agree_with_scikit_learn() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition", reason="scikit-learn is in the extra 'test'")
    images = load("sample").test.images[::5]
    pca = decomposition.PCA(n_components=0.95, svd_solver="full").fit(images.reshape(len(images), -1))
    shares = explore.explained_variance(explore.covariance(images))
    assert explore.components_for(shares, 0.95) == pca.n_components_
    np.testing.assert_allclose(shares[: pca.n_components_], pca.explained_variance_ratio_, atol=1e-9)


def test_the_elbow_is_farthest_above_the_chord() -> None:
    assert explore.elbow(np.array([0.6, 0.3, 0.05, 0.03, 0.02])) == 2
    assert explore.elbow(np.full(4, 0.25)) == 1  # a straight line bends nowhere: the first
    assert explore.components_for(np.array([0.5, 0.25, 0.25]), 0.75) == 2
    assert explore.components_for(np.array([0.7, 0.2, 0.1]), 1.0) == 3


def test_class_means() -> None:
    means = explore.class_means(TRAIN, 4)
    np.testing.assert_allclose(means[1], TRAIN.images[1::3].mean(axis=0))
    assert np.isnan(means[3]).all()


def test_the_folder_has_the_page_the_figures_and_the_pictures_it_links(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "look"
    written = explore.write_exploration(folder, explore.explore(SMALL))
    text = (folder / "exploration.md").read_text(encoding="utf-8")
    assert json.loads((folder / "exploration.json").read_text(), parse_constant=pytest.fail) == written
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert len(pictures) == 6
    assert sorted(os.listdir(folder)) == sorted([*pictures, "exploration.json", "exploration.md"])
    for name in pictures:
        with Image.open(folder / name) as image:
            image.verify()
    assert "| c\\|d | 10 | 0 |" in text
    assert "| repeated images | 1 | 0 |" in text
    assert "2 test images are in the training set, too." in text
    assert "Most frequent: " in text
    even = replace(SMALL, train=Split(TRAIN.images[:6], np.arange(6) % 3), classes=("a", "b", "c"))
    assert "All classes are equally frequent: 33.33 % of the training images each." in explore.conclusions(
        explore.explore(replace(even, test=even.train)).figures
    )


def test_the_seed_chooses_the_samples() -> None:
    first, again, other = (explore.samples(TRAIN, 4, seed) for seed in (0, 0, 1))
    assert TRAIN.labels[first].tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert len(set(first.tolist())) == 24
    assert first.tolist() == again.tolist() != other.tolist()


def test_the_correlation_of_neighbours_is_in_the_title(tmp_path: Path) -> None:
    ramp = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.array([1, 2, 3], np.uint8)[:, None]
    for images, title in ((ramp, "1.00 on average"), (ramp[:, :, :1], "Correlation of pixels -->")):
        matrix = explore.correlation(explore.covariance(images))
        plots.correlation(matrix, images.shape[1:3], tmp_path / "plot.svg")
        assert title in (tmp_path / "plot.svg").read_text(encoding="utf-8")


def test_images_that_do_not_differ() -> None:
    same = Split(np.full((3, 2, 2, 1), 9, np.uint8), np.zeros(3, np.int64))
    with pytest.raises(DataError, match="do not differ"):
        explore.explore(replace(SMALL, train=same))
