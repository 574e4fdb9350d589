"""Rung 9, Read a result: confusion matrix, interval of an accuracy and calibration error, graded."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet import metrics
from tinynet.learn.exercise import Exercise
from tinynet.learn.grading import agree, answer
from tinynet.types import Array

LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 0, 1])
PREDICTED = np.array([0, 0, 2, 1, 2, 2, 2, 2, 0, 0, 0, 1])
CLASSES = 5  # class 4 occurs nowhere


def _grade_confusion(confusion_matrix: Callable[..., Any]) -> None:
    def counted(labels: Array, predicted: Array, classes: int) -> Any:
        found = confusion_matrix(labels, predicted, classes)
        return found.astype(np.float64) if isinstance(found, np.ndarray) else found

    right = metrics.confusion_matrix(LABELS, PREDICTED, CLASSES).astype(np.float64)
    rows = right / np.maximum(right.sum(axis=1, keepdims=True), 1)
    agree(
        answer(counted, LABELS, PREDICTED, CLASSES, shape=(CLASSES, CLASSES)),
        right,
        "C",
        {
            "transposed: rows are the true classes, columns what they were called": right.T,
            "C[labels, predicted] += 1 counts a pair that occurs twice only once; use a loop, or np.add.at": (
                right > 0
            ).astype(np.float64),
            "only the right ones are counted; the errors are the point": np.diag(np.diag(right)),
            "only the errors are counted; the right ones stand on the diagonal": right
            - np.diag(np.diag(right)),
            "shares instead of counts": rows,
        },
    )


Z = 1.96
"""As the notebook has it; the engine has more digits."""


def _grade_wilson(wilson_interval: Callable[..., Any]) -> None:
    def pair(right: int, total: int) -> Any:
        found = wilson_interval(right, total)
        return np.array(found, np.float64) if isinstance(found, tuple | list) else found

    for right, total in ((196, 200), (7, 20), (0, 12)):
        p, z2 = right / total, Z * Z
        spread = math.sqrt(p * (1 - p) / total + z2 / (4 * total**2))
        wald = Z * math.sqrt(p * (1 - p) / total)
        agree(
            answer(pair, right, total, shape=(2,)),
            np.array(metrics.wilson_interval(right, total)),
            f"(low, high) for {right} of {total}",
            {
                "that is p ± z √(p(1-p)/n): it leaves 0 … 1, and has no width where all are right": np.array(
                    [p - wald, p + wald]
                ),
                "not divided by 1 + z²/n": np.array(
                    [p + z2 / (2 * total) - Z * spread, p + z2 / (2 * total) + Z * spread]
                ),
                "the middle is p; it is p + z²/2n": np.array([p - Z * spread, p + Z * spread])
                / (1 + z2 / total),
                "z is missing before the root": np.array(
                    [p + z2 / (2 * total) - spread, p + z2 / (2 * total) + spread]
                )
                / (1 + z2 / total),
                "exchanged: the low end comes first": np.array(metrics.wilson_interval(right, total)[::-1]),
                "in percent; a share is asked for": 100 * np.array(metrics.wilson_interval(right, total)),
            },
            tolerance=1e-4,  # with more digits of z it is right, too
        )


BINS = 5


def _grade_error(expected_calibration_error: Callable[..., Any]) -> None:
    sets = [_predictions(seed) for seed in (9, 10)]

    def each(*given: Array) -> Array:
        found = [expected_calibration_error(*given[2 * i : 2 * i + 2], BINS) for i in range(2)]
        return np.array([answer(lambda value=value: value, shape=()) for value in found])

    slips: list[dict[str, float]] = []
    expected = []
    for confidence, right in sets:
        bin_of = np.minimum((confidence * BINS).astype(int), BINS - 1)
        filled = np.unique(bin_of)
        share = np.array([(bin_of == b).mean() for b in filled])
        sure = np.array([confidence[bin_of == b].mean() for b in filled])
        gap = np.array([right[bin_of == b].mean() for b in filled]) - sure
        expected.append(share @ np.abs(gap))
        slips.append(
            {
                "all bins weigh the same; a bin counts by its share of the predictions": np.abs(gap).mean(),
                "gaps of both signs cancel; take | | of each bin, not of all predictions at once": share
                @ gap,
                "gaps of both signs cancel; take | | of each bin before the sum": -share @ gap,
                "the gaps are summed without the shares of their bins": np.abs(gap).sum(),
                "the middle of a bin is taken for its confidence; take the mean over its predictions": share
                @ np.abs(gap + sure - (filled + 0.5) / BINS),
                "the largest gap (the maximum calibration error)": np.abs(gap).max(),
                "squares instead of | |": share @ gap**2,
            }
        )
    agree(
        answer(each, *(array for pair in sets for array in pair), shape=(2,)),
        np.array(expected),
        "the expected calibration error of two sets of predictions",
        {name: np.array([slip[name] for slip in slips]) for name in slips[0]},
    )


def _predictions(seed: int) -> tuple[Array, Array]:
    """Confidence and whether it was right: not sure enough where it is low, too sure elsewhere."""
    rng = np.random.default_rng(seed)
    confidence = 1 - 0.75 * rng.random(40) ** 2
    return confidence, (rng.random(40) < confidence**2) | (confidence < 0.6)


EXERCISES = (
    Exercise(
        "09.confusion_matrix",
        "Count, for each true class (a row), what its images were called (the columns).",
        _grade_confusion,
    ),
    Exercise(
        "09.wilson_interval",
        "The 95 % interval of an accuracy, from how many were right and how many there were.",
        _grade_wilson,
    ),
    Exercise(
        "09.expected_calibration_error",
        "How far confidence and accuracy lie apart, bin by bin, weighted by the predictions in each.",
        _grade_error,
    ),
)
