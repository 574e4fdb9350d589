"""The estimators: scikit-learn's own checks, and what people put around them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nets import blobs
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_regression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from tinynet import layers as L
from tinynet.data import load
from tinynet.errors import ConfigError
from tinynet.sklearn import TinynetClassifier, TinynetRegressor

SMALL: dict[str, Any] = {
    "hidden": (16,),
    "epochs": 60,
    "batch_size": 16,
    "learning_rate": 0.01,
    "backend": "numpy",
}


ESTIMATORS = [TinynetClassifier(**SMALL), TinynetRegressor(**SMALL)]


REPEATED = "mini-batches: where a sample stands twice, in place of a weight of 2, the batches are others"


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    ESTIMATORS, expected_failed_checks=lambda _: {"check_sample_weight_equivalence_on_dense_data": REPEATED}
)
def test_scikit_learns_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def test_in_a_pipeline_and_a_search() -> None:
    x, y = blobs(60)
    names = np.array(["north", "east", "west"])[y]
    chain = make_pipeline(StandardScaler(), TinynetClassifier(**SMALL, random_state=0))
    assert cross_val_score(chain, x, names, cv=3).mean() > 0.9
    search = GridSearchCV(chain, {"tinynetclassifier__hidden": [(2,), (16,)]}, cv=2).fit(x, names)
    assert search.best_score_ > 0.8
    assert set(search.predict(x)) <= {"north", "east", "west"}


def test_calibration_and_probabilities() -> None:
    x, y = blobs(60)
    found = CalibratedClassifierCV(TinynetClassifier(**SMALL, random_state=0), cv=2).fit(x, y)
    assert found.predict_proba(x).shape == (60, 3)
    own = TinynetClassifier(**SMALL, random_state=0).fit(x, y)
    np.testing.assert_allclose(own.predict_proba(x).sum(axis=1), 1, rtol=1e-12)
    assert np.array_equal(own.predict(x), own.classes_[own.predict_proba(x).argmax(axis=1)])


def test_the_same_seed_gives_the_same_net_and_it_survives_pickling() -> None:
    x, y = blobs(40)
    model = TinynetClassifier(**SMALL, random_state=3).fit(x, y)
    again = clone(model).fit(x, y)
    other = clone(model).set_params(random_state=4).fit(x, y)
    back = pickle.loads(pickle.dumps(model))  # noqa: S301 (our own)
    assert np.array_equal(model.predict_proba(x), again.predict_proba(x))
    assert np.array_equal(model.predict_proba(x), back.predict_proba(x))
    assert not np.array_equal(model.predict_proba(x), other.predict_proba(x))
    assert np.array_equal(model.partial_fit(x, y).predict_proba(x), back.partial_fit(x, y).predict_proba(x))


def test_parts_of_the_data_one_after_another() -> None:
    """Ten passes in ten calls are ten epochs: weights and Adam's averages go on."""
    x, y = blobs(30)
    settings: dict[str, Any] = {**SMALL, "batch_size": 30, "epochs": 10}
    whole = TinynetClassifier(**settings, random_state=0).fit(x, y)
    parts = TinynetClassifier(**settings, random_state=0)
    for _ in range(10):
        parts.partial_fit(x, y, classes=[0, 1, 2])
    np.testing.assert_allclose(parts.predict_proba(x), whole.predict_proba(x), rtol=1e-4)
    assert (parts.n_iter_, len(parts.loss_curve_)) == (10, 10)
    assert parts.loss_curve_[-1] < parts.loss_curve_[0]
    with pytest.raises(ValueError, match="class 7"):
        parts.partial_fit(x, np.full(30, 7))


def test_values_in_any_unit() -> None:
    x, y = make_regression(120, 5, noise=1.0, random_state=0)
    for unit in (1e-6, 1e6):
        assert TinynetRegressor(**SMALL, random_state=0).fit(x, y * unit).score(x, y * unit) > 0.95
    both = np.column_stack([y, -y])
    assert TinynetRegressor(**SMALL, random_state=0).fit(x, both).predict(x).shape == (120, 2)


