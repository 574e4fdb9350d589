"""Rung 13, 99.7 %: the moving average of weights, the mean over shifts, a vote of nets, and a paired test."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinynet.learn.exercise import Exercise, Wrong
from tinynet.learn.grading import agree, answer
from tinynet.types import Array

STEPS = 40
"""More than the start of an average with one of the DECAYS takes, fewer than with the other."""
DECAYS = (0.6, 0.95)


def _grade_average(moving_average: Callable[..., Any]) -> None:
    rng = np.random.default_rng(131)
    for decay in DECAYS:
        weights = rng.normal(2, 1, (STEPS, 3)).cumsum(axis=0)
        agree(
            answer(
                moving_average,
                weights,
                decay,
                shape=weights.shape,
                slips={weights.shape[1:]: "only one of them; the average after every step is asked for"},
            ),
            _averaged(weights, _with_start(decay)),
            f"the averages of {STEPS} steps with decay {decay:g}",
            _average_slips(weights, decay),
        )


def _with_start(decay: float) -> Callable[[int], float]:
    return lambda t: min(decay, t / (t + 9))


def _average_slips(weights: Array, decay: float) -> dict[str, Array]:
    shares: dict[str, Callable[[int], float]] = {
        "exchanged: d is the share of the old average, 1 - d that of the new weights": lambda t: (
            1 - min(decay, t / (t + 9))
        ),
        "the start is missing: with d = decay from the first step on, it is made of zeros": lambda t: decay,
        "the first weights count too long: d = min(decay, t / (t + 9)), not decay at once": lambda t: (
            decay if t else 0
        ),
        "the larger of the two; it is to be the smaller, min(decay, t / (t + 9))": lambda t: max(
            decay, t / (t + 9)
        ),
        "decay is never used; from some step on d is decay": lambda t: t / (t + 9),
        "t counts the steps before this one: it is 0 at the first": lambda t: min(decay, (t + 1) / (t + 10)),
        "t is one too large from the second step on: it is 1 there": lambda t: (
            min(decay, (t + 1) / (t + 10)) if t else 0
        ),
        "the mean of all steps; a moving average forgets": lambda t: t / (t + 1),
    }
    powers = decay ** np.arange(1, STEPS + 1)
    return {name: _averaged(weights, share) for name, share in shares.items()} | {
        "that is Adam's start, divided by 1 - decay^t; here d itself begins at 0": _averaged(
            weights, lambda t: decay
        )
        / (1 - powers)[:, None],
        "the weights themselves": weights,
    }


def _averaged(weights: Array, share: Callable[[int], float]) -> Array:
    """The average after each step; `share(t)` is that of the old one after t steps. weights, result (T, D)"""
    average, found = np.zeros(weights.shape[1]), []
    for t, now in enumerate(weights):
        d = share(t)
        average = d * average + (1 - d) * now
        found.append(average)
    return np.array(found)


SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""Pixels down and to the right: the image as it is first."""
DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def _grade_shifted(shifted_mean: Callable[..., Any]) -> None:
    rng = np.random.default_rng(132)
    for N, (H, W), C, K in ((3, (5, 6), 2, 4), (4, (6, 4), 3, 3)):
        images = rng.integers(0, 256, (N, H, W, C), np.uint8)
        say = _net((H, W, C), K, rng)
        shapes = {
            (N,): "the classes; their probabilities are asked for",
            (K,): "the mean over the batch, too; axis=0 of the stacked answers is that of the shifts",
            (len(SHIFTS), N, K): "the answers to all five; their mean is missing",
            (N, K, len(SHIFTS)): "the answers to all five; their mean is missing",
        }
        agree(
            answer(shifted_mean, say, images, shape=(N, K), slips=shapes),
            np.mean([say(view) for view in _moved(images)], axis=0),
            f"the mean over the shifts of {N} images",
            _shift_slips(say, images),
        )


