"""The metrics against scikit-learn's, and against counting by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinynet import metrics
from tinynet.errors import DataError, DTypeError, ShapeError
from tinynet.types import Array

sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn, to compare with, is in the extra 'test'")
sk_calibration = pytest.importorskip("sklearn.calibration")


@st.composite
def _predictions(draw: st.DrawFn) -> tuple[Array, Array, int]:
    """Labels and predictions of few samples, so that classes are often missing from one or both."""
    classes = draw(st.integers(2, 6))
    n = draw(st.integers(1, 20))
    numbers = st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)
    dtype = draw(st.sampled_from([np.uint8, np.int32, np.int64]))
    return np.array(draw(numbers), dtype), np.array(draw(numbers), dtype), classes


@given(_predictions())
@settings(max_examples=80, deadline=None)
def test_agrees_with_scikit_learn(case: tuple[Array, Array, int]) -> None:
    labels, predicted, classes = case
    names = list(range(classes))
    report = metrics.classification_report(labels, predicted, classes)
    expected = sk.precision_recall_fscore_support(labels, predicted, labels=names, zero_division=0)
    for ours, theirs in zip(
        (report.precision, report.recall, report.f1, report.support), expected, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-14)
    macro = sk.precision_recall_fscore_support(
        labels, predicted, labels=names, zero_division=0, average="macro"
    )[:3]
    np.testing.assert_allclose(
        (report.macro_precision, report.macro_recall, report.macro_f1), macro, rtol=1e-14
    )
    weighted = sk.precision_recall_fscore_support(
        labels, predicted, labels=names, zero_division=0, average="weighted"
    )[:3]
    np.testing.assert_allclose(
        (report.weighted_precision, report.weighted_recall, report.weighted_f1), weighted, rtol=1e-14
    )
    accuracy = sk.accuracy_score(labels, predicted)
    assert report.accuracy == pytest.approx(accuracy, abs=1e-15)
    assert metrics.accuracy(labels, predicted) == pytest.approx(accuracy, abs=1e-15)
    matrix = metrics.confusion_matrix(labels, predicted, classes)
    np.testing.assert_array_equal(matrix, sk.confusion_matrix(labels, predicted, labels=names))
    assert matrix.dtype == np.int64


def test_rows_are_the_true_classes() -> None:
    matrix = metrics.confusion_matrix(np.array([0, 0, 2]), np.array([1, 1, 2]), 3)
    np.testing.assert_array_equal(matrix, [[0, 2, 0], [0, 0, 0], [0, 0, 1]])


def test_many_classes_in_small_integers_do_not_overflow() -> None:
    labels = np.arange(200, dtype=np.uint8)
    np.testing.assert_array_equal(metrics.confusion_matrix(labels, labels, 200), np.eye(200))


def test_a_class_that_never_occurs_counts_as_zero() -> None:
    report = metrics.classification_report(np.array([0, 0]), np.array([0, 0]), 2)
    np.testing.assert_array_equal([report.precision, report.recall, report.f1], [[1, 0]] * 3)
    assert report.macro_f1 == 0.5


@pytest.mark.parametrize(
    ("labels", "predicted", "error"),
    [
        ([0, 1], [0], ShapeError),
        ([[0, 1]], [[0, 1]], ShapeError),
        ([0, 3], [0, 1], DataError),
        ([0, 1], [0, -1], DataError),
        (np.zeros(0, int), np.zeros(0, int), DataError),
        ([0.0, 1.0], [0, 1], DTypeError),
        ([0, 1], [False, True], DTypeError),
    ],
)
def test_refuses_what_makes_no_sense(labels: object, predicted: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"(?s)expected: .*received: .*fix: "):
        metrics.classification_report(np.asarray(labels), np.asarray(predicted), 3)


def _score(p: float, share: float, n: int) -> float:
    """The score test's statistic of the share observed, were p true."""
    return abs(share - p) / math.sqrt(p * (1 - p) / n)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(max_examples=80, deadline=None)
def test_the_wilson_interval_inverts_the_score_test(case: tuple[int, int]) -> None:
    """Its ends are the two p that a two-sided 5 % test of the observed share just does not reject."""
    right, total = case
    low, high = metrics.wilson_interval(right, total)
    assert 0 <= low <= right / total <= high <= 1
    assert high > low
    for end, trivial in ((low, right == 0), (high, right == total)):
        if not trivial:
            assert _score(end, right / total, total) == pytest.approx(1.959964, rel=1e-5)


def test_the_wilson_interval_of_a_published_example() -> None:
    """81 of 263 (Newcombe 1998, Statistics in Medicine 17, table I, method 3)."""
    assert metrics.wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize("case", [(0, 0), (-1, 5), (6, 5)])
