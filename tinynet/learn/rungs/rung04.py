"""Rung 4, two layers: the backward through both, weights to begin with, and units that are dead."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.gradcheck import tie_free
from tinynet.learn.exercise import Exercise, Wrong
from tinynet.learn.grading import agree, answer, answers
from tinynet.rng import Key, Stream, normal
from tinynet.types import Array, Shape


def _random(number: int, shape: Shape) -> Array:
    return normal(Key(number, Stream.CHECK), shape)


def _number(yes: Any) -> Array:
    """1.0 for True, 0.0 for False."""
    return np.asarray(yes, "float64")


def _grade_two_layers_backward(two_layers_backward: Callable[..., Any]) -> None:
    N, I, H, K = 5, 3, 4, 2
    x, W2, dz2 = _random(0, (N, I)), _random(1, (H, K)), _random(2, (N, K))
    z1 = 2.0 * tie_free((N, H), seed=4)
    h = np.maximum(z1, 0.0)
    dW1, db1, dW2, db2 = answers(
        two_layers_backward,
        dz2,
        x,
        z1,
        h,
        W2,
        shapes={"dW1": (I, H), "db1": (H,), "dW2": (H, K), "db2": (K,)},
    )
    mean = "the mean over the batch; the loss is a mean already, and dz2 has its 1/N: take the sum"
    agree(
        dW2,
        h.T @ dz2,
        "dW2",
        {
            mean: h.T @ dz2 / N,
            "the second layer is given h, what ReLU let through, not z1": z1.T @ dz2,
        },
    )
    agree(db2, dz2.sum(axis=0), "db2", {mean: dz2.mean(axis=0)})
    dh = dz2 @ W2.T
    slips = {
        "the gate of ReLU is missing: where z1 < 0 nothing comes back": dh,
        "the gate asks whether z1 is positive, not whether dh is": np.maximum(dh, 0.0),
        "the slope of ReLU is 1 where z1 > 0, not h": dh * h,
        "the slope of ReLU alone; multiply dh by it": (z1 > 0) * 1.0,
        mean: dh * (z1 > 0) / N,
    }
    dz1 = np.where(z1 > 0, dh, 0.0)
    agree(dW1, x.T @ dz1, "dW1", {name: x.T @ wrong for name, wrong in slips.items()})
    agree(db1, dz1.sum(axis=0), "db1", {name: wrong.sum(axis=0) for name, wrong in slips.items()})


def _grade_he_normal(he_normal: Callable[..., Any]) -> None:
    for fan_in, fan_out in ((400, 300), (200, 900)):
        W, again = (
            answer(he_normal, fan_in, fan_out, np.random.default_rng(4), shape=(fan_in, fan_out))
            for _ in range(2)
        )
        _check_spread(W, again, fan_in, fan_out)


def _check_spread(W: Array, again: Array, fan_in: int, fan_out: int) -> None:
    """Raise Wrong unless W is drawn from N(0, 2 / fan_in), and is the same when it is drawn again."""
    if not np.array_equal(W, again):
        raise Wrong(
            "a generator with the same seed gives other weights\n  expected: the same numbers\n"
            "  likely slip: np.random.… instead of the argument `random`: random.normal(…)"
        )
    wanted, spread = math.sqrt(2.0 / fan_in), float(W.std())
    centre = float(W.mean())
    where = f"for fan-in {fan_in} and fan-out {fan_out}"
    if abs(centre) > 0.05 * max(spread, wanted):
        raise Wrong(
            f"the weights are not centred, {where}\n  expected: a mean near 0\n  received: {centre:.4g}\n"
            "  likely slip: random.random() gives numbers from 0 to 1; use random.normal"
        )
    if abs(spread / wanted - 1.0) > 0.02:
        raise Wrong(
            f"the standard deviation is wrong, {where}\n  expected: {wanted:.4g}\n  received: {spread:.4g}"
            + _spread_slip(spread, fan_in, fan_out)
        )
    beyond = float((np.abs(W) > 2.5 * wanted).mean())
    if beyond < 0.006:
        raise Wrong(
            f"the weights are not normally distributed, {where}\n"
            f"  expected: {math.erfc(2.5 / math.sqrt(2.0)):.2%} beyond 2.5 standard deviations\n"
            f"  received: {beyond:.2%}\n  likely slip: a uniform distribution; use random.normal"
        )


def _spread_slip(spread: float, fan_in: int, fan_out: int) -> str:
    slips = {
        "2 / fan-in is the variance; the standard deviation is its root": 2.0 / fan_in,
        "1 / fan-in is for layers without ReLU; ReLU halves the mean square, so it is 2": fan_in**-0.5,
        "divide by fan-in, the number of inputs, not by fan-out": math.sqrt(2.0 / fan_out),
        "this is Glorot's: here fan-out does not count": math.sqrt(2.0 / (fan_in + fan_out)),
        "standard normal numbers: multiply them by the root of 2 / fan-in": 1.0,
        "the root is upside down: divide by fan-in": math.sqrt(fan_in / 2.0),
    }
    close = (slip for slip, value in slips.items() if abs(spread / value - 1.0) < 0.02)
    named = next(close, None)
    return f"\n  likely slip: {named}" if named else ""


def _grade_dead_units(dead_units: Callable[..., Any]) -> None:
    h = np.maximum(tie_free((7, 5), seed=2), 0.0)
    h[:, [1, 4]] = 0.0
    h[:, 2] = [0.0, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0]
    h[:, 3] = np.arange(1.0, 8.0)
    is_dead = np.array([0.0, 1.0, 0.0, 0.0, 1.0])
    received = answer(dead_units, h, shape=(5,), dtype="bool")
    agree(
        _number(received),
        is_dead,
        "whether a unit is dead (1: yes)",
        {
            "a unit is dead if it is 0 for every sample, not for some: all, not any": (h == 0).any(axis=0)
            * 1.0,
            "the other way round: these units are alive for some sample": 1.0 - is_dead,
            "these units are alive for every sample": _number((h > 0).all(axis=0)),
            "one sample says little: look at all rows": _number(h[0] == 0),
        },
    )


EXERCISES = (
    Exercise(
        "04.two_layers_backward",
        "two_layers_backward(dz2, x, z1, h, W2) returns dW1, db1, dW2, db2"
        " of z1 = x W1 + b1, h = max(z1, 0), z2 = h W2 + b2.",
        _grade_two_layers_backward,
    ),
    Exercise(
        "04.he_normal",
        "he_normal(fan_in, fan_out, random) returns weights (fan_in, fan_out) from N(0, 2 / fan_in).",
        _grade_he_normal,
    ),
    Exercise(
        "04.dead_units",
        "dead_units(h) returns, for outputs h (N, H) of a ReLU, which of the H units are 0 for every sample.",
        _grade_dead_units,
    ),
)