def _shift_slips(say: Callable[[Array], Array], images: Array) -> dict[str, Array]:
    def mean(shifts: tuple[tuple[int, int], ...] = SHIFTS, **how: Any) -> Array:
        return np.asarray(np.mean([say(view) for view in _moved(images, shifts, **how)], axis=0))

    right = np.array([say(view) for view in _moved(images)])
    logarithms = np.exp(np.log(right).mean(axis=0))
    batch, channels = (
        "axis 0 is the batch: rows are axis 1, columns axis 2",
        "the last axis is the channels: rows are axis 1, columns axis 2",
    )
    return {
        "np.roll brings back on one side what leaves on the other; zeros move in": mean(fill="roll"),
        "the edge is repeated; zeros move in": mean(fill="edge"),
        "the image as it is counts, too: five answers": mean(SHIFTS[1:]),
        "the image as it is counts twice": mean((*SHIFTS, SHIFTS[0])),
        "a sum; divide it by five": right.sum(axis=0),
        "a sum of five, divided by four": right.sum(axis=0) / 4,
        "the mean of logarithms, such as scores are; take that of the probabilities": logarithms
        / logarithms.sum(axis=1, keepdims=True),
        "the mean of logarithms, and not even normalised; take that of the probabilities": logarithms,
        "the mean of the images goes through the net once; the net is to see each of the five": say(
            np.mean([*_moved(images)], axis=0)
        ),
        "diagonal moves count as well; only the four sides are asked for": mean(SHIFTS + DIAGONAL),
        "only the diagonal moves; up, down, left and right are asked for": mean(SHIFTS[:1] + DIAGONAL),
        batch: mean(axes=(0, 1)),
        f"with np.roll, and {batch}": mean(axes=(0, 1), fill="roll"),
        channels: mean(axes=(2, 3)),
        f"with np.roll, and {channels}": mean(axes=(2, 3), fill="roll"),
        "moved by two pixels, not by one": mean(tuple((2 * y, 2 * x) for y, x in SHIFTS)),
        "only down and to the right; up and to the left are missing": mean(((0, 0), (1, 0), (0, 1))),
        "nothing was moved": right[0],
        "each of the five has one vote; average the probabilities": np.mean(
            right == right.max(axis=2, keepdims=True), axis=0
        ),
        "the largest of the five; the mean is asked for": right.max(axis=0),
    }


def _net(shape: tuple[int, ...], K: int, rng: Any) -> Callable[[Array], Array]:
    """A function from images (N, *shape) to probabilities (N, K), by which each pixel counts."""
    rows = rng.normal(0, 3 / math.sqrt(math.prod(shape)), (math.prod(shape), K))

    def say(images: Array) -> Array:
        images = np.asarray(images)
        if images.shape[1:] != shape:
            raise Wrong(
                "the net was given something else\n"
                f"  expected: images (N, {', '.join(map(str, shape))})\n  received: {images.shape}\n"
                "  likely slip: a border was added or cut off, or the size is fixed: images.shape says it"
            )
        scores = np.tanh(images.reshape(len(images), -1) / 128 - 1) @ rows
        raised = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    return say


def _moved(
    images: Array,
    shifts: tuple[tuple[int, int], ...] = SHIFTS,
    *,
    axes: tuple[int, int] = (1, 2),
    fill: str = "zeros",
) -> Iterator[Array]:
    """Images moved along two axes by each of `shifts`; zeros move in, or the edge, or what left (roll)."""
    for shift in shifts:
        if fill == "roll":
            yield np.roll(images, shift, axes)
            continue
        by = dict(zip(axes, shift, strict=True))
        room = [(max(by.get(axis, 0), 0), max(-by.get(axis, 0), 0)) for axis in range(images.ndim)]
        wide = np.pad(images, room, mode="edge") if fill == "edge" else np.pad(images, room)
        kept = (slice(after, after + n) for (_, after), n in zip(room, images.shape, strict=True))
        yield wide[tuple(kept)]


def _grade_majority(majority: Callable[..., Any]) -> None:
    def classes(probabilities: Array) -> Any:
        found = majority(probabilities)
        return found.astype(np.float64) if isinstance(found, np.ndarray) else found

    rng = np.random.default_rng(133)
    for M, N, K in ((4, 60, 5), (5, 70, 3)):
        probabilities = rng.dirichlet(np.full(K, 0.8), (M, N))
        said, mean = probabilities.argmax(axis=2), probabilities.mean(axis=0)
        votes = np.array([(said == k).sum(axis=0) for k in range(K)]).T
        most = votes == votes.max(axis=1, keepdims=True)
        tied = most.sum(axis=1) > 1
        best = probabilities.max(axis=0)
        slips = {
            "that is the mean of the probabilities; count the nets' answers first": mean.argmax(axis=1),
            "argmax gives a tie to the lower class; the mean of the probabilities is to decide": votes.argmax(
                axis=1
            ),
            "a tie goes to the higher class; the mean of the probabilities is to decide": K
            - 1
            - votes[:, ::-1].argmax(axis=1),
            "in a tie only the classes with the most votes stand; another one won it": np.where(
                tied, mean.argmax(axis=1), votes.argmax(axis=1)
            ),
            "a tie goes to the first net's answer": np.where(tied, said[0], votes.argmax(axis=1)),
            "a tie goes to the surest net; the mean over all nets is to decide": np.where(
                most, best, -1
            ).argmax(axis=1),
            "that is the surest net alone; each net has one vote": best.argmax(axis=1),
            "the fewest votes win": votes.argmin(axis=1),
            "that is the first net alone": said[0],
            "the median of class numbers: a 3 and a 9 do not make a 6": np.median(said, axis=0),
            "the mean of class numbers: a 3 and a 9 do not make a 6": np.rint(said.mean(axis=0)),
        }
        agree(
            answer(
                classes,
                probabilities,
                shape=(N,),
                slips={
                    (N, K): "the votes, or the means; the class of each image is asked for",
                    (M, N): "each net's answer; their vote is missing",
                    (M,): "axis 0 counts the nets, axis 1 the images: one class for each image",
                    (M, K): "axis 0 counts the nets, axis 1 the images: one class for each image",
                },
            ),
            np.where(most, mean, -1).argmax(axis=1).astype(np.float64),
            f"the vote of {M} nets on {N} images",
            {name: np.asarray(each, np.float64) for name, each in slips.items()},
        )


