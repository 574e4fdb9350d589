"""The metrics against scikit-learn's, and against counting by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tinynet import metrics
from tinynet.errors import DataError, DTypeError, ShapeError
from tinynet.types import Array


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
