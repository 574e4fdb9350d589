"""Rung 1, one neuron: its probability, its loss, and the slope of the loss, by nudging and by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.learn.exercise import Exercise
from tinynet.learn.grading import agree, answer, answer_without_overflow, answers
from tinynet.types import Array


def _sigmoid(z: Array) -> Array:
    p: Array = 0.5 * (1.0 + np.tanh(0.5 * z))
    return p


def _grade_sigmoid(sigmoid: Callable[..., Any]) -> None:
    z = np.array([-3.0, -0.5, 0.0, 0.25, 2.0])
    slips = {
        "the sign of z: a large z is a probability near 1": _sigmoid(-z),
        "e^z alone: divide by 1 + e^z": np.exp(z),
        "the hyperbolic tangent, which goes from -1 to 1": np.tanh(z),
        "1 and e^z the wrong way around for negative z": np.where(z >= 0, _sigmoid(z), _sigmoid(-z)),
    }
    agree(answer(sigmoid, z, shape=(5,)), _sigmoid(z), "p", slips)
    far = np.array([-1000.0, 1000.0, 0.0])
    slip = "e to a large power; e^-|z| is never above 1 (np.where computes both of its branches)"
    agree(answer_without_overflow(sigmoid, far, shape=(3,), slip=slip), np.array([0.0, 1.0, 0.5]), "p")


def _grade_loss(loss: Callable[..., Any]) -> None:
    p, t = np.array([0.9, 0.2, 0.35, 0.6, 0.05]), np.array([1, 0, 1, 0, 0])
    each = -np.log(np.where(t == 1, p, 1 - p))
    slips = {
        "the sum: divide by how many pictures there are": each.sum(),
        "no minus: log of a probability is negative": -each.mean(),
        "the pictures with t = 0 are left out": -(t * np.log(p)).mean(),
        "the pictures with t = 1 are left out": -((1 - t) * np.log(1 - p)).mean(),
        "t and 1 - t exchanged": -np.log(np.where(t == 1, 1 - p, p)).mean(),
        "log2: np.log is the natural logarithm": each.mean() / np.log(2.0),
        "log10: np.log is the natural logarithm": each.mean() / np.log(10.0),
        "the squared miss: take the logarithm": ((p - t) ** 2).mean(),
    }
    agree(answer(loss, p, t, shape=()), each.mean(), "the loss", slips)


def _grade_nudge(nudge: Callable[..., Any]) -> None:
    w, h, c = np.array([0.4, -1.1, 0.7]), 1e-3, np.array([2.0, -1.0, 0.5])

    def f(w: Array) -> float:
        return float(np.sin(w) @ c + w[0] * w[1] * w[2] + (w**3).sum())

    steps = h * np.eye(3)
    central = np.array([f(w + step) - f(w - step) for step in steps]) / (2 * h)
    kept = [f(w + steps[: i + 1].sum(axis=0)) - f(w + steps[:i].sum(axis=0) - steps[i]) for i in range(3)]
    slips = {
        "divided by h: from w - h to w + h it is 2h": central * 2,
        "not divided by 2h": central * 2 * h,
        "one side only: take f(w - h) as well, which is far more exact": np.array(
            [f(w + s) - f(w) for s in steps]
        )
        / h,
        "one side only: take f(w + h) as well, which is far more exact": np.array(
            [f(w) - f(w - s) for s in steps]
        )
        / h,
        "the nudge is not taken back before the next weight is nudged": np.array(kept) / (2 * h),
        "all weights nudged at once: nudge one, and leave the others": np.full(3, f(w + h) - f(w - h))
        / (2 * h),
    }
    agree(answer(nudge, f, w, h, shape=(3,)), central, "the slope", slips, tolerance=1e-8)


def _grade_slope(slope: Callable[..., Any]) -> None:
    rng = np.random.default_rng(3)
    x, t = rng.normal(size=(5, 3)), np.array([1, 0, 1, 1, 0])
    p = _sigmoid(rng.normal(size=5))
    miss = p - t
    dw, db = answers(slope, x, p, t, shapes={"dw": (3,), "db": ()})
    slips = {
        "summed over the pictures: the loss is their mean, so divide by N": x.T @ miss,
        "the sign: p - t, not t - p": -x.T @ miss / 5,
        "p (1 - p) is still there: it cancels against the slope of the logarithm": x.T
        @ (miss * p * (1 - p))
        / 5,
        "p instead of the miss p - t": x.T @ p / 5,
        "divided by the number of weights: divide by the number of pictures": x.T @ miss / 3,
    }
    agree(dw, x.T @ miss / 5, "dw", slips)
    slips = {
        "summed over the pictures: the loss is their mean, so divide by N": miss.sum(),
        "the sign: p - t, not t - p": -miss.mean(),
        "p (1 - p) is still there: it cancels against the slope of the logarithm": (
            miss * p * (1 - p)
        ).mean(),
        "multiplied by the input: b has no input, it moves z by 1": (x.sum(axis=1) * miss).mean(),
    }
    agree(db, miss.mean(), "db", {name: np.asarray(value) for name, value in slips.items()})


EXERCISES = (
    Exercise("01.sigmoid", "Make a probability of each score, large scores included.", _grade_sigmoid),
    Exercise("01.loss", "Average minus the logarithm of what the true answers were given.", _grade_loss),
    Exercise(
        "01.nudge", "Find the slope of f in each weight by nudging that weight to both sides.", _grade_nudge
    ),
    Exercise("01.slope", "Write the slope of the loss in the weights and in b, by hand.", _grade_slope),
)