COUNTS = ((2, 9), (13, 4), (6, 0), (4, 4), (0, 0))
"""Of each pair of nets: images that only the first has right, and those that only the second has."""


def _grade_sign_test(sign_test: Callable[..., Any]) -> None:
    rng = np.random.default_rng(134)
    pairs = [_answers(b, c, rng) for b, c in COUNTS]

    def each(*given: Array) -> Array:
        found = [sign_test(*given[2 * i : 2 * i + 2]) for i in range(len(COUNTS))]
        return np.array([answer(lambda value=value: value, shape=()) for value in found])

    def p(form: Callable[[int, int], float]) -> Array:
        return np.array([form(b, c) for b, c in COUNTS])

    def right(b: int, c: int) -> float:
        return min(1.0, 2 * _tail(max(b, c), b + c))

    sizes = iter([len(first) for first, _ in pairs])
    everywhere = np.array([min(1.0, 2 * _tail(max(b, c), next(sizes))) for b, c in COUNTS])
    agree(
        answer(each, *(array for pair in pairs for array in pair), shape=(len(COUNTS),)),
        p(right),
        f"the chances for {', '.join(f'{b} against {c}' for b, c in COUNTS)}",
        {
            "one side only: either net could have been the luckier, so double it": p(
                lambda b, c: _tail(max(b, c), b + c)
            ),
            "more than 1 where both have as many: no chance is; take min(1, …)": p(
                lambda b, c: 2 * _tail(max(b, c), b + c)
            ),
            "more extreme ones alone; what was found counts, too: from max(b, c) on, not from the next": p(
                lambda b, c: 2 * _tail(max(b, c) + 1, b + c)
            ),
            "that is the chance of just these counts; add those of more extreme ones": p(
                lambda b, c: min(1.0, 2 * math.comb(b + c, b) / 2 ** (b + c))
            ),
            "from the smaller count up; it is the larger one from which the sum goes up": p(
                lambda b, c: min(1.0, 2 * _tail(min(b, c), b + c))
            ),
            "the side of the first net alone: take the larger of both counts": p(
                lambda b, c: min(1.0, 2 * _tail(b, b + c))
            ),
            "the side of the second net alone: take the larger of both counts": p(
                lambda b, c: min(1.0, 2 * _tail(c, b + c))
            ),
            "images on which both are right or both wrong count as tosses; they say nothing": everywhere,
            "that is the statistic (b - c)² / (b + c), not yet a chance": p(
                lambda b, c: (b - c) ** 2 / max(b + c, 1)
            ),
            "an approximation (χ² of McNemar), off for few images; the sum itself is asked for": p(
                lambda b, c: math.erfc(abs(b - c) / math.sqrt(2 * max(b + c, 1)))
            ),
            "an approximation (χ² with a correction), off for few images; the sum itself is asked for": p(
                lambda b, c: math.erfc(max(abs(b - c) - 1, 0) / math.sqrt(2 * max(b + c, 1)))
            ),
            "the chance of the opposite: 1 minus it": 1 - p(right),
        },
    )


def _answers(b: int, c: int, rng: Any) -> tuple[Array, Array]:
    """Whether each of two nets was right, bool (N,): b times only the first, c times only the second."""
    both, neither = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    first = np.repeat([True, False, True, False], [b, c, both, neither])
    second = np.repeat([False, True, True, False], [b, c, both, neither])
    order = rng.permutation(len(first))
    return first[order], second[order]


def _tail(k: int, n: int) -> float:
    """The chance of k heads or more of n tosses."""
    return sum(math.comb(n, i) for i in range(k, n + 1)) / 2**n


EXERCISES = (
    Exercise(
        "13.moving_average",
        "The moving average of the weights after each step, with its start.",
        _grade_average,
    ),
    Exercise(
        "13.shifted_mean",
        "The mean of the probabilities of each image and of itself moved by a pixel to each of four sides.",
        _grade_shifted,
    ),
    Exercise(
        "13.majority",
        "The class for which most nets vote; a tie is broken by the mean of their probabilities.",
        _grade_majority,
    ),
    Exercise(
        "13.sign_test",
        "How likely two equally good nets differ by as many images as these two, or by more.",
        _grade_sign_test,
    ),
)
