"""tinynet.learn, rung 0: right answers pass, and each typical wrong one gets its hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinynet.learn.exercise import Wrong
from tinynet.learn.ladder import exercise


def split(count: int, held_out: int, rng: np.random.Generator) -> Any:
    order = rng.permutation(count)
    return order[held_out:], order[:held_out]


def class_means(x: Any, labels: Any, classes: int) -> Any:
    return np.stack([x[labels == k].mean(axis=0) for k in range(classes)])


def nearest_mean(x: Any, means: Any) -> Any:
    return ((x[:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)


def by_products(x: Any, means: Any) -> Any:
    """The same without x², which all means share."""
    return (x @ means.T - 0.5 * (means**2).sum(axis=1)).argmax(axis=1)


@pytest.mark.parametrize("right", [split, class_means, nearest_mean])
def test_a_right_answer_passes(right: Callable[..., Any]) -> None:
    exercise(f"00.{right.__name__}").grade(right)


def test_a_right_answer_by_another_formula_passes() -> None:
    exercise("00.nearest_mean").grade(by_products)


WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("split", lambda n, m, r: (r.permutation(n)[m:], r.permutation(n)[:m]), "two draws; draw one order"),
    ("split", lambda n, m, r: (r.permutation(n - m), n - 1 - np.arange(m)), "a file sorted by label"),
    ("split", lambda n, m, r: split(n, m, r)[::-1], "train has the wrong shape"),
    ("split", lambda n, m, r: tuple(part + 1 for part in split(n, m, r)), "counted from 1"),
    ("split", lambda n, m, r: split(n, m, np.random.default_rng()), "other than the argument rng"),
    ("split", lambda n, m, r: split(n, m, np.random.default_rng(7)), "with a fixed seed"),
    ("split", lambda n, m, r: list(split(n, m, r)), "return train, validation"),
    (
        "class_means",
        lambda x, t, K: np.stack([x[t == k].sum(axis=0) for k in range(K)]),
        "the sum of each class",
    ),
    ("class_means", lambda x, t, K: np.eye(K)[t].T @ x / len(x), "each class has its own count"),
    ("class_means", lambda x, t, K: np.eye(K)[t].T @ x / K, "divided by the number of classes"),
    ("class_means", lambda x, t, K: np.stack([x.mean(axis=0)] * K), "choose the rows with labels == k"),
    ("class_means", lambda x, t, K: class_means(x, t, K).T, "transposed"),
    ("nearest_mean", lambda x, m: ((x[:, None] - m) ** 2).sum(axis=-1).argmax(axis=1), "the farthest mean"),
    ("nearest_mean", lambda x, m: (x[:, None] - m).sum(axis=-1).argmin(axis=1), "without their squares"),
    ("nearest_mean", lambda x, m: (x @ m.T).argmax(axis=1), "the largest product"),
    ("nearest_mean", lambda x, m: ((x[:, None] - m) ** 2).sum(axis=-1), "the wrong shape"),
    ("nearest_mean", lambda x, m: nearest_mean(x, m) + 1, "counted from 1"),
]


@pytest.mark.parametrize(("name", "wrong", "hint"), WRONG, ids=[f"{name}: {hint}" for name, _, hint in WRONG])
def test_a_wrong_answer_gets_its_hint(name: str, wrong: Callable[..., Any], hint: str) -> None:
    with pytest.raises(Wrong, match=hint):
        exercise(f"00.{name}").grade(wrong)