def test_images_with_layers_of_ones_own() -> None:
    data = load("sample").train
    images, labels = data.images[:200], data.labels[:200]
    layers = [L.Rescale(), L.Conv2D(4, 5, 2), L.ReLU(), L.Flatten()]
    model = TinynetClassifier(layers=layers, epochs=15, learning_rate=0.01, random_state=0, backend="numpy")
    assert model.fit(images, labels).score(images, labels) > 0.9
    assert clone(model).fit(images, labels).score(images, labels) > 0.9  # the layers were copied


def test_an_unknown_activation() -> None:
    x, y = blobs(10)
    with pytest.raises(ConfigError, match=r"no layer has this name(.|\n)*did you mean 'ReLU'"):
        TinynetClassifier(activation="relu").fit(x, y)


def test_units_that_are_no_list() -> None:
    x, y = blobs(10)
    with pytest.raises(ConfigError, match=r"TinynetClassifier(.|\n)*such as \(32,\)(.|\n)*hidden=32"):
        TinynetClassifier(hidden=32).fit(x, y)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [TinynetClassifier, TinynetRegressor])
def test_in_one_batch_a_weight_of_two_is_a_sample_twice(kind: Any) -> None:
    x, y = blobs(40)
    weights = np.arange(40) // 3 % 3 * np.where(y == 0, 5, 1)  # 0 and others in each class
    settings: dict[str, Any] = {**SMALL, "batch_size": 1000, "epochs": 20, "random_state": 0}
    by_weight = kind(**settings).fit(x, y, sample_weight=weights)
    by_repeating = kind(**settings).fit(x.repeat(weights, axis=0), y.repeat(weights))
    answer = "predict_proba" if kind is TinynetClassifier else "predict"
    found, expected = getattr(by_weight, answer)(x), getattr(by_repeating, answer)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    unweighted = getattr(kind(**settings).fit(x, y), answer)(x)
    assert np.abs(found - unweighted).max() > 0.01


def test_class_weights_are_weights_of_their_samples() -> None:
    x, y = blobs(60)
    names = np.array(["north", "east", "west"])[y]
    table = {"north": 3.0, "east": 1.0, "west": 0.5}
    settings: dict[str, Any] = {**SMALL, "epochs": 5, "random_state": 0}
    by_class = TinynetClassifier(**settings, class_weight=table).fit(x, names)
    by_sample = TinynetClassifier(**settings).fit(x, names, [table[name] for name in names])
    assert np.array_equal(by_class.predict_proba(x), by_sample.predict_proba(x))
    both = TinynetClassifier(**settings, class_weight=table).fit(x, names, np.full(60, 2.0))
    np.testing.assert_allclose(both.predict_proba(x), by_class.predict_proba(x), rtol=1e-5)
    with pytest.raises(ValueError, match="needs all the data"):
        TinynetClassifier(**SMALL, class_weight="balanced").partial_fit(x, y)


def test_values_in_parts() -> None:
    x, y = make_regression(30, 5, noise=1.0, random_state=0)
    settings: dict[str, Any] = {**SMALL, "batch_size": 30, "epochs": 10}
    whole = TinynetRegressor(**settings, random_state=0).fit(x, y)
    parts = TinynetRegressor(**settings, random_state=0)
    for _ in range(10):
        parts.partial_fit(x, y)
    np.testing.assert_allclose(parts.predict(x), whole.predict(x), rtol=1e-3, atol=1e-3)


def test_bad_weights_leave_the_net_as_it_was() -> None:
    x, y = blobs(20)
    for kind in (TinynetClassifier, TinynetRegressor):
        model = kind(**SMALL, random_state=0).fit(x, y)
        before = model.predict(x)
        for weights in (-np.ones(20), np.full(20, np.nan), np.ones(19), np.zeros(20), ["a"] * 20):
            for method in (model.fit, model.partial_fit):
                with pytest.raises(ValueError, match="weight"):
                    method(x, y, sample_weight=weights)
        assert np.array_equal(model.predict(x), before)
