"""tinynet.learn, rung 2: right answers pass, and each typical wrong one gets its hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinynet.learn.exercise import Wrong
from tinynet.learn.ladder import exercise


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy_backward(z: Any, labels: Any) -> Any:
    dz = softmax(z)
    dz[np.arange(len(z)), labels] -= 1
    return dz / len(z)


def dense_backward(dy: Any, x: Any, W: Any) -> Any:
    return dy @ W.T, x.T @ dy, dy.sum(axis=0)


@pytest.mark.parametrize("right", [softmax, cross_entropy_backward, dense_backward])
def test_a_right_answer_passes(right: Callable[..., Any]) -> None:
    exercise(f"02.{right.__name__}").grade(right)


def in_place(z: Any) -> Any:
    z -= z.max(axis=1, keepdims=True)
    return softmax(z)


def whole_columns(z: Any, labels: Any) -> Any:
    dz = softmax(z)
    dz[:, labels] -= 1
    return dz / len(z)


def with_db(db: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda dy, x, W: (dy @ W.T, x.T @ dy, db(dy))


def in_order(*places: int) -> Callable[..., Any]:
    return lambda dy, x, W: tuple(dense_backward(dy, x, W)[place] for place in places)


WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("softmax", lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), "inputs as large as 3000"),
    (
        "softmax",
        lambda z: np.exp(z - z.max()) / np.exp(z - z.max()).sum(axis=1, keepdims=True),
        "its own largest",
    ),
    ("softmax", lambda z: np.exp(z) / np.exp(z).sum(axis=0), "divided by the sum over the batch"),
    ("softmax", lambda z: np.exp(z) / np.exp(z).sum(), "the sum of the whole batch"),
    ("softmax", lambda z: np.exp(z), "not divided: a row"),
    ("softmax", lambda z: np.exp(z - z.max(axis=1, keepdims=True)), "not divided, and the largest"),
    ("softmax", lambda z: 1 / (1 + np.exp(-z)), "a sigmoid of each score"),
    ("softmax", lambda z: z / z.sum(axis=1, keepdims=True), r"without e\^z"),
    ("softmax", lambda z: np.log(softmax(z)), "the logarithm"),
    ("softmax", in_place, "argument 1 was changed"),
    ("cross_entropy_backward", lambda z, t: cross_entropy_backward(z, t) * len(z), "not divided by N"),
    (
        "cross_entropy_backward",
        lambda z, t: cross_entropy_backward(z, t) / z.shape[1],
        "not over the classes",
    ),
    ("cross_entropy_backward", lambda z, t: -cross_entropy_backward(z, t), "the sign: p - q"),
    ("cross_entropy_backward", lambda z, t: softmax(z) / len(z), "subtract 1 at the label"),
    ("cross_entropy_backward", whole_columns, "1 subtracted in whole columns"),
    ("cross_entropy_backward", lambda z, t: (z - np.eye(4)[t]) / len(z), "instead of their softmax"),
    ("cross_entropy_backward", lambda z, t: -np.eye(4)[t] / softmax(z) / len(z), "has still to go through"),
    ("cross_entropy_backward", lambda z, t: cross_entropy_backward(z, t)[0], "the wrong shape"),
    (
        "dense_backward",
        lambda dy, x, W: (dy @ W.T, dy.T @ x, dy.sum(axis=0)),
        "dW has the wrong shape(.|\n)*transposed",
    ),
    (
        "dense_backward",
        lambda dy, x, W: (dy @ W.T, x.T @ dy, dy),
        "db has the wrong shape(.|\n)*a missing sum",
    ),
    (
        "dense_backward",
        lambda dy, x, W: (dy @ W.T, x.T @ dy / 3, dy.sum(axis=0)),
        "dW is wrong(.|\n)*already in dy",
    ),
    (
        "dense_backward",
        lambda dy, x, W: (dy @ W.T, x.T @ dy, dy.mean(axis=0)),
        "db is wrong(.|\n)*already in dy",
    ),
    (
        "dense_backward",
        lambda dy, x, W: (dy @ W.T, np.outer(x[0], dy[0]), dy.sum(axis=0)),
        "one picture of the batch",
    ),
    ("dense_backward", lambda dy, x, W: (-dy @ W.T, x.T @ dy, dy.sum(axis=0)), "dx is wrong(.|\n)*the sign"),
    ("dense_backward", lambda dy, x, W: (x @ W @ W.T, x.T @ dy, dy.sum(axis=0)), "x instead of dy"),
    ("dense_backward", lambda dy, x, W: (x.T @ dy, dy.sum(axis=0)), "return dx, dW, db"),
    ("dense_backward", with_db(lambda dy: dy.sum(axis=0, keepdims=True)), "keepdims is too much here"),
    ("dense_backward", with_db(lambda dy: dy.sum(axis=1)), "db has the wrong shape(.|\n)*batch is axis 0"),
    ("dense_backward", with_db(lambda dy: dy.sum()), "the batch alone, axis=0"),
    ("dense_backward", in_order(1, 0, 2), "another order: return dx, dW, db"),
    ("dense_backward", in_order(1, 2, 0), "another order"),
    ("dense_backward", in_order(2, 0, 1), "another order"),
    ("dense_backward", in_order(0, 2, 1), "dW has the wrong shape(.|\n)*another order"),
]


@pytest.mark.parametrize(
    ("name", "wrong", "hint"), WRONG, ids=[f"{name}: {number}" for number, (name, _, _) in enumerate(WRONG)]
)
def test_a_wrong_answer_gets_its_hint(name: str, wrong: Callable[..., Any], hint: str) -> None:
    with pytest.raises(Wrong, match=hint):
        exercise(f"02.{name}").grade(wrong)
