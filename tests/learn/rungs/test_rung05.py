"""Rung 5: right answers pass, and each typical wrong one is told what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinynet.learn.exercise import Wrong
from tinynet.learn.ladder import exercise
from tinynet.types import Array

Pair = tuple[Array, Array]


def momentum_step(theta: Array, velocity: Array, gradient: Array, rate: float, momentum: float) -> Pair:
    velocity = momentum * velocity + gradient
    return theta - rate * velocity, velocity


def in_place(theta: Array, velocity: Array, gradient: Array, rate: float, momentum: float) -> Pair:
    velocity *= momentum
    velocity += gradient
    return theta - rate * velocity, velocity


def with_velocity(of: Callable[[Array, Array, float, float], Array]) -> Callable[..., Pair]:
    """A step with the velocity of(velocity, gradient, rate, momentum)."""

    def step(theta: Array, velocity: Array, gradient: Array, rate: float, momentum: float) -> Pair:
        velocity = of(velocity, gradient, rate, momentum)
        return theta - rate * velocity, velocity

    return step


def with_move(of: Callable[[Array, Array, Array], Array]) -> Callable[..., Pair]:
    """A step that moves theta by of(new velocity, old velocity, gradient)."""

    def step(theta: Array, velocity: Array, gradient: Array, rate: float, momentum: float) -> Pair:
        after = momentum * velocity + gradient
        return theta - rate * of(after, velocity, gradient), after

    return step


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (with_velocity(lambda v, g, rate, mu: v + g), "multiplied by the momentum"),
        (with_velocity(lambda v, g, rate, mu: mu * v + (1 - mu) * g), "this is an average"),
        (with_velocity(lambda v, g, rate, mu: mu * v - rate * g), "the sign and the rate are already in v"),
        (with_velocity(lambda v, g, rate, mu: mu * v + rate * g), "belongs to the step of theta"),
        (with_velocity(lambda v, g, rate, mu: mu * (v + g)), "the old velocity alone"),
        (with_velocity(lambda v, g, rate, mu: v), "not updated"),
        (with_move(lambda new, old, g: g), "not along the gradient"),
        (with_move(lambda new, old, g: old), "not along the old"),
        (with_move(lambda new, old, g: -new), "uphill"),
        (with_move(lambda new, old, g: 0.8 * new), "in the velocity already"),
        (in_place, "argument 2 was changed"),
        (lambda *given: momentum_step(*given)[0], "expected: 2 arrays"),
    ],
)
def test_momentum_step(wrong: Callable[..., Any], hint: str) -> None:
    exercise("05.momentum_step").grade(momentum_step)
    with pytest.raises(Wrong, match=hint):
        exercise("05.momentum_step").grade(wrong)


def adam_with(
    m_of: Callable[[Array, Array, float], Array] = lambda m, g, beta: beta * m + (1 - beta) * g,
    v_of: Callable[[Array, Array, float], Array] = lambda v, g, beta: beta * v + (1 - beta) * g**2,
    correct: Callable[[Array, float, int], Array] = lambda average, beta, t: average / (1 - beta**t),
    move: Callable[[Array, Array, float], Array] = lambda m, v, epsilon: m / (np.sqrt(v) + epsilon),
) -> Callable[..., tuple[Array, ...]]:
    """A step of Adam with one of its parts replaced."""

    def adam_step(
        theta: Array,
        m: Array,
        v: Array,
        gradient: Array,
        step: int,
        rate: float,
        beta1: float,
        beta2: float,
        epsilon: float,
    ) -> tuple[Array, ...]:
        m, v = m_of(m, gradient, beta1), v_of(v, gradient, beta2)
        return theta - rate * move(correct(m, beta1, step), correct(v, beta2, step), epsilon), m, v

    return adam_step


def returns_the_corrected_averages(*given: Any) -> tuple[Array, ...]:
    theta, m, v = adam_with()(*given)
    return theta, m / (1 - given[6] ** given[4]), v / (1 - given[7] ** given[4])


def root_before_the_correction(*given: Any) -> tuple[Array, ...]:
    _, m, v = adam_with()(*given)
    theta, *_, step, rate, beta1, beta2, epsilon = given
    return theta - rate * m / (1 - beta1**step) / (np.sqrt(v) / (1 - beta2**step) + epsilon), m, v


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (adam_with(m_of=lambda m, g, beta: beta * m + g), "in front of the gradient is missing"),
        (adam_with(m_of=lambda m, g, beta: (1 - beta) * m + beta * g), "keeps the large share"),
        (adam_with(v_of=lambda v, g, beta: beta * v + (1 - beta) * g), "the gradient squared"),
        (adam_with(v_of=lambda v, g, beta: beta * v + (1 - beta) * np.abs(g)), "not the size"),
        (adam_with(v_of=lambda v, g, beta: beta * v + g**2), "in front of the square is missing"),
        (returns_the_corrected_averages, "without the bias correction"),
        (adam_with(correct=lambda average, beta, t: average), "the bias correction is missing"),
        (adam_with(correct=lambda average, beta, t: average / (1 - beta ** (t - 1))), "steps count from 1"),
        (adam_with(move=lambda m, v, epsilon: m / np.sqrt(v + epsilon)), "outside the root"),
        (adam_with(move=lambda m, v, epsilon: m / np.sqrt(v)), "ε is missing"),
        (adam_with(move=lambda m, v, epsilon: m / (v + epsilon)), "take its root"),
        (adam_with(move=lambda m, v, epsilon: m), "divide by"),
        (adam_with(move=lambda m, v, epsilon: -m / (np.sqrt(v) + epsilon)), "uphill"),
        (root_before_the_correction, "then take the root"),
    ],
)
def test_adam_step(wrong: Callable[..., Any], hint: str) -> None:
    exercise("05.adam_step").grade(adam_with())
    with pytest.raises(Wrong, match=hint):
        exercise("05.adam_step").grade(wrong)


def cosine(epoch: float, epochs: float, final: float) -> float:
    return final + (1 - final) * (1 + math.cos(math.pi * epoch / epochs)) / 2


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda e, E, final: math.cos(math.pi * e / E), "from 1 to -1"),
        (lambda e, E, final: cosine(e, E, 0.0), "`final` is missing"),
        (lambda e, E, final: final + cosine(e, E, 0.0), "it must begin at 1"),
        (lambda e, E, final: cosine(2 * e, E, final), "half a wave"),
        (lambda e, E, final: cosine(E - e, E, final), "not 1 - cos"),
        (lambda e, E, final: final + (1 - final) * (1 - e / E), "a straight line"),
        (lambda e, E, final: [1.0], "received: list"),
    ],
)
def test_cosine(wrong: Callable[..., Any], hint: str) -> None:
    exercise("05.cosine").grade(cosine)
    with pytest.raises(Wrong, match=hint):
        exercise("05.cosine").grade(wrong)
