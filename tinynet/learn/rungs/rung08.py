"""Rung 8, Not learning by heart: dropout, the L2 penalty and early stopping, graded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.learn.exercise import Exercise, Wrong
from tinynet.learn.grading import agree, answer
from tinynet.types import Array

RATE = 0.3
SHAPE = (3, 5, 2)


def _values(seed: int, shape: tuple[int, ...] = SHAPE) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def _grade_forward(dropout_forward: Callable[..., Any]) -> None:
    x, u = _values(0), np.random.default_rng(1).random(SHAPE)
    keep = u >= RATE
    agree(
        answer(dropout_forward, x, u, RATE, shape=SHAPE),
        x * keep / (1 - RATE),
        "y",
        {
            "not divided by 1 - rate: at evaluation, without dropout, all values would be larger": x * keep,
            "rate is the share that is dropped, and here it is the share that is kept": x * ~keep / RATE,
            "dropped and kept are exchanged: keep where u >= rate": x * ~keep / (1 - RATE),
            "divided by rate, the share that is dropped; divide by 1 - rate, the share that is kept": x
            * keep
            / RATE,
            "multiplied by 1 - rate; divide by it": x * keep * (1 - RATE),
            "nothing is dropped: multiply by the mask": x / (1 - RATE),
        },
    )


def _grade_backward(dropout_backward: Callable[..., Any]) -> None:
    dy, keep = _values(2), np.random.default_rng(3).random(SHAPE) >= RATE
    first, again = (answer(dropout_backward, dy, keep, RATE, shape=SHAPE) for _ in range(2))
    expected = dy * keep / (1 - RATE)
    passed = first != 0
    is_another = not passed.all() and passed.any() and not np.array_equal(passed, ~keep)
    if not np.array_equal(first, again) or (is_another and (passed != keep).any()):
        wrong = (passed != keep) | (first != again)
        place = tuple(map(int, np.argwhere(wrong)[0]))
        raise Wrong(
            f"dx is not made with the mask of the forward, see {list(place)}\n"
            f"  expected: {expected[place]:.6g}\n"
            f"  received: {first[place]:.6g}\n"
            "  likely slip: a new mask is drawn; the forward was made with `keep`, so is its derivative"
        )
    agree(
        first,
        expected,
        "dx",
        {
            "not divided by 1 - rate: y = x · keep / (1 - rate) has that factor, so has ∂y/∂x": dy * keep,
            "no mask: what was dropped did not move the loss, its gradient is 0": dy / (1 - RATE),
            "the gradient is passed on as it came; the layer is y = x · keep / (1 - rate)": dy,
            "dropped and kept are exchanged": dy * ~keep / (1 - RATE),
            "multiplied by 1 - rate; divide by it": dy * keep * (1 - RATE),
        },
    )


def _grade_l2(l2_gradient: Callable[..., Any]) -> None:
    W, dW, strength = _values(4, (3, 5)), _values(5, (3, 5)), 0.1
    agree(
        answer(l2_gradient, W, dW, strength, shape=W.shape),
        dW + 2 * strength * W,
        "dW",
        {
            "the 2 of the derivative of W² is missing": dW + strength * W,
            "the gradient of the data's loss is lost: add to dW": 2 * strength * W,
            "the sign: the penalty grows with W, so its gradient points the way of W": dW - 2 * strength * W,
            "mean instead of sum: the penalty is λ ΣW², not λ times the mean": dW + 2 * strength * W / W.size,
            "the derivative of |W| (an L1 penalty); that of W² is 2W": dW + strength * np.sign(W),
            "W² itself is added; a gradient has its derivative": dW + strength * W**2,
            "the penalty's value is added to each element; a gradient has its derivative": dW
            + strength * (W**2).sum(),
        },
    )


LOSSES = np.array([0.9, 0.6, 0.7, 0.65, 0.5, 0.55, 0.52, 0.58, 0.57, 0.4, 0.6])
RISING = np.array([0.9, 0.5, 0.6, 0.7, 0.8, 0.4])
PATIENCE = 3
STOPS = ((8, 5), (5, 2))
"""(last epoch, best epoch) of LOSSES and of RISING."""
STOP_SLIPS = {
    "epochs are counted from 0; the first is 1": ((7, 4), (4, 1)),
    "the waiting is not reset: at each new best loss, start to count anew": ((6, 5), (5, 2)),
    "compared with the epoch before; compare with the best so far": ((11, 10), (5, 2)),
    "it never stops: stop once `patience` epochs have brought no new best": ((11, 10), (6, 6)),
    "one epoch too late: stop when `patience` epochs have passed without a new best": ((9, 5), (6, 6)),
    "one epoch too early: let `patience` epochs pass without a new best": ((4, 2), (4, 2)),
    "the best of all the epochs; after the stop there are none to look at": ((8, 10), (5, 6)),
    "two results are asked for: when it stops, and which weights it keeps": ((8, 8), (5, 5)),
    "exchanged: the last epoch first, then the best": ((5, 8), (2, 5)),
    "patience 1, whatever was asked for": ((3, 2), (3, 2)),
}
"""What typical wrong answers give for both; a hint is given where both fit."""


def _grade_early_stop(early_stop: Callable[..., Any]) -> None:
    found = [_two_epochs(early_stop, losses, PATIENCE) for losses in (LOSSES, RISING)]
    fitting = [hint for hint, pairs in STOP_SLIPS.items() if np.array_equal(found, pairs)]
    for run, (losses, right) in enumerate(zip((LOSSES, RISING), STOPS, strict=True)):
        slips = {hint: np.array(STOP_SLIPS[hint][run], np.float64) for hint in fitting}
        what = f"(last epoch, best epoch) of {losses.tolist()}, patience {PATIENCE},"
        agree(found[run], np.array(right, np.float64), what, slips)
    falling = LOSSES[[0, 1, 4, 9]]
    agree(
        _two_epochs(early_stop, falling, PATIENCE),
        np.array([4.0, 4.0]),
        "(last epoch, best epoch) of losses that only fall",
        {"epochs are counted from 0; the first is 1": np.array([3.0, 3.0])},
    )


def _two_epochs(early_stop: Callable[..., Any], losses: Array, patience: int) -> Array:
    def as_array(*given: Any) -> Any:
        found = early_stop(*given)
        return np.array(found, np.float64) if isinstance(found, tuple | list) else found

    return answer(as_array, losses, patience, shape=(2,))


EXERCISES = (
    Exercise(
        "08.dropout_forward",
        "Drop values of x where u < rate, and scale the rest so that the mean stays what it was.",
        _grade_forward,
    ),
    Exercise(
        "08.dropout_backward",
        "From dy, and from what the forward kept, the gradient of the loss with respect to x.",
        _grade_backward,
    ),
    Exercise(
        "08.l2_gradient",
        "The gradient of loss + λ ΣW² with respect to W, from dW, the gradient of the loss alone.",
        _grade_l2,
    ),
    Exercise(
        "08.early_stop",
        "From validation losses and a patience: after which epoch training stops, and which was the best.",
        _grade_early_stop,
    ),
)
