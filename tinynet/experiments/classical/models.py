"""The classical classifiers: each is fitted on the training rows, timed, and predicts all others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet import extras
from tinynet.analysis.explore import elbow
from tinynet.errors import DataError
from tinynet.experiments.classical.rows import SEED, Rows
from tinynet.types import Array

VARIANCE = 0.95
"""The share of the pixels' variance that PCA keeps."""
CLUSTERS = 10
MINI_CLUSTERS, MINI_BATCH = 2000, 2048
LOGISTIC_ITERATIONS = 1000
KEPT = {
    "PCA": ("mean_", "components_"),
    "Tree": ("feature", "threshold", "children_left", "children_right", "value"),
    "LogisticRegression": ("coef_", "intercept_"),
    "KNeighborsClassifier": ("_fit_X", "_y"),
    "SVC": ("support_vectors_", "dual_coef_", "intercept_"),
}
"""The arrays that a fitted model of scikit-learn's needs to predict, by its class."""


@dataclass(frozen=True, eq=False)
class Scored:
    """The predictions of one classifier, and what they cost. Times are wall-clock seconds on this machine."""

    name: str
    predicted: Array
    """Class numbers (V,) for the validation rows."""
    test_predicted: Array
    """And (M,) for the test table."""
    trained_on: int
    """How many rows it was trained on."""
    fit_seconds: float | None
    """None where that was not recorded."""
    predict_seconds: float
    """For the validation rows."""
    numbers: int
    """How many numbers the fitted model keeps to predict with."""
    bytes: int
    """And the memory they take."""
    clusters: ClusterClassifier | None = None
    """The clusters, of a classifier that has some."""
    run: str | None = None
    """The run's folder, of a net."""


class ClusterClassifier:
    """Clusters of images, each called after the class that most of its *training* images have.

    A cluster without training images gets the most frequent class. Other rows are not used.
    """

    def __init__(self, clustering: Any) -> None:
        self.clustering = clustering
        self.names: Array = np.empty(0, np.int64)
        """The class (k,) of each cluster."""
        self.counts: Array = np.empty((0, 0), np.int64)
        """The training images of each class in each cluster, (k, K)."""

    def fit(self, x: Array, labels: Array) -> ClusterClassifier:
        """Cluster x (N, D), then name the clusters by the labels (N,)."""
        clusters = self.clustering.fit(x).predict(x)
        self.counts = np.zeros((self.clustering.n_clusters, labels.max() + 1), np.int64)
        np.add.at(self.counts, (clusters, labels), 1)
        filled = self.counts.any(axis=1)
        self.names = np.where(filled, self.counts.argmax(axis=1), self.counts.sum(axis=0).argmax())
        return self

    def predict(self, x: Array) -> Array:
        """The name of each row's nearest cluster, (N,)."""
        return self.names[self.clustering.predict(x)]


def compare(
    rows: Rows, *, seed: int = SEED, threads: int = 1, announce: Callable[[str], None] = lambda name: None
) -> Iterator[Scored]:
    """Fit the classifiers one after the other and yield each one's results; `announce(name)` comes before.

    Pixels are 0 to 255, float32. The same seed gives the same predictions, whatever the number of threads.
    Raises ConfigError without scikit-learn and DataError for fewer than 2,000 training rows.
    """
    extras.load("classical")
    if len(rows.train) < MINI_CLUSTERS:
        raise DataError(
            "there are too few training rows",
            expected=f"{MINI_CLUSTERS:,} or more, one for each cluster of mini-batch k-means",
            received=f"{len(rows.train):,}",
            fix="give a larger table",
        )
    x, validation, test = (_flat(images) for images in (rows.train.images, rows.validation.images, rows.test))
    for name, model in classifiers(seed, threads).items():
        announce(name)
        _, fit_seconds = _timed(model.fit, x, rows.train.labels)
        predicted, predict_seconds = _timed(model.predict, validation)
        arrays = _arrays(model)
        yield Scored(
            name,
            predicted,
            model.predict(test) if len(test) else predicted[:0],
            trained_on=len(x),
            fit_seconds=fit_seconds,
            predict_seconds=predict_seconds,
            numbers=sum(array.size for array in arrays),
            bytes=sum(array.nbytes for array in arrays),
            clusters=model if isinstance(model, ClusterClassifier) else None,
        )


