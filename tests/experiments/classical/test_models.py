"""The classical models: seeded, fitted on the training rows alone, their figures computed again."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fitted import Fitted
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from tinynet.data import Split
from tinynet.data.datasets import Dataset
from tinynet.errors import DataError
from tinynet.experiments import classical
from tinynet.experiments.classical import models
from tinynet.experiments.classical.models import ClusterClassifier
from tinynet.experiments.classical.rows import Rows
from tinynet.types import Array

CLUSTERED = ("k-means", "mini-batch k-means")
EXACT = ("logistic regression", "k-nearest neighbours", "SVM")
"""Nothing in them is random."""


def with_labels(rows: Rows, **changed: Array) -> Rows:
    """The same rows under other labels."""
    parts: dict[str, Any] = {
        name: Split(getattr(rows, name).images, labels) for name, labels in changed.items()
    }
    return dataclasses.replace(rows, **parts)


def predictions(rows: Rows) -> dict[str, Any]:
    return {result.name: (result.predicted, result.test_predicted) for result in classical.compare(rows)}


def test_they_learn(fitted: Fitted, rows: Rows) -> None:
    accuracy = {name: np.mean(r.predicted == rows.validation.labels) for name, r in fitted.results.items()}
    assert list(accuracy) == ["random forest", "PCA, random forest", *CLUSTERED, "decision tree", *EXACT]
    assert min(accuracy.values()) > 0.3
    assert min(accuracy[name] for name in EXACT) > 0.75
    assert accuracy["random forest"] > 0.75
    assert all(result.trained_on == 400 for result in fitted.results.values())


def test_the_same_seed_gives_the_same_predictions_and_another_seed_others(fitted: Fitted, rows: Rows) -> None:
    again = {result.name: result for result in classical.compare(rows, threads=2)}
    other = {result.name: result for result in classical.compare(rows, seed=1)}
    for name, result in fitted.results.items():
        np.testing.assert_array_equal(again[name].predicted, result.predicted)
        if name in EXACT:
            assert (other[name].predicted == result.predicted).all()
        else:
            assert (other[name].predicted != result.predicted).any()


def test_everything_random_takes_the_seed(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it makes no difference with this release of scikit-learn, as for a whole PCA.

    A reference system left its PCA without a seed.
    """
    made = []

    def spy(kind: type) -> Callable[..., Any]:
        def make(*arguments: Any, **settings: Any) -> Any:
            made.append((kind.__name__, settings.get("random_state")))
            return kind(*arguments, **settings)

        return make

    for place in (
        "cluster.KMeans",
        "cluster.MiniBatchKMeans",
        "decomposition.PCA",
        "ensemble.RandomForestClassifier",
        "model_selection.train_test_split",
        "tree.DecisionTreeClassifier",
    ):
        module, name = place.split(".")
        found = getattr(importlib.import_module(f"sklearn.{module}"), name)
        monkeypatch.setattr(f"sklearn.{place}", spy(found))
    rows = classical.from_dataset(small, seed=7)
    next(classical.compare(rows, seed=7))
    classical.principal_components(rows, seed=7)
    assert len({name for name, _ in made}) == 6
    assert {seed for _, seed in made} == {7}, made


def test_labels_of_the_validation_rows_and_the_test_table_change_nothing(fitted: Fitted, rows: Rows) -> None:
    """A reference system named its clusters by the validation labels."""
    shuffled = with_labels(rows, validation=rows.validation.labels[::-1].copy())
    shuffled = dataclasses.replace(shuffled, test_labels=None)
    for name, (predicted, test_predicted) in predictions(shuffled).items():
        np.testing.assert_array_equal(predicted, fitted.results[name].predicted)
        np.testing.assert_array_equal(test_predicted, fitted.results[name].test_predicted)


def test_clusters_are_named_by_the_training_labels(fitted: Fitted, rows: Rows) -> None:
    """Renamed training digits rename the clusters, and so the predictions, in the same way."""
    renamed = np.array([5, 8, 1, 9, 0, 2, 3, 4, 7, 6])
    other = predictions(with_labels(rows, train=renamed[rows.train.labels]))
    x = rows.validation.images.reshape(100, -1).astype(np.float32)
    for name in CLUSTERED:
        found = fitted.results[name]
        assert found.clusters is not None
        counts = np.sort(found.clusters.counts, axis=1)
        undisputed = (counts[:, -1] > counts[:, -2])[found.clusters.clustering.predict(x)]
        assert undisputed.mean() > 0.5
        np.testing.assert_array_equal(other[name][0][undisputed], renamed[found.predicted][undisputed])


@given(st.integers(2, 30), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_a_cluster_is_called_after_its_majority(count: int, clusters: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, labels = rng.random((count, 3)).astype(np.float32), rng.integers(0, 4, count)
    clusters = min(clusters, count)
    found = ClusterClassifier(KMeans(clusters, random_state=0)).fit(x, labels)
    members = found.clustering.labels_
    for k in range(clusters):
        own = labels[members == k].tolist()
        assert own.count(found.names[k]) == max(own.count(digit) for digit in range(4))
    np.testing.assert_array_equal(found.predict(x), found.names[members])


def test_a_cluster_without_training_images_gets_the_most_frequent_class() -> None:
    class Fixed:
        n_clusters = 3

        def fit(self, x: Array) -> Any:
            return self

        def predict(self, x: Array) -> Array:
            return x[:, 0].astype(int)

    found = ClusterClassifier(Fixed()).fit(np.array([[0.0], [0], [2], [2], [2]]), np.array([1, 1, 4, 4, 4]))
    assert found.names.tolist() == [1, 4, 4]


def test_the_principal_components_are_those_of_the_covariance(fitted: Fitted, rows: Rows) -> None:
    x = rows.train.images.reshape(400, -1).astype(np.float64)
    mean = x.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    shares = values[::-1] / values.sum()
    found = fitted.components
    np.testing.assert_allclose(found.shares[:200], shares[:200], rtol=1e-3)
    assert found.kept == np.argmax(np.cumsum(shares) >= 0.95) + 1
    basis = vectors[:, ::-1][:, : found.kept]
    for images, error in ((rows.train, found.training_error), (rows.validation, found.validation_error)):
        centred = images.images.reshape(len(images), -1) - mean
        assert error == pytest.approx(np.mean((centred - centred @ basis @ basis.T) ** 2), rel=1e-3)


def test_the_size_is_what_a_prediction_needs(fitted: Fitted) -> None:
    sizes = {name: result.numbers for name, result in fitted.results.items()}
    assert sizes["k-means"] == 10 * 784 + 10
    assert sizes["mini-batch k-means"] == 40 * 784 + 40
    assert sizes["PCA, random forest"] > fitted.components.kept * 784
    assert sizes["logistic regression"] == 784 * 10 + 10
    assert sizes["k-nearest neighbours"] == 400 * 784 + 400
    assert 0 < sizes["SVM"] - 45 < 400 * (784 + 9) + 1
    assert 0 < sizes["decision tree"] < sizes["random forest"]


def test_too_few_rows(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MINI_CLUSTERS", 401)
    with pytest.raises(DataError, match=r"too few training rows(.|\n)*401 or more(.|\n)*received: 400"):
        next(classical.compare(rows))


def test_rows_without_a_test_table(rows: Rows) -> None:
    bare = dataclasses.replace(rows, test=rows.test[:0], test_labels=None)
    assert next(classical.compare(bare)).test_predicted.shape == (0,)