def test_the_wilson_interval_of_no_share(case: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="received: right="):
        metrics.wilson_interval(*case)


@st.composite
def _scored(draw: st.DrawFn) -> tuple[Array, Array]:
    """Truth and scores of few samples and fewer scores: ties, and often one kind of sample alone."""
    n = draw(st.integers(1, 25))
    positive = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    few = st.sampled_from([0.0, 0.25, 0.5, 1.0])
    values = draw(st.lists(few | st.floats(-10, 10, width=32), min_size=n, max_size=n))
    return np.array(positive), np.array(values, draw(st.sampled_from([np.float32, np.float64])))


@given(_scored())
@settings(max_examples=150, deadline=None)
def test_ranking_agrees_with_scikit_learn(case: tuple[Array, Array]) -> None:
    positive, scores = case
    found = metrics.ranking(positive, scores)
    if not positive.any():
        assert math.isnan(found.average_precision)
        assert np.isnan(found.true_positive_rate).all()
    else:
        expected = sk.average_precision_score(positive, scores)
        assert found.average_precision == pytest.approx(expected, abs=1e-12)
        precision, recall, thresholds = sk.precision_recall_curve(positive, scores)
        np.testing.assert_allclose(found.precision[::-1], precision[:-1], rtol=1e-13)
        np.testing.assert_allclose(found.true_positive_rate[::-1], recall[:-1], rtol=1e-13)
        np.testing.assert_array_equal(found.thresholds[::-1], thresholds)
    assert found.is_curve == (positive.any() and not positive.all())
    if not found.is_curve:
        assert math.isnan(found.roc_auc)
        return
    assert found.roc_auc == pytest.approx(sk.roc_auc_score(positive, scores), abs=1e-12)
    fpr, tpr, thresholds = sk.roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(found.false_positive_rate, fpr[1:], rtol=1e-13)
    np.testing.assert_allclose(found.true_positive_rate, tpr[1:], rtol=1e-13)
    np.testing.assert_array_equal(found.thresholds, thresholds[1:])


@given(_scored())
@settings(max_examples=80, deadline=None)
def test_the_area_is_the_chance_to_rank_a_pair_right(case: tuple[Array, Array]) -> None:
    positive, scores = case
    ups, downs = scores[positive], scores[~positive]
    if len(ups) and len(downs):
        pairs = (ups[:, None] > downs) + 0.5 * (ups[:, None] == downs)
        assert metrics.ranking(positive, scores).roc_auc == pytest.approx(pairs.mean(), abs=1e-12)


def test_scores_that_are_all_equal_know_nothing() -> None:
    found = metrics.ranking(np.array([True, False, False, False]), np.ones(4))
    assert (found.roc_auc, found.average_precision) == (0.5, 0.25)
    assert len(found.thresholds) == 1


@st.composite
def _believed(draw: st.DrawFn) -> tuple[Array, Array]:
    """Labels and probabilities of few samples and 1 to 5 classes, some of which never occur."""
    n, k = draw(st.integers(1, 30)), draw(st.integers(1, 5))
    weights = np.array(draw(st.lists(st.integers(1, 4), min_size=n * k, max_size=n * k))).reshape(n, k)
    labels = np.array(draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n)))
    return labels, weights / weights.sum(axis=1, keepdims=True)


@given(_believed())
@settings(max_examples=80, deadline=None)
def test_each_class_against_the_rest(case: tuple[Array, Array]) -> None:
    labels, probabilities = case
    found = metrics.one_against_rest(labels, probabilities)
    assert len(found) == probabilities.shape[1]
    for k, ranking in enumerate(found):
        occurs_and_not = 0 < (labels == k).sum() < len(labels)
        assert ranking.is_curve == occurs_and_not
        if occurs_and_not:
            expected = sk.roc_auc_score(labels == k, probabilities[:, k])
            assert ranking.roc_auc == pytest.approx(expected, abs=1e-12)


@given(_believed(), st.integers(1, 20))
@settings(max_examples=80, deadline=None)
def test_calibration_agrees_with_scikit_learn(case: tuple[Array, Array], bins: int) -> None:
    labels, probabilities = case
    found = metrics.calibration(labels, probabilities, bins)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    accuracies, confidences = sk_calibration.calibration_curve(right, confidence, n_bins=bins)
    filled = found.count > 0
    np.testing.assert_allclose(found.accuracy[filled], accuracies, rtol=1e-13)
    np.testing.assert_allclose(found.confidence[filled], confidences, rtol=1e-13)
    assert np.isnan(found.accuracy[~filled]).all()
    assert found.count.sum() == len(labels)
    gap = found.count[filled] / len(labels) @ np.abs(accuracies - confidences)
    assert found.error == pytest.approx(gap, abs=1e-12)


