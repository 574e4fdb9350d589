"""How good predictions are.

Of classes: accuracy, the confusion matrix; precision, recall and F1. Of scores: ROC and precision-recall
curves with the areas under them, one class against the rest. Of probabilities: calibration. Of values: mean
absolute error, root of the mean squared error, R².
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinynet.errors import DataError, DTypeError, ShapeError
from tinynet.losses import check_label_range
from tinynet.losses.measures import r2_of, spread_of
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
    """The figures of each class, (K,) each; their plain (macro) averages over all K classes, and those in
    which a class counts by its support (weighted)."""

    precision: Array
    recall: Array
    f1: Array
    support: Array
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    weighted_precision: float
    weighted_recall: float
    weighted_f1: float


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
        weighted_precision=float(precision @ support / support.sum()),
        weighted_recall=float(recall @ support / support.sum()),
        weighted_f1=float(f1 @ support / support.sum()),
    )


@dataclass(frozen=True)
class Ranking:
    """How well scores put the P positives of N samples before the others, threshold by threshold.

    Calling positive what scores at least `thresholds[i]` finds `true_positives[i]` of the P positives and
    takes `false_positives[i]` of the N − P others for one. Thresholds (T,) fall from the highest score to the
    lowest, each score once: samples of equal score are called together, since nothing tells them apart.
    """

    thresholds: Array
    true_positives: Array
    false_positives: Array

    @property
    def is_curve(self) -> bool:
        """Whether there are both positives and others: without, no curve and no area are defined."""
        return bool(self.true_positives[-1] and self.false_positives[-1])

    @property
    def true_positive_rate(self) -> Array:
        """Recall, tp / P, at each threshold (T,); NaN without positives."""
        return _share_of_last(self.true_positives)

    @property
    def false_positive_rate(self) -> Array:
        """fp / (N − P) at each threshold (T,); NaN where all are positive."""
        return _share_of_last(self.false_positives)

    @property
    def precision(self) -> Array:
        """tp / (tp + fp) at each threshold (T,)."""
        return self.true_positives / (self.true_positives + self.false_positives)

    @property
    def roc_auc(self) -> float:
        """The area under true over false positive rate, straight between thresholds (Fawcett 2006).

        It is the chance that a positive scores above another sample, equal scores counting half
        (Mann & Whitney 1947): ½ for scores that know nothing. NaN unless `is_curve`.
        """
        if not self.is_curve:
            return math.nan
        tp, fp = self.true_positives, self.false_positives
        doubled = np.diff(fp, prepend=0) @ (tp + np.concatenate([[0], tp[:-1]]))
        return float(doubled / (2 * tp[-1] * fp[-1]))

    @property
    def average_precision(self) -> float:
        """Σᵢ (Rᵢ − Rᵢ₋₁) Pᵢ over the thresholds, R the recall and P the precision; R₀ = 0.

        The area under precision over recall, not interpolated, which would flatter (Davis & Goadrich 2006).
        Scores that know nothing get the share of positives. NaN without positives.
        """
        return float(np.diff(self.true_positive_rate, prepend=0) @ self.precision)


def ranking(positive: Array, scores: Array) -> Ranking:
    """The thresholds of `scores` (N,), finite numbers, judged by `positive` (N,) of bool.

    Raises ShapeError, DTypeError or DataError (no samples, or a score that is not finite).
    """
    positive, scores = np.asarray(positive), np.asarray(scores)
    if positive.ndim != 1 or positive.shape != scores.shape:
        raise ShapeError(
            "scores and truth do not match",
            expected="two arrays of shape (N,), one entry a sample",
            received=f"positive {positive.shape}, scores {scores.shape}",
            fix="of scores (N, K), take one class at a time: labels == k and scores[:, k]",
        )
    if positive.dtype != bool or scores.dtype.kind != "f":
        raise DTypeError(
            "ranking takes truth and scores",
            expected="positive of bool, scores of a floating dtype",
            received=f"{positive.dtype} and {scores.dtype}",
            fix="compare the labels with one class: labels == k",
        )
    _check_finite(scores, "scores")
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    last_of_equals = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)
    called = last_of_equals + 1
    true_positives = np.cumsum(positive[order])[last_of_equals]
    return Ranking(falling[last_of_equals], true_positives, called - true_positives)


def one_against_rest(labels: Array, probabilities: Array) -> list[Ranking]:
    """A Ranking for each of the K classes: is it this one, or any other?

    labels (N,) of class numbers   probabilities (N, K), or any scores whose order means the same

    Raises as `accuracy` and `ranking` do, and DataError for a label outside 0 … K−1.
    """
    labels, probabilities = _checked_scores(labels, probabilities)
    return [ranking(labels == k, probabilities[:, k]) for k in range(probabilities.shape[1])]


@dataclass(frozen=True)
class Calibration:
    """Do 80 % of the predictions made with 80 % confidence come true?

    Of each of M bins of confidence: its `count` of predictions, their mean `confidence` and their `accuracy`,
    (M,) each, NaN for the last two where a bin is empty. `error` is the expected calibration error.
    """

    edges: Array
    count: Array
    confidence: Array
    accuracy: Array
    error: float


def calibration(labels: Array, probabilities: Array, bins: int = 15) -> Calibration:
    """The expected calibration error of N predictions, each the most probable class:

        ECE = Σₘ nₘ/N · | accuracyₘ − confidenceₘ |        over M bins of equal width in confidence

    labels (N,)   probabilities (N, K), each row summing to 1. Bin m holds the nₘ predictions with a
    confidence in ((m−1)/M, m/M]. (Guo, Pleiss, Sun, Weinberger: "On calibration of modern neural networks",
    2017, equations 1 to 3, with their M = 15.) The figure depends on M: compare at one M alone.

    Raises as `one_against_rest` does, and DataError for rows that are no probabilities or for no bins.
    """
    labels, probabilities = _checked_scores(labels, probabilities)
    off = np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1).max()
    if bins < 1 or probabilities.min() < 0 or off > 1e-3:
        raise DataError(
            "calibration needs probabilities and bins",
            expected="rows of values from 0 that sum to 1, at least one bin",
            received=f"values from {probabilities.min():.3g}, sums off by up to {off:.3g}, {bins} bins",
            fix="pass loss.probabilities(outputs), not the outputs",
        )
    edges = np.linspace(0, 1, bins + 1)
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    bin_of = np.searchsorted(edges[1:-1], confidence)
    count = np.bincount(bin_of, minlength=bins)
    sums = (np.bincount(bin_of, weights=values, minlength=bins) for values in (confidence, right))
    total_confidence, total_right = sums
    gap = np.abs(total_right - total_confidence).sum() / len(labels)
    filled = np.where(count > 0, count, np.nan)
    return Calibration(edges, count, total_confidence / filled, total_right / filled, float(gap))


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


def mean_absolute_error(targets: Array, predicted: Array) -> float:
    """MAE = (1/NM) Σ |y − t|, in the unit of the targets.

    targets t and predicted y (N,) or (N, M), of one shape; finite numbers

    Raises ShapeError (shapes differ), DTypeError (no numbers) and DataError (no samples, or not finite).
    """
    targets, predicted = _checked_values(targets, predicted)
    return float(np.abs(predicted - targets).mean())


def root_mean_squared_error(targets: Array, predicted: Array) -> float:
    """RMSE = √( (1/N) Σₙ (yₙ − tₙ)² ), in the unit of the targets; of M outputs the mean of their M roots.

    Never less than the mean absolute error, and more so the more a few errors stand out. (The mean over
    outputs is that of scikit-learn's root_mean_squared_error.) Arguments and errors as for
    `mean_absolute_error`.
    """
    targets, predicted = _checked_values(targets, predicted)
    return float(np.sqrt(np.square(predicted - targets).mean(axis=0)).mean())


def r2(targets: Array, predicted: Array) -> float:
    """R² = 1 − Σₙ (tₙ − yₙ)² / Σₙ (tₙ − t̄)², the coefficient of determination; its mean over M outputs.

    1 without errors, 0 for predictions that are always the mean t̄, below 0 for worse. Where the targets of an
    output are all alike, it is 1 without errors and 0 else.

    Arguments and errors as for `mean_absolute_error`; DataError for a single sample, too.
    """
    targets, predicted = _checked_values(targets, predicted)
    if len(targets) < 2:
        raise DataError("one sample has no R²", expected="two samples or more", received=1)
    squared = np.square(predicted - targets).sum(axis=0)
    return r2_of(squared, spread_of(targets))


def _checked_values(targets: Array, predicted: Array) -> tuple[Array, Array]:
    """Both as float64 (N, M)."""
    targets, predicted = np.asarray(targets), np.asarray(predicted)
    if targets.shape != predicted.shape or targets.ndim not in (1, 2):
        raise ShapeError(
            "targets and predictions do not match",
            expected="two arrays (N,) or (N, M) of one shape",
            received=f"targets {targets.shape}, predicted {predicted.shape}",
            fix="of outputs (N, 1), take the column: predicted[:, 0]",
        )
    for name, values in (("targets", targets), ("predicted", predicted)):
        if values.dtype.kind not in "fiub":
            raise DTypeError(f"{name} are not values", expected="an array of numbers", received=values.dtype)
        _check_finite(values, name)
    rows = (values.reshape(len(values), -1).astype(np.float64) for values in (targets, predicted))
    return next(rows), next(rows)


def _ratio(part: Array, whole: Array) -> Array:
    """part / whole, and 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole != 0)


