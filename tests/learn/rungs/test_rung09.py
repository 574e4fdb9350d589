"""Rung 9: what each typical wrong answer is told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinynet import metrics
from tinynet.learn.exercise import Wrong
from tinynet.learn.ladder import exercise
from tinynet.types import Array

Z = 1.96


def confusion(labels: Array, predicted: Array, classes: int) -> Array:
    C = np.zeros((classes, classes), int)
    np.add.at(C, (labels, predicted), 1)
    return C


def counted_once(labels: Array, predicted: Array, classes: int) -> Array:
    C = np.zeros((classes, classes), int)
    C[labels, predicted] += 1
    return C


def by_class(labels: Array, predicted: Array, classes: int) -> Array:
    C = confusion(labels, predicted, classes)
    return C / np.maximum(C.sum(axis=1, keepdims=True), 1)


def without_class(labels: Array, predicted: Array, classes: int) -> Array:
    return confusion(labels, predicted, int(labels.max()) + 1)


def wilson(right: int, total: int, *, z: float = Z, middle: float = 1, divide: bool = True) -> Any:
    p, z2n = right / total, Z * Z / total
    half = z * math.sqrt(p * (1 - p) / total + z2n / (4 * total))
    below = 1 + z2n if divide else 1
    return (p + middle * z2n / 2 - half) / below, (p + middle * z2n / 2 + half) / below


def wald(right: int, total: int) -> Any:
    p = right / total
    half = Z * math.sqrt(p * (1 - p) / total)
    return p - half, p + half


def ece(confidence: Array, right: Array, bins: int, reduce: Callable[..., Any] | None = None) -> Any:
    """The solution; `reduce` makes another figure of the bins' shares and gaps."""
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    filled = np.unique(bin_of)
    share = np.array([(bin_of == b).mean() for b in filled])
    gap = np.array([right[bin_of == b].mean() - confidence[bin_of == b].mean() for b in filled])
    return share @ np.abs(gap) if reduce is None else reduce(share, gap)


RIGHT: dict[str, Callable[..., Any]] = {
    "09.confusion_matrix": confusion,
    "09.wilson_interval": wilson,
    "09.expected_calibration_error": ece,
}
WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("09.confusion_matrix", lambda labels, predicted, k: confusion(labels, predicted, k).T, "transposed"),
    ("09.confusion_matrix", counted_once, "only once"),
    ("09.confusion_matrix", by_class, "shares instead of counts"),
    ("09.confusion_matrix", without_class, "wrong shape"),
    ("09.confusion_matrix", lambda *given: None, "missing `return`"),
    ("09.wilson_interval", wald, "has no width"),
    ("09.wilson_interval", lambda right, total: wilson(right, total, divide=False), "not divided by 1"),
    ("09.wilson_interval", lambda right, total: wilson(right, total, middle=0), "the middle is p"),
    ("09.wilson_interval", lambda right, total: wilson(right, total, z=1), "z is missing"),
    ("09.wilson_interval", lambda right, total: wilson(right, total)[::-1], "the low end comes first"),
    ("09.wilson_interval", lambda right, total: wilson(right, total)[0], "received: float"),
    (
        "09.expected_calibration_error",
        lambda confidence, right, bins: ece(confidence, right, bins, lambda share, gap: np.abs(gap).mean()),
        "all bins weigh the same",
    ),
    (
        "09.expected_calibration_error",
        lambda confidence, right, bins: ece(confidence, right, bins, lambda share, gap: -share @ gap),
        "gaps of both signs cancel",
    ),
    (
        "09.expected_calibration_error",
        lambda confidence, right, bins: float(abs(right.mean() - confidence.mean())),
        "not of all predictions at once",
    ),
    (
        "09.expected_calibration_error",
        lambda confidence, right, bins: ece(
            confidence, right, bins, lambda share, gap: float(np.abs(gap).max())
        ),
        "the largest gap",
    ),
]


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_answer_is_right(name: str) -> None:
    exercise(name).grade(RIGHT[name])


@pytest.mark.parametrize(("name", "slip", "hint"), WRONG, ids=[f"{name}-{hint}" for name, _, hint in WRONG])
def test_a_typical_wrong_answer_gets_its_hint(name: str, slip: Callable[..., Any], hint: str) -> None:
    with pytest.raises(Wrong, match=hint):
        exercise(name).grade(slip)


def test_the_solution_is_what_the_engine_computes() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(3, 0.4), 200)
    labels = rng.integers(0, 3, 200)
    right = probabilities.argmax(axis=1) == labels
    found = metrics.calibration(labels, probabilities, 10).error
    assert ece(probabilities.max(axis=1), right, 10) == pytest.approx(found)