def test_the_calibration_error_by_hand() -> None:
    """Four at 0.9, three of them right; one at 0.6, wrong: 4/5 · 0.15 + 1/5 · 0.6."""
    sure, unsure = [0.1, 0.9], [0.4, 0.6]
    found = metrics.calibration(np.array([1, 1, 1, 0, 0]), np.array([sure] * 4 + [unsure]))
    assert found.error == pytest.approx(0.24)
    assert found.count.tolist() == [0] * 8 + [1] + [0] * 4 + [4, 0]  # (8/15, 9/15] and (13/15, 14/15]


FAIR = np.full((2, 2), 0.5)


@pytest.mark.parametrize(
    ("labels", "probabilities", "error"),
    [
        ([0, 1], [0.5, 0.5], ShapeError),
        ([0], FAIR, ShapeError),
        ([0, 1], np.zeros((2, 0)), ShapeError),
        ([0, 1], FAIR.astype(int), DTypeError),
        ([0, 2], FAIR, DataError),
        ([0.0, 1.0], FAIR, DTypeError),
        ([0, 1], np.array([[0.5, 0.5], [np.nan, 0.5]]), DataError),
        (np.zeros(0, int), np.zeros((0, 2)), DataError),
        ([0, 1], FAIR * 3, DataError),
        ([0, 1], np.array([[2.0, -1.0]] * 2), DataError),
    ],
)
def test_calibration_refuses(labels: object, probabilities: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"(?s)expected: .*received: "):
        metrics.calibration(np.asarray(labels), np.asarray(probabilities))


@pytest.mark.parametrize(
    ("positive", "scores", "error"),
    [
        ([True], [0.5, 0.5], ShapeError),
        ([0, 1], [0.5, 0.5], DTypeError),
        ([True, False], [1, 0], DTypeError),
        ([True, False], [np.inf, 0.0], DataError),
        (np.zeros(0, bool), np.zeros(0), DataError),
    ],
)
def test_ranking_refuses(positive: object, scores: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"(?s)expected: .*received: .*fix: "):
        metrics.ranking(np.asarray(positive), np.asarray(scores))


# --- values -----------------------------------------------------------------------------------------------


@st.composite
def values(draw: st.DrawFn) -> tuple[Array, Array]:
    shape = draw(st.sampled_from([(2,), (9,), (7, 3)]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    targets = draw(st.sampled_from([0.0, 1e6])) + random.normal(size=shape)
    return targets, targets + random.normal(size=shape)


@given(values())
@settings(deadline=None)
def test_errors_of_values_agree_with_scikit_learn(case: tuple[Array, Array]) -> None:
    assert metrics.mean_absolute_error(*case) == pytest.approx(sk.mean_absolute_error(*case))
    assert metrics.root_mean_squared_error(*case) == pytest.approx(sk.root_mean_squared_error(*case))
    assert metrics.r2(*case) == pytest.approx(sk.r2_score(*case))


@pytest.mark.parametrize("predicted", [[2.0, 2.0, 2.0], [2.0, 2.0, 5.0]])
def test_r2_of_targets_that_are_all_alike_is_scikit_learns(predicted: list[float]) -> None:
    alike = np.full(3, 2.0)
    assert metrics.r2(alike, np.array(predicted)) == sk.r2_score(alike, predicted)


def test_errors_of_values_by_hand() -> None:
    targets, predicted = np.array([1, 2, 3]), np.array([1, 2, 6])
    assert metrics.mean_absolute_error(targets, predicted) == 1
    assert metrics.root_mean_squared_error(targets, predicted) == pytest.approx(math.sqrt(3))
    assert metrics.r2(targets, predicted) == 1 - 9 / 2


@pytest.mark.parametrize("metric", [metrics.mean_absolute_error, metrics.root_mean_squared_error, metrics.r2])
def test_errors_of_values_refuse(metric: Callable[[object, object], float]) -> None:
    for targets, predicted, error in (
        (np.ones(3), np.ones(4), ShapeError),
        (np.ones(3), np.ones((3, 1)), ShapeError),
        (np.array(["a"]), np.ones(1), DTypeError),
        (np.array([1.0, np.nan]), np.ones(2), DataError),
        (np.ones(0), np.ones(0), DataError),
    ):
        with pytest.raises(error):
            metric(targets, predicted)
    with pytest.raises(DataError, match="one sample has no R²"):
        metrics.r2(np.ones(1), np.ones(1))
