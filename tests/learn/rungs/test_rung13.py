"""Rung 13: right answers pass and are the engine's, and each typical wrong one gets its hint."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tinynet.averaging import ExponentialMovingAverage
from tinynet.layers import Dense, Flatten
from tinynet.learn.exercise import Wrong
from tinynet.learn.ladder import exercise
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.runs.predictions import predict
from tinynet.types import Array


def with_a_start(t: int, decay: float) -> float:
    return min(decay, t / (t + 9))


def moving_average(
    weights: Array,
    decay: float,
    share: Callable[[int, float], float] = with_a_start,
) -> Array:
    """The average moved towards the new weights, step by step; `share` is what slips do otherwise."""
    found = np.zeros_like(weights)
    average = np.zeros(weights.shape[1])
    for t in range(len(weights)):
        average = average + (1 - share(t, decay)) * (weights[t] - average)
        found[t] = average
    return found


def by_share(share: Callable[[int, float], float]) -> Callable[..., Any]:
    return lambda weights, decay: moving_average(weights, decay, share)


def from_the_first(weights: Array, decay: float) -> Array:
    found = weights.copy()
    for t in range(1, len(weights)):
        found[t] = decay * found[t - 1] + (1 - decay) * weights[t]
    return found


def as_adam_does(weights: Array, decay: float) -> Array:
    powers = decay ** np.arange(1, len(weights) + 1)
    return moving_average(weights, decay, lambda t, decay: decay) / (1 - powers)[:, None]


def in_place(weights: Array, decay: float) -> Array:
    weights[...] = moving_average(weights, decay)
    return weights


SIDES = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
CORNERS = [(1, 1), (1, -1), (-1, 1), (-1, -1)]


def zeros_in(images: Array, down: int, right: int, axes: Sequence[int] = (1, 2)) -> Array:
    moved = np.roll(images, (down, right), tuple(axes))
    for axis, by in zip(axes, (down, right), strict=True):
        border = [slice(None)] * 4
        border[axis] = slice(0, by) if by > 0 else slice(images.shape[axis] + by, None)
        if by:
            moved[tuple(border)] = 0
    return moved


def edge_in(images: Array, down: int, right: int) -> Array:
    H, W = images.shape[1:3]
    rows, columns = np.clip(np.arange(H) - down, 0, H - 1), np.clip(np.arange(W) - right, 0, W - 1)
    return images[:, rows][:, :, columns]


def said(say: Any, images: Array, move: Callable[..., Array] = zeros_in, shifts: Any = SIDES) -> Array:
    """What a net says of each view (views, N, K)."""
    return np.stack([say(move(images, *shift)) for shift in shifts])


def shifted_mean(say: Any, images: Array) -> Array:
    return said(say, images).mean(axis=0)


def moved_by(move: Callable[..., Array] = zeros_in, shifts: Any = SIDES) -> Callable[..., Any]:
    return lambda say, images: said(say, images, move, shifts).mean(axis=0)


def of_all(reduce: Callable[[Array], Any]) -> Callable[..., Any]:
    return lambda say, images: reduce(said(say, images))


def rolled(images: Array, down: int, right: int) -> Array:
    return np.roll(images, (down, right), (1, 2))


def along(*axes: int) -> Callable[..., Array]:
    return lambda images, down, right: zeros_in(images, down, right, axes)


def rolled_along(*axes: int) -> Callable[..., Array]:
    return lambda images, *shift: np.roll(images, shift, axes)


def by_logarithms(say: Any, images: Array) -> Array:
    mean = np.exp(np.log(said(say, images)).mean(axis=0))
    return mean / mean.sum(axis=1, keepdims=True)


def cut_off(say: Any, images: Array) -> Array:
    return np.mean([say(images), say(images[:, 1:])], axis=0)


def counted(probabilities: Array) -> Array:
    """Votes (N, K)."""
    classes = np.arange(probabilities.shape[2])
    return (probabilities.argmax(axis=2)[..., None] == classes).sum(axis=0)


def majority(probabilities: Array) -> Array:
    return (counted(probabilities) + probabilities.mean(axis=0) / 2).argmax(axis=1)


def mean_in_a_tie(probabilities: Array) -> Array:
    votes = counted(probabilities)
    tied = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) > 1
    return np.where(tied, probabilities.mean(axis=0).argmax(axis=1), votes.argmax(axis=1))


def first_in_a_tie(probabilities: Array) -> Array:
    votes = counted(probabilities)
    tied = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) > 1
    return np.where(tied, probabilities[0].argmax(axis=1), votes.argmax(axis=1))


def last_in_a_tie(probabilities: Array) -> Array:
    votes = counted(probabilities)
    return votes.shape[1] - 1 - votes[:, ::-1].argmax(axis=1)


def surest_in_a_tie(probabilities: Array) -> Array:
    return (counted(probabilities) + probabilities.max(axis=0) / 2).argmax(axis=1)


def sign_test(first: Array, second: Array) -> float:
    only = sorted([int((first & ~second).sum()), int((second & ~first).sum())])
    return min(1.0, 2 * at_most(only[0], sum(only)))


def at_most(k: int, n: int) -> float:
    """The chance of so many heads or fewer."""
    return sum(math.comb(n, i) * 0.5**n for i in range(k + 1))


def by_counts(form: Callable[[int, int], float]) -> Callable[..., Any]:
    return lambda first, second: float(form((first & ~second).sum(), (second & ~first).sum()))


def with_all_images(first: Array, second: Array) -> float:
    larger = max(int((first & ~second).sum()), int((second & ~first).sum()))
    return min(1.0, 2 * at_most(len(first) - larger, len(first)))


RIGHT: list[Callable[..., Any]] = [moving_average, shifted_mean, majority, sign_test]


@pytest.mark.parametrize("right", RIGHT)
def test_a_right_answer_passes(right: Callable[..., Any]) -> None:
    exercise(f"13.{right.__name__}").grade(right)


WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("moving_average", by_share(lambda t, decay: 1 - min(decay, t / (t + 9))), "exchanged: d is the share"),
    ("moving_average", by_share(lambda t, decay: decay), "made of zeros"),
    ("moving_average", from_the_first, "the first weights count too long"),
    ("moving_average", by_share(lambda t, decay: max(decay, t / (t + 9))), "to be the smaller"),
    ("moving_average", by_share(lambda t, decay: t / (t + 9)), "decay is never used"),
    ("moving_average", by_share(lambda t, decay: min(decay, (t + 1) / (t + 10))), "it is 0 at the first"),
    (
        "moving_average",
        by_share(lambda t, decay: min(decay, (t + 1) / (t + 10)) if t else 0),
        "it is 1 there",
    ),
    ("moving_average", lambda w, decay: w.cumsum(axis=0) / np.arange(1, len(w) + 1)[:, None], "forgets"),
    ("moving_average", as_adam_does, "Adam's start"),
    ("moving_average", lambda w, decay: w.copy(), "the weights themselves"),
    ("moving_average", lambda w, decay: moving_average(w, decay)[-1], "after every step"),
    ("moving_average", lambda w, decay: [*moving_average(w, decay)], r"np\.array makes"),
    ("moving_average", in_place, "was changed by your function"),
    ("moving_average", lambda w, decay: None, "missing `return`"),
    ("shifted_mean", moved_by(rolled), "what leaves on the other"),
    ("shifted_mean", moved_by(edge_in), "the edge is repeated"),
    ("shifted_mean", moved_by(shifts=SIDES[1:]), "counts, too: five"),
    ("shifted_mean", moved_by(shifts=[*SIDES, (0, 0)]), "counts twice"),
    ("shifted_mean", of_all(lambda all_: all_.sum(axis=0)), "a sum; divide"),
    ("shifted_mean", of_all(lambda all_: all_.sum(axis=0) / 4), "divided by four"),
    ("shifted_mean", by_logarithms, "take that of the probabilities"),
    ("shifted_mean", of_all(lambda all_: np.exp(np.log(all_).mean(axis=0))), "not even normalised"),
    (
        "shifted_mean",
        lambda say, x: say(np.mean([zeros_in(x, *shift) for shift in SIDES], axis=0)),
        "the net is to see each",
    ),
    ("shifted_mean", moved_by(shifts=SIDES + CORNERS), "diagonal moves count as well"),
    ("shifted_mean", moved_by(shifts=SIDES[:1] + CORNERS), "only the diagonal moves"),
    ("shifted_mean", moved_by(along(0, 1)), "^(?s:.*)likely slip: axis 0 is the batch"),
    ("shifted_mean", moved_by(along(2, 3)), "likely slip: the last axis is the channels"),
    ("shifted_mean", moved_by(rolled_along(0, 1)), "with np.roll, and axis 0 is the batch"),
    ("shifted_mean", moved_by(rolled_along(2, 3)), "with np.roll, and the last axis"),
    ("shifted_mean", moved_by(shifts=[(2 * y, 2 * x) for y, x in SIDES]), "by two pixels"),
    ("shifted_mean", moved_by(shifts=[(0, 0), (1, 0), (0, 1)]), "only down and to the right"),
    ("shifted_mean", lambda say, x: say(x), "nothing was moved"),
    (
        "shifted_mean",
        of_all(lambda all_: (all_ == all_.max(axis=2, keepdims=True)).mean(axis=0)),
        "has one vote",
    ),
    ("shifted_mean", of_all(lambda all_: all_.max(axis=0)), "the largest of the five"),
    ("shifted_mean", of_all(lambda all_: all_), "their mean is missing"),
    ("shifted_mean", of_all(lambda all_: all_.mean(axis=0).argmax(axis=1)), "the classes; their"),
    ("shifted_mean", of_all(lambda all_: all_.mean(axis=(0, 1))), "the mean over the batch"),
    ("shifted_mean", cut_off, "added or cut off"),
    ("majority", lambda p: p.mean(axis=0).argmax(axis=1), "count the nets' answers first"),
    ("majority", lambda p: counted(p).argmax(axis=1), "to the lower class"),
    ("majority", last_in_a_tie, "to the higher class"),
    ("majority", mean_in_a_tie, "only the classes with the most votes"),
    ("majority", first_in_a_tie, "the first net's answer"),
    ("majority", surest_in_a_tie, "a tie goes to the surest net"),
    ("majority", lambda p: p.max(axis=0).argmax(axis=1), "the surest net alone"),
    ("majority", lambda p: counted(p).argmin(axis=1), "the fewest votes"),
    ("majority", lambda p: p[0].argmax(axis=1), "the first net alone"),
    ("majority", lambda p: np.median(p.argmax(axis=2), axis=0), "the median of class numbers"),
    ("majority", lambda p: p.argmax(axis=2).mean(axis=0).round(), "the mean of class numbers"),
    ("majority", counted, "the class of each image"),
    ("majority", lambda p: p.argmax(axis=2), "their vote is missing"),
    ("majority", lambda p: p.mean(axis=1).argmax(axis=1), "one class for each image"),
    ("majority", lambda p: majority(p).tolist(), r"np\.array makes"),
    ("sign_test", by_counts(lambda b, c: at_most(min(b, c), b + c)), "one side only"),
    ("sign_test", by_counts(lambda b, c: 2 * at_most(min(b, c), b + c)), r"take min\(1, …\)"),
    ("sign_test", by_counts(lambda b, c: 2 * at_most(min(b, c) - 1, b + c)), "what was found counts, too"),
    (
        "sign_test",
        by_counts(lambda b, c: min(1, 2 * math.comb(b + c, c) / 2 ** int(b + c))),
        "just these counts",
    ),
    ("sign_test", by_counts(lambda b, c: min(1, 2 * at_most(max(b, c), b + c))), "from the smaller count up"),
    ("sign_test", by_counts(lambda b, c: min(1, 2 * at_most(c, b + c))), "of the first net alone"),
    ("sign_test", by_counts(lambda b, c: min(1, 2 * at_most(b, b + c))), "of the second net alone"),
    ("sign_test", with_all_images, "they say nothing"),
    ("sign_test", by_counts(lambda b, c: (b - c) ** 2 / max(b + c, 1)), "not yet a chance"),
    (
        "sign_test",
        by_counts(lambda b, c: math.erfc(math.sqrt((b - c) ** 2 / max(b + c, 1) / 2))),
        "χ² of McNemar",
    ),
    (
        "sign_test",
        by_counts(lambda b, c: math.erfc(max(abs(b - c) - 1, 0) / math.sqrt(2 * max(b + c, 1)))),
        "χ² with a correction",
    ),
    ("sign_test", lambda a, b: 1 - sign_test(a, b), "1 minus it"),
    ("sign_test", lambda a, b: (sign_test(a, b), 1), "received: tuple"),
]


@pytest.mark.parametrize(("name", "wrong", "hint"), WRONG, ids=[f"{name}: {hint}" for name, _, hint in WRONG])
def test_a_wrong_answer_gets_its_hint(name: str, wrong: Callable[..., Any], hint: str) -> None:
    with pytest.raises(Wrong, match=hint):
        exercise(f"13.{name}").grade(wrong)


def net() -> Sequential:
    return Sequential([Flatten(), Dense(3)], (6, 5, 1), backend="numpy", dtype="float64", seed=1)


def test_the_average_is_the_engines() -> None:
    model, rng = net(), np.random.default_rng(0)
    weights = rng.normal(size=(30, len(model.store.learning_values)))
    average = ExponentialMovingAverage(model, 0.6)
    for step, now in enumerate(weights):
        model.store.learning_values[...] = now
        average.move(average.gain(step))
    np.testing.assert_allclose(average.values, moving_average(weights, 0.6)[-1], rtol=1e-12)


def test_the_mean_over_shifts_is_the_engines_where_nothing_touches_the_edge() -> None:
    model, loss, rng = net(), SoftmaxCrossEntropy(), np.random.default_rng(0)
    loss.start(model)
    images = np.zeros((4, 6, 5, 1))
    images[:, 1:-1, 1:-1] = rng.random((4, 4, 3, 1))
    found = shifted_mean(lambda views: loss.probabilities(model.predict(views)), images)
    np.testing.assert_allclose(found, predict(model, loss, images, shifts=1).probabilities, rtol=1e-12)
