"""How good predictions are: accuracy, the confusion matrix; precision, recall and F1 of a class."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinynet.errors import DataError, DTypeError, ShapeError
from tinynet.types import Array


def accuracy(labels: Array, predicted: Array) -> float:
    """The share of right predictions:  (1/N) Σₙ [predictedₙ = labelsₙ].

    labels (N,)   predicted (N,)   both of class numbers

    Raises ShapeError (lengths differ), DTypeError (not integers) and DataError (no samples).
    """
    labels, predicted = _checked(labels, predicted)
    return float(np.mean(labels == predicted))


def confusion_matrix(labels: Array, predicted: Array, classes: int) -> Array:
    """Count who is taken for whom:  C[i, j] = Σₙ [labelsₙ = i and predictedₙ = j].

    labels (N,)   predicted (N,)   result (K, K) int64, a row for each true class, K = `classes`

    Raises as `accuracy` does, and DataError if a class number lies outside 0 … K−1.
    """
    labels, predicted = _checked(labels, predicted)
    for name, values in (("labels", labels), ("predicted", predicted)):
        if values.min() < 0 or values.max() >= classes:
            raise DataError(
                f"{name} hold a class that does not exist",
                expected=f"class numbers from 0 to {classes - 1}",
                received=f"numbers from {values.min()} to {values.max()}",
                fix="give the number of classes of this data set, and number them from 0",
            )
    pairs = labels.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).astype(np.int64).reshape(classes, classes)


@dataclass(frozen=True)
class ClassReport:
    """The figures of each class, (K,) each, and their plain (macro) averages over all K classes."""

    precision: Array
    recall: Array
    f1: Array
    support: Array
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float


def classification_report(labels: Array, predicted: Array, classes: int) -> ClassReport:
    """Precision, recall and F1 of each class k, from the confusion matrix C:

        precision = C[k, k] / Σᵢ C[i, k]       of those called k, the share that are k
        recall    = C[k, k] / Σⱼ C[k, j]       of those that are k, the share called k
        F1        = 2 C[k, k] / (Σᵢ C[i, k] + Σⱼ C[k, j])       their harmonic mean
        support   = Σⱼ C[k, j]

    labels (N,)   predicted (N,)   results (K,), K = `classes`. Where a denominator is 0 (a class that never
    occurs, or is never predicted) the figure is defined as 0, and it counts in the macro average.

    Raises as `confusion_matrix` does.
    """
    matrix = confusion_matrix(labels, predicted, classes)
    right, called, support = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    precision, recall = _ratio(right, called), _ratio(right, support)
    f1 = _ratio(2 * right, called + support)
    return ClassReport(
        precision,
        recall,
        f1,
        support,
        accuracy=float(right.sum() / matrix.sum()),
        macro_precision=float(precision.mean()),
        macro_recall=float(recall.mean()),
        macro_f1=float(f1.mean()),
    )


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share p = right / total (Wilson 1927, the score interval), z = 1.96:

        (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)       n = total

    Unlike p ± z √(p(1−p)/n) it stays inside [0, 1] and keeps a width when nothing, or everything, is right.
    Raises DataError unless 0 ≤ right ≤ total and total ≥ 1.
    """
    if not 0 <= right <= total or total < 1:
        raise DataError(
            "this share has no interval",
            expected="0 <= right <= total, and a total of at least 1",
            received=f"right={right}, total={total}",
            fix="count the right predictions of a test set that is not empty",
        )
    z = 1.959963984540054
    p, z2n = right / total, z * z / total
    half = z * math.sqrt(p * (1 - p) / total + z2n / (4 * total))
    low, high = (p + z2n / 2 - half) / (1 + z2n), (p + z2n / 2 + half) / (1 + z2n)
    return 0.0 if right == 0 else low, 1.0 if right == total else high


def _ratio(part: Array, whole: Array) -> Array:
    """part / whole, and 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole != 0)


def _checked(labels: Array, predicted: Array) -> tuple[Array, Array]:
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.ndim != 1 or labels.shape != predicted.shape:
        raise ShapeError(
            "labels and predictions do not match",
            expected="two arrays of shape (N,), one entry a sample",
            received=f"labels {labels.shape}, predicted {predicted.shape}",
            fix="of scores (N, K), pass scores.argmax(axis=1)",
        )
    if labels.size == 0:
        raise DataError(
            "there is nothing to measure",
            expected="at least one sample",
            received="none",
            fix="give a test set",
        )
    for name, values in (("labels", labels), ("predicted", predicted)):
        if values.dtype.kind not in "iu":
            raise DTypeError(
                f"{name} are not class numbers",
                expected="an array of integers",
                received=values.dtype,
                fix="of one-hot labels or scores (N, K), pass the argmax(axis=1)",
            )
    return labels, predicted
