"""Rung 4: right answers pass, and each typical wrong one is told what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinynet.learn.exercise import Wrong
from tinynet.learn.ladder import exercise
from tinynet.types import Array


def backward_with(
    gate: Callable[[Array, Array], Array], N: int = 1, second: str = "h", swapped: bool = False
) -> Callable[..., Any]:
    """The backward of two layers with dz1 = gate(dh, z1), divided by N; the second layer's input by name."""

    def two_layers_backward(dz2: Array, x: Array, z1: Array, h: Array, W2: Array) -> tuple[Array, ...]:
        into = h if second == "h" else z1
        dz1 = gate(dz2 @ W2.T, z1)
        first = x.T @ dz1, dz1.sum(axis=0)
        last = into.T @ dz2 / N, dz2.sum(axis=0)
        return (*last, *first) if swapped else (*first, *last)

    return two_layers_backward


def gate(dh: Array, z1: Array) -> Array:
    return np.where(z1 > 0, dh, 0.0)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (backward_with(lambda dh, z1: dh), "the gate of ReLU is missing"),
        (backward_with(lambda dh, z1: np.maximum(dh, 0.0)), "whether z1 is positive, not whether dh is"),
        (backward_with(lambda dh, z1: dh * np.maximum(z1, 0.0)), "not h"),
        (backward_with(lambda dh, z1: (z1 > 0) * 1.0), "multiply dh by it"),
        (backward_with(lambda dh, z1: gate(dh, z1) / 5.0), "the mean over the batch"),
        (backward_with(gate, N=5), "the mean over the batch"),
        (backward_with(gate, second="z1"), "what ReLU let through, not z1"),
        (backward_with(gate, swapped=True), "dW1 has the wrong shape"),
        (lambda *given: backward_with(gate)(*given)[:2], "expected: 4 arrays"),
    ],
)
def test_two_layers_backward(wrong: Callable[..., Any], hint: str) -> None:
    exercise("04.two_layers_backward").grade(backward_with(gate))
    with pytest.raises(Wrong, match=hint):
        exercise("04.two_layers_backward").grade(wrong)


def drawn(spread: Callable[[int, int], float]) -> Callable[..., Array]:
    """Normal weights with the standard deviation spread(fan_in, fan_out)."""
    return lambda fan_in, fan_out, random: random.normal(0.0, spread(fan_in, fan_out), (fan_in, fan_out))


def uniform(fan_in: int, fan_out: int, random: np.random.Generator) -> Array:
    limit = (6.0 / fan_in) ** 0.5
    return random.uniform(-limit, limit, (fan_in, fan_out))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (drawn(lambda i, o: 2.0 / i), "the standard deviation is its root"),
        (drawn(lambda i, o: (1.0 / i) ** 0.5), "without ReLU"),
        (drawn(lambda i, o: (2.0 / o) ** 0.5), "not by fan-out"),
        (drawn(lambda i, o: (2.0 / (i + o)) ** 0.5), "Glorot"),
        (drawn(lambda i, o: 1.0), "standard normal numbers"),
        (drawn(lambda i, o: (i / 2.0) ** 0.5), "upside down"),
        (uniform, "a uniform distribution"),
        (lambda i, o, random: random.random((i, o)), "not centred"),
        (lambda i, o, random: np.random.default_rng().normal(0.0, (2.0 / i) ** 0.5, (i, o)), "`random`"),
        (lambda i, o, random: random.normal(0.0, (2.0 / i) ** 0.5, (o, i)), "transposed"),
    ],
)
def test_he_normal(wrong: Callable[..., Any], hint: str) -> None:
    exercise("04.he_normal").grade(drawn(lambda i, o: (2.0 / i) ** 0.5))
    with pytest.raises(Wrong, match=hint):
        exercise("04.he_normal").grade(wrong)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda h: (h == 0).any(axis=0), "all, not any"),
        (lambda h: (h > 0).any(axis=0), "the other way round"),
        (lambda h: (h > 0).all(axis=0), "alive for every sample"),
        (lambda h: h[0] == 0, "look at all rows"),
        (lambda h: (h == 0).all(axis=1), r"expected: \(5,\)"),
        (lambda h: (h == 0).mean(axis=0), "expected: bool"),
    ],
)
def test_dead_units(wrong: Callable[..., Any], hint: str) -> None:
    exercise("04.dead_units").grade(lambda h: (h == 0).all(axis=0))
    with pytest.raises(Wrong, match=hint):
        exercise("04.dead_units").grade(wrong)
