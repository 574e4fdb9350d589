"""tinynet.learn, rung 1: right answers pass, and each typical wrong one gets its hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinynet.learn.exercise import Wrong
from tinynet.learn.ladder import exercise


def sigmoid(z: Any) -> Any:
    return np.exp(-np.logaddexp(0.0, -z))


def loss(p: Any, t: Any) -> Any:
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()


def nudge(f: Any, w: Any, h: float) -> Any:
    return np.array([f(w + step) - f(w - step) for step in h * np.eye(len(w))]) / (2 * h)


def slope(x: Any, p: Any, t: Any) -> Any:
    return (p - t) @ x / len(t), float((p - t).mean())


@pytest.mark.parametrize("right", [sigmoid, loss, nudge, slope])
def test_a_right_answer_passes(right: Callable[..., Any]) -> None:
    exercise(f"01.{right.__name__}").grade(right)


def in_place(f: Any, w: Any, h: float) -> Any:
    slopes = np.zeros_like(w)
    for i in range(len(w)):
        w[i] += h
        above = f(w)
        w[i] -= 2 * h
        slopes[i] = (above - f(w)) / (2 * h)
    return slopes


def not_taken_back(f: Any, w: Any, h: float) -> Any:
    w, slopes = w.copy(), np.zeros_like(w)
    for i in range(len(w)):
        before = w.copy()
        w[i] += h
        before[i] -= h
        slopes[i] = (f(w) - f(before)) / (2 * h)
    return slopes


WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("sigmoid", lambda z: 1 / (1 + np.exp(-z)), "inputs as large as 1000 do not come through: overflow"),
    ("sigmoid", lambda z: np.exp(z) / (1 + np.exp(z)), r"e\^-\|z\| is never above 1"),
    ("sigmoid", lambda z: np.where(z < 0, np.exp(z) / (1 + np.exp(z)), sigmoid(z)), "both of its branches"),
    ("sigmoid", lambda z: sigmoid(-z), "the sign of z"),
    ("sigmoid", lambda z: np.tanh(z), "hyperbolic tangent"),
    ("sigmoid", lambda z: np.exp(z), r"divide by 1 \+ e\^z"),
    ("sigmoid", lambda z: 1 / (1 + np.exp(-np.abs(z))), "the wrong way around for negative z"),
    ("loss", lambda p, t: len(t) * loss(p, t), "divide by how many pictures"),
    ("loss", lambda p, t: -loss(p, t), "no minus"),
    ("loss", lambda p, t: -(t * np.log(p)).mean(), "with t = 0 are left out"),
    ("loss", lambda p, t: -((1 - t) * np.log(1 - p)).mean(), "with t = 1 are left out"),
    ("loss", lambda p, t: loss(1 - p, t), "t and 1 - t exchanged"),
    ("loss", lambda p, t: loss(p, t) / np.log(2), "log2"),
    ("loss", lambda p, t: loss(p, t) / np.log(10), "log10"),
    ("loss", lambda p, t: ((p - t) ** 2).mean(), "squared miss"),
    ("loss", lambda p, t: -np.log(np.where(t, p, 1 - p)), "a missing sum"),
    ("nudge", lambda f, w, h: 2 * nudge(f, w, h), "it is 2h"),
    ("nudge", lambda f, w, h: 2 * h * nudge(f, w, h), "not divided by 2h"),
    (
        "nudge",
        lambda f, w, h: np.array([f(w + s) - f(w) for s in h * np.eye(len(w))]) / h,
        "take f.w - h. as well",
    ),
    (
        "nudge",
        lambda f, w, h: np.array([f(w) - f(w - s) for s in h * np.eye(len(w))]) / h,
        "take f.w . h. as well",
    ),
    ("nudge", lambda f, w, h: np.full(len(w), f(w + h) - f(w - h)) / (2 * h), "all weights nudged at once"),
    ("nudge", not_taken_back, "not taken back"),
    ("nudge", in_place, "argument 2 was changed by your function"),
    ("slope", lambda x, p, t: (x.T @ (p - t), (p - t).mean()), "dw is wrong(.|\n)*divide by N"),
    ("slope", lambda x, p, t: (x.T @ (p - t) / len(t), (p - t).sum()), "db is wrong(.|\n)*divide by N"),
    ("slope", lambda x, p, t: tuple(-each for each in slope(x, p, t)), "the sign: p - t"),
    ("slope", lambda x, p, t: slope(x, p * p * (1 - p), t * p * (1 - p)), "it cancels against"),
    ("slope", lambda x, p, t: slope(x, p, 0 * t), "p instead of the miss"),
    ("slope", lambda x, p, t: (x.T @ (p - t) / x.shape[1], (p - t).mean()), "by the number of weights"),
    ("slope", lambda x, p, t: (slope(x, p, t)[0], (x.sum(axis=1) * (p - t)).mean()), "b has no input"),
    ("slope", lambda x, p, t: x.T @ (p - t) / len(t), "return dw, db"),
    ("slope", lambda x, p, t: (x * (p - t)[:, None] / len(t), (p - t).mean()), "a missing sum"),
]


@pytest.mark.parametrize(("name", "wrong", "hint"), WRONG, ids=[f"{name}: {hint}" for name, _, hint in WRONG])
def test_a_wrong_answer_gets_its_hint(name: str, wrong: Callable[..., Any], hint: str) -> None:
    with pytest.raises(Wrong, match=hint):
        exercise(f"01.{name}").grade(wrong)
