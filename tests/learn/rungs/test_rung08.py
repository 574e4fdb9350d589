"""Rung 8: what each typical wrong answer is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinynet.learn.exercise import Wrong
from tinynet.learn.ladder import exercise
from tinynet.types import Array

rng = np.random.default_rng(0)


def early_stop(losses: Array, patience: int, *, first: int = 1, reset: bool = True, late: int = 0) -> Any:
    """The solution, and with other arguments what slips give."""
    best, best_epoch, waited = np.inf, 0, 0
    for epoch, loss in enumerate(losses, first):
        if loss < best:
            best, best_epoch, waited = loss, epoch, 0 if reset else waited
        else:
            waited += 1
            if waited >= patience + late:
                return epoch, best_epoch
    return first + len(losses) - 1, best_epoch


def compared_with_the_epoch_before(losses: Array, patience: int) -> tuple[int, int]:
    best_epoch = 1
    for epoch in range(2, len(losses) + 1):
        if losses[epoch - 1] < losses[epoch - 2]:
            best_epoch = epoch
        elif epoch - best_epoch == patience:
            return epoch, best_epoch
    return len(losses), best_epoch


RIGHT: dict[str, Callable[..., Any]] = {
    "08.dropout_forward": lambda x, u, rate: x * (u >= rate) / (1 - rate),
    "08.dropout_backward": lambda dy, keep, rate: dy * keep / (1 - rate),
    "08.l2_gradient": lambda W, dW, strength: dW + 2 * strength * W,
    "08.early_stop": early_stop,
}
WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("08.dropout_forward", lambda x, u, rate: x * (u >= rate), "not divided by 1 - rate"),
    ("08.dropout_forward", lambda x, u, rate: x * (u < rate) / (1 - rate), "exchanged: keep where u >= rate"),
    ("08.dropout_forward", lambda x, u, rate: x * (u < rate) / rate, "the share that is dropped, and here"),
    ("08.dropout_forward", lambda x, u, rate: x * (u >= rate) / rate, "divided by rate"),
    ("08.dropout_forward", lambda x, u, rate: x * (u >= rate) * (1 - rate), "multiplied by 1 - rate"),
    (
        "08.dropout_backward",
        lambda dy, keep, rate: dy * (rng.random(dy.shape) >= rate) / (1 - rate),
        "a new mask is drawn",
    ),
    (
        "08.dropout_backward",
        lambda dy, keep, rate: dy * (np.random.default_rng(7).random(dy.shape) >= rate) / (1 - rate),
        "a new mask is drawn",
    ),
    ("08.dropout_backward", lambda dy, keep, rate: dy * keep, "not divided by 1 - rate"),
    ("08.dropout_backward", lambda dy, keep, rate: dy / (1 - rate), "no mask"),
    ("08.dropout_backward", lambda dy, keep, rate: dy, "passed on as it came"),
    ("08.dropout_backward", lambda dy, keep, rate: -dy * keep / (1 - rate), "the sign"),
    ("08.l2_gradient", lambda W, dW, strength: dW + strength * W, "the 2 of the derivative"),
    ("08.l2_gradient", lambda W, dW, strength: 2 * strength * W, "add to dW"),
    ("08.l2_gradient", lambda W, dW, strength: dW - 2 * strength * W, "the sign"),
    ("08.l2_gradient", lambda W, dW, strength: dW + strength * np.sign(W), "an L1 penalty"),
    ("08.l2_gradient", lambda W, dW, strength: dW + 2 * strength * W.mean(), "dW is wrong"),
    (
        "08.l2_gradient",
        lambda W, dW, strength: np.add(dW, 2 * strength * W, out=dW),
        "argument 2 was changed",
    ),
    ("08.early_stop", lambda losses, patience: early_stop(losses, patience, first=0), "counted from 0"),
    ("08.early_stop", lambda losses, patience: early_stop(losses, patience, reset=False), "not reset"),
    ("08.early_stop", lambda losses, patience: early_stop(losses, patience, late=1), "one epoch too late"),
    ("08.early_stop", lambda losses, patience: early_stop(losses, patience, late=-1), "one epoch too early"),
    ("08.early_stop", lambda losses, patience: (len(losses), int(losses.argmin()) + 1), "it never stops"),
    ("08.early_stop", compared_with_the_epoch_before, "compare with the best so far"),
    ("08.early_stop", lambda losses, patience: early_stop(losses, 1), "patience 1"),
    (
        "08.early_stop",
        lambda losses, patience: (early_stop(losses, patience)[0], int(losses.argmin()) + 1),
        "the best of all the epochs",
    ),
    ("08.early_stop", lambda losses, patience: early_stop(losses, patience)[::-1], "exchanged"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_answer_is_right(name: str) -> None:
    exercise(name).grade(RIGHT[name])


@pytest.mark.parametrize(("name", "slip", "hint"), WRONG, ids=[f"{name}-{hint}" for name, _, hint in WRONG])
def test_a_typical_wrong_answer_gets_its_hint(name: str, slip: Callable[..., Any], hint: str) -> None:
    with pytest.raises(Wrong, match=hint):
        exercise(name).grade(slip)
