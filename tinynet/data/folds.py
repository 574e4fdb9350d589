"""Folds of a training set, for cross-validation: each with the same share of each class."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from tinynet.data.datasets import Dataset, Split
from tinynet.errors import ConfigError
from tinynet.rng import Key, Stream, permutation
from tinynet.types import Array


def assign(labels: Array, folds: int, seed: int) -> Array:
    """The fold (0 … K-1) of each image, int64 (N,), from labels (N,).

    The images of each class are shuffled and dealt out in turn, so that neither the folds nor a class in
    them differ by more than one image. Raises ConfigError for fewer than 2 folds, or than images of a class.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if not 2 <= folds <= counts.min():
        raise ConfigError(
            "the images cannot be cut into so many folds",
            expected=f"2 to {counts.min()}, the images of class {classes[counts.argmin()]}",
            received=folds,
            fix="choose another --folds",
        )
    fold = np.empty(len(labels), dtype=np.int64)
    dealt = 0
    for label, count in zip(classes.tolist(), counts.tolist(), strict=True):
        members = np.flatnonzero(labels == label)[permutation(Key(seed, Stream.FOLDS, layer=label), count)]
        fold[members] = (dealt + np.arange(count)) % folds
        dealt += count
    return fold


def part(data: Dataset, number: int, folds: int, seed: int) -> Dataset:
    """The data set of fold `number` (1 … K): its images test what the other folds' images teach."""
    ours = assign(data.train.labels, folds, seed) == number - 1
    images, labels, files = data.train.images, data.train.labels, data.train.files
    return dataclasses.replace(
        data,
        name=f"{data.name}, fold {number} of {folds}",
        train=Split(images[~ours], labels[~ours]),
        test=Split(images[ours], labels[ours], None if files is None else files[ours]),
        sha256=hashlib.sha256(data.sha256.encode() + ours.tobytes()).hexdigest(),
    )