def _share_of_last(counts: Array) -> Array:
    """Running counts as shares of the last, the total; NaN where that is 0."""
    return counts / (counts[-1] or math.nan)


def _check_finite(values: Array, name: str) -> None:
    if values.size == 0 or not np.isfinite(values).all():
        raise DataError(
            f"{name} cannot be judged",
            expected="at least one sample, all finite",
            received=f"{np.size(values)} values, {np.count_nonzero(~np.isfinite(values))} NaN or infinite",
            fix="find the layer that makes them: tinynet.diagnosis.first_non_finite(model, x)",
        )


def _checked_scores(labels: Array, scores: Array) -> tuple[Array, Array]:
    """labels (N,) and scores (N, K) that go together."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    if scores.ndim != 2 or scores.shape[:1] != labels.shape or scores.shape[1] == 0:
        raise ShapeError(
            "labels and probabilities do not match",
            expected="labels (N,) and probabilities (N, K)",
            received=f"labels {labels.shape}, probabilities {scores.shape}",
            fix="pass a probability for each class of every sample",
        )
    if scores.dtype.kind != "f":
        raise DTypeError("probabilities are fractions", expected="a floating dtype", received=scores.dtype)
    _check_finite(scores, "probabilities")
    check_label_range(_checked(labels, labels)[0], scores.shape[1])
    return labels, scores


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
