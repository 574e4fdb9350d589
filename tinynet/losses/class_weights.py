"""Weights for classes: what errors on each count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tinynet.checks import real, refusal
from tinynet.errors import ConfigError, DataError, ShapeError
from tinynet.losses.base import check_label_range
from tinynet.types import Array


def class_weights(weights: str | Sequence[float] | Mapping[int, float], labels: Array, classes: int) -> Array:
    """The weight of each sample, float64 (N,), by its class, from labels (N,) or (N, 1) of 0 … K-1.

    `weights` has a number from 0 for each of the K `classes`, not all of them 0; or it is a table from class
    number to weight, the others having 1; or "balanced": by the labels that are given, see `balanced`.
    Raises ConfigError, ShapeError or DataError.
    """
    if labels.dtype.kind not in "iu" or labels.ndim > 2 or labels.shape[1:] not in ((), (1,)):
        raise ConfigError(
            "only classes take class weights",
            expected="targets that are class numbers, (N,)",
            received=f"{labels.dtype} {labels.shape}",
            fix="give each sample a weight: sample_weight",
        )
    labels = labels.reshape(-1)
    check_label_range(labels, classes)
    if isinstance(weights, str):
        if weights != "balanced":
            raise ConfigError(
                "these are no class weights",
                expected='a list of numbers from 0, one for each class, a dict, or "balanced"',
                received=repr(weights),
            )
        return balanced(labels, classes)[labels]
    return _table(weights, classes)[labels]


def balanced(labels: Array, classes: int) -> Array:
    """A weight for each class by which all count alike: N / (K · its samples), as scikit-learn's "balanced".

    labels (N,) of 0 … K-1. Raises DataError for a class without samples.
    """
    counts = np.bincount(labels, minlength=classes)
    if not counts.all():
        raise DataError(
            f"no training sample is of class {int(np.argmin(counts > 0))}, so it cannot be given its share",
            expected=f"samples of each of the {classes} classes",
            received=f"none of {int((counts == 0).sum())} of them",
            fix="give weights as a table, or leave the class out",
        )
    weights: Array = len(labels) / (classes * counts)
    return weights


def _table(weights: Sequence[float] | Mapping[int, float], classes: int) -> Array:
    """A number from 0 for each class, at least one of them above 0."""
    owner, setting = "training", "class_weight"
    if isinstance(weights, Mapping):
        if not weights or not weights.keys() <= {*range(classes)}:
            raise refusal(weights, owner, setting, f"a weight for some of the classes 0 … {classes - 1}")
        weights = [weights.get(label, 1.0) for label in range(classes)]
    expected = "a list of numbers from 0, one for each class, not all of them 0"
    if not isinstance(weights, list | tuple | np.ndarray) or not np.size(weights) or not np.ndim(weights):
        raise refusal(weights, owner, setting, expected)
    found = np.array([real(each, owner, setting, least=0) for each in weights], np.float64)
    if not found.any():
        raise refusal(weights, owner, setting, expected)
    if len(found) != classes:
        raise ShapeError(
            "there are not as many weights as classes",
            expected=f"{classes}, one for each class",
            received=f"{len(found)}",
        )
    return found