@dataclass(frozen=True, eq=False)
class Components:
    """What PCA made of the training rows; pixels are 0 to 255."""

    shares: Array
    """The share of the variance that each component explains, (D,), falling; all D of them."""
    kept: int
    """The components that it takes to keep `VARIANCE`."""
    variance: float
    """What they keep."""
    elbow: int
    """The components where the cumulative curve bends most."""
    training_error: float
    """The mean squared difference of a pixel from what the kept components give back, training rows."""
    validation_error: float
    """The same for the validation rows."""
    fit_seconds: float
    transform_seconds: float
    """For the validation rows."""


def principal_components(rows: Rows, *, seed: int = SEED) -> Components:
    """PCA of the training rows that keeps 95 % of their variance. Raises ConfigError without scikit-learn."""
    extras.load("classical")
    from sklearn.decomposition import PCA

    x, validation = _flat(rows.train.images), _flat(rows.validation.images)
    pca = PCA(VARIANCE, random_state=seed)
    _, fit_seconds = _timed(pca.fit, x)
    _, transform_seconds = _timed(pca.transform, validation)
    shares = PCA(random_state=seed).fit(x).explained_variance_ratio_
    return Components(
        shares,
        int(pca.n_components_),
        float(pca.explained_variance_ratio_.sum()),
        elbow(shares),
        _reconstruction_error(pca, x),
        _reconstruction_error(pca, validation),
        fit_seconds,
        transform_seconds,
    )


def classifiers(seed: int = SEED, threads: int = 1) -> dict[str, Any]:
    """The models, not fitted yet: scikit-learn's defaults but for what is written here.

    Threads change the time, not the result. The first four are those of the reference report (system R4).
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.decomposition import PCA
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    def forest() -> Any:
        return RandomForestClassifier(random_state=seed, n_jobs=threads)

    mini = MiniBatchKMeans(MINI_CLUSTERS, batch_size=MINI_BATCH, random_state=seed)
    logistic = LogisticRegression(max_iter=LOGISTIC_ITERATIONS)
    return {
        "random forest": forest(),
        "PCA, random forest": make_pipeline(PCA(VARIANCE, random_state=seed), forest()),
        "k-means": ClusterClassifier(KMeans(CLUSTERS, random_state=seed)),
        "mini-batch k-means": ClusterClassifier(mini),
        "decision tree": DecisionTreeClassifier(random_state=seed),
        "logistic regression": make_pipeline(FunctionTransformer(_to_one), logistic),
        "k-nearest neighbours": KNeighborsClassifier(n_jobs=threads),
        "SVM": make_pipeline(FunctionTransformer(_to_one), SVC()),
    }


def _to_one(x: Array) -> Array:
    """Pixels from 0 to 1: solvers that walk downhill converge sooner."""
    return x / np.float32(255)


def _flat(images: Array) -> Array:
    return images.reshape(len(images), int(np.prod(images.shape[1:]))).astype(np.float32)


def _timed(call: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    return call(*arguments), time.perf_counter() - began


def _arrays(model: Any) -> list[Array]:
    """What a fitted model needs to predict."""
    if isinstance(model, ClusterClassifier):
        return [model.clustering.cluster_centers_, model.names]
    for parts in ("steps", "estimators_"):  # of a pipeline, of a forest
        if hasattr(model, parts):
            each = (part[1] if parts == "steps" else part for part in getattr(model, parts))
            return [array for part in each for array in _arrays(part)]
    owner = getattr(model, "tree_", model)
    return [getattr(owner, name) for name in KEPT.get(type(owner).__name__, ())]


def _reconstruction_error(pca: Any, x: Array) -> float:
    """The mean squared difference of a pixel (0 to 255) from what its image's components give back."""
    return float(np.mean((x - pca.inverse_transform(pca.transform(x))) ** 2, dtype=np.float64))
