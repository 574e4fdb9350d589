"""Rung 2, ten neurons: softmax, the slope of its cross-entropy, and the slopes of a layer's product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet import backends
from tinynet.learn.exercise import Exercise
from tinynet.learn.grading import agree, answer, answer_without_overflow, answers

N, I, O = 3, 5, 4
"""No two alike, so that a transposed matrix shows."""


def _grade_softmax(softmax: Callable[..., Any]) -> None:
    z = np.random.default_rng(0).normal(size=(N, O))
    e = np.exp(z)
    slips = {
        "divided by the sum over the batch: each picture has its own sum, axis=1": e / e.sum(axis=0),
        "divided by the sum of the whole batch: each picture has its own, axis=1": e / e.sum(),
        "not divided: a row of probabilities adds up to 1": e,
        "not divided, and the largest score subtracted": np.exp(z - z.max(axis=1, keepdims=True)),
        "a sigmoid of each score: those do not add up to 1": 1 / (1 + np.exp(-z)),
        "the scores are divided by their sum without e^z": z / z.sum(axis=1, keepdims=True),
        "the logarithm of the probabilities": z - np.log(e.sum(axis=1, keepdims=True)),
    }
    agree(answer(softmax, z, shape=(N, O)), backends.get("numpy").softmax(z), "p", slips)
    far = np.array([[1000.0, 1000.0, 0.0, -1000.0], [-2000.0, -1000.0, -1000.0, -3000.0]])
    slip = "e to a large power: subtract from each row its own largest score first"
    p = answer_without_overflow(softmax, far, shape=far.shape, slip=slip)
    agree(p, np.array([[0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0]]), "p")


def _grade_cross_entropy_backward(backward: Callable[..., Any]) -> None:
    z, labels = np.random.default_rng(1).normal(size=(N, O)), np.array([2, 0, 2])
    ops = backends.get("numpy")
    p, q = ops.softmax(z), np.eye(O)[labels]
    everywhere = p.copy()
    everywhere[:, np.unique(labels)] -= 1.0
    slips = {
        "not divided by N: the loss is the mean over the batch": p - q,
        "divided by N times K: the mean is over the pictures, not over the classes": (p - q) / (N * O),
        "the sign: p - q, not q - p": (q - p) / N,
        "p alone: subtract 1 at the label of each picture": p / N,
        "1 subtracted in whole columns: index with [np.arange(N), labels], row by row": everywhere / N,
        "the scores instead of their softmax": (z - q) / N,
        "the slope of log p alone: q/p has still to go through softmax": -q / p / N,
    }
    expected = ops.softmax_cross_entropy(z, labels, 0.0)[1]
    agree(answer(backward, z, labels, shape=(N, O)), expected, "dz", slips)


def _grade_dense_backward(backward: Callable[..., Any]) -> None:
    rng = np.random.default_rng(2)
    dy, x, W = rng.normal(size=(N, O)), rng.normal(size=(N, I)), rng.normal(size=(I, O))
    dW, db = np.empty((I, O)), np.empty(O)
    dx = backends.get("numpy").dense_backward(dy, x, W, dW, db, True)
    assert dx is not None  # it was asked for
    mean = "the mean over the batch: it is a sum, 1/N is already in dy"
    order = "another order: return dx, dW, db"
    slips = {
        (): "one number: sum over the batch alone, axis=0",
        (1, O): "keepdims is too much here: db has one axis",
        (N,): "summed over the outputs; the batch is axis 0",
        (I, O): order,
        (O,): order,
    }
    found = answers(backward, dy, x, W, shapes={"dx": (N, I), "dW": (I, O), "db": (O,)}, slips=slips)
    agree(found[0], dx, "dx", {mean: dx / N, "x instead of dy": x @ W @ W.T})
    one = np.outer(x[0], dy[0])
    agree(found[1], dW, "dW", {mean: dW / N, "one picture of the batch: sum over all of them": one})
    agree(found[2], db, "db", {mean: db / N, "one picture of the batch: sum over all of them": dy[0]})


EXERCISES = (
    Exercise(
        "02.softmax", "Make probabilities of the scores, row by row, large scores included.", _grade_softmax
    ),
    Exercise(
        "02.cross_entropy_backward",
        "Write the slope of the mean loss in each score.",
        _grade_cross_entropy_backward,
    ),
    Exercise(
        "02.dense_backward", "Write the slopes of the loss in x, W and b, given dy.", _grade_dense_backward
    ),
)
