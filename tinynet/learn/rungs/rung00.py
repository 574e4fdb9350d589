"""Rung 0, look at the data: split honestly, average the pictures of a class, find the nearest average."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.learn.exercise import Exercise, Wrong
from tinynet.learn.grading import agree, answer, answers


def _grade_split(split: Callable[..., Any]) -> None:
    for count, held_out in ((11, 3), (60, 25)):
        shapes = {"train": (count - held_out,), "validation": (held_out,)}

        def rows(
            seed: int, count: int = count, held_out: int = held_out, shapes: Any = shapes
        ) -> list[set[int]]:
            rng = np.random.default_rng(seed)
            parts = answers(split, count, held_out, rng, shapes=shapes, dtype="int64")
            return [set(part.tolist()) for part in parts]

        train, validation = rows(0)
        if shared := train & validation:
            raise Wrong(
                f"row {min(shared)} is in both parts\n"
                "  expected: no row is in both\n"
                "  likely slip: two draws; draw one order of all rows, and cut it in two"
            )
        if missing := set(range(count)) - train - validation:
            raise Wrong(
                f"row {min(missing)} of {count} is in neither part\n"
                f"  expected: every row from 0 to {count - 1} once\n"
                "  likely slip: drawn with replacement, or counted from 1; try rng.permutation(count)"
            )
        if validation in (set(range(held_out)), set(range(count - held_out, count))):
            raise Wrong(
                f"the rows held out are {min(validation)} to {max(validation)}, in file order\n"
                "  expected: rows from all over the file\n"
                "  likely slip: not shuffled; a file sorted by label would hold out one label only"
            )
        if rows(0) != [train, validation]:
            raise Wrong(
                "the same seed gave two different splits\n"
                "  expected: whoever runs it again gets the same rows\n"
                "  likely slip: a generator other than the argument rng"
            )
        if rows(1) == [train, validation]:
            raise Wrong(
                "two seeds gave the same split\n"
                "  expected: rng decides\n"
                "  likely slip: a generator of your own with a fixed seed"
            )


def _grade_class_means(class_means: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    x, labels, classes = rng.normal(size=(7, 3)), np.array([2, 0, 1, 0, 3, 2, 0]), 4
    sums = np.array([x[labels == k].sum(axis=0) for k in range(classes)])
    counts = np.bincount(labels, minlength=classes)[:, None]
    slips = {
        "the sum of each class: divide by how many pictures it has": sums,
        "divided by the number of all pictures: each class has its own count": sums / len(x),
        "divided by the number of classes: divide by how many pictures the class has": sums / classes,
        "the mean of all pictures in every row: choose the rows with labels == k": np.tile(
            x.mean(axis=0), (classes, 1)
        ),
    }
    found = answer(class_means, x, labels, classes, shape=(classes, 3))
    agree(found, sums / counts, "means", slips)


def _grade_nearest_mean(nearest_mean: Callable[..., Any]) -> None:
    rng = np.random.default_rng(1)
    x, means = (
        rng.normal(size=(40, 3)),
        rng.normal(size=(5, 3)) * np.array([[0.3], [0.6], [1.0], [1.5], [3.0]]),
    )
    apart = x[:, None] - means
    distances = (apart**2).sum(axis=2)
    slips = {
        "the farthest mean: argmin finds the smallest distance": distances.argmax(axis=1),
        "differences without their squares: those above and below 0 cancel": apart.sum(axis=2).argmin(axis=1),
        "the largest product: a long mean wins it; subtract half of its square": (x @ means.T).argmax(axis=1),
        "the first pixel alone: sum over all of them": (apart[..., 0] ** 2).argmin(axis=1),
        "counted from 1: the first class is 0": distances.argmin(axis=1) + 1,
    }
    found = answer(nearest_mean, x, means, shape=(40,), dtype="int64")
    agree(found, distances.argmin(axis=1), "the label", slips)


EXERCISES = (
    Exercise(
        "00.split",
        "Cut the rows 0 … count-1, shuffled by rng, into two parts without a common row.",
        _grade_split,
    ),
    Exercise("00.class_means", "Average the pictures of each class.", _grade_class_means),
    Exercise("00.nearest_mean", "Say for each picture which mean is nearest.", _grade_nearest_mean),
)
