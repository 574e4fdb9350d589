"""Rung 5, how to walk downhill: a step with momentum, a step of Adam, and a schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.learn.exercise import Exercise
from tinynet.learn.grading import agree, answer, answers
from tinynet.rng import Key, Stream, normal
from tinynet.schedules import Cosine
from tinynet.types import Array, Shape


def _random(number: int, shape: Shape) -> Array:
    return normal(Key(number, Stream.CHECK), shape)


def _grade_momentum_step(momentum_step: Callable[..., Any]) -> None:
    theta, velocity, gradient = (_random(number, (5,)) for number in range(3))
    rate, momentum = 0.1, 0.8
    moved, after = answers(
        momentum_step,
        theta,
        velocity,
        gradient,
        rate,
        momentum,
        shapes={"theta": theta.shape, "velocity": velocity.shape},
    )
    faster = momentum * velocity + gradient
    agree(
        after,
        faster,
        "velocity",
        {
            "the old velocity is multiplied by the momentum": velocity + gradient,
            "this is an average; here the whole gradient is added: v ← μ v + g": (
                momentum * velocity + (1.0 - momentum) * gradient
            ),
            "the rate belongs to the step of theta: v ← μ v + g": momentum * velocity + rate * gradient,
            "v ← μ v + g, and theta is moved against it; here the sign and the rate are already in v": (
                momentum * velocity - rate * gradient
            ),
            "momentum times the gradient, too; it slows the old velocity alone": momentum
            * (velocity + gradient),
            "the velocity is not updated": velocity,
        },
    )
    agree(
        moved,
        theta - rate * faster,
        "theta",
        {
            "uphill: subtract": theta + rate * faster,
            "the rate is missing": theta - faster,
            "theta moves along the new velocity, not along the gradient": theta - rate * gradient,
            "theta moves along the new velocity, not along the old": theta - rate * velocity,
            "the momentum is in the velocity already": theta - rate * momentum * faster,
        },
    )


def _grade_adam_step(adam_step: Callable[..., Any]) -> None:
    theta, m, gradient = (_random(number, (6,)) for number in range(3))
    v = 0.5 + _random(3, (6,)) ** 2
    beta1, beta2, rate, epsilon, step = 0.8, 0.9, 0.05, 0.03, 3
    moved, m_after, v_after = answers(
        adam_step,
        theta,
        m,
        v,
        gradient,
        step,
        rate,
        beta1,
        beta2,
        epsilon,
        shapes={"theta": theta.shape, "m": m.shape, "v": v.shape},
    )
    m_new = beta1 * m + (1.0 - beta1) * gradient
    v_new = beta2 * v + (1.0 - beta2) * gradient**2
    agree(
        m_after,
        m_new,
        "m",
        {
            "m must be returned without the bias correction: the next step averages on from it": (
                m_new / (1.0 - beta1**step)
            ),
            "(1 - β₁) in front of the gradient is missing": beta1 * m + gradient,
            "the betas are swapped: β₁ goes with m": beta2 * m + (1.0 - beta2) * gradient,
            "β₁ and 1 - β₁ are swapped: the old average keeps the large share": (
                (1.0 - beta1) * m + beta1 * gradient
            ),
        },
    )
    agree(
        v_after,
        v_new,
        "v",
        {
            "v must be returned without the bias correction: the next step averages on from it": (
                v_new / (1.0 - beta2**step)
            ),
            "v averages the gradient squared": beta2 * v + (1.0 - beta2) * gradient,
            "v averages the square, not the size": beta2 * v + (1.0 - beta2) * np.abs(gradient),
            "(1 - β₂) in front of the square is missing": beta2 * v + gradient**2,
            "the betas are swapped: β₂ goes with v": beta1 * v + (1.0 - beta1) * gradient**2,
            "β₂ and 1 - β₂ are swapped: the old average keeps the large share": (
                (1.0 - beta2) * v + beta2 * gradient**2
            ),
        },
    )
    m_hat, v_hat = m_new / (1.0 - beta1**step), v_new / (1.0 - beta2**step)
    root, before = np.sqrt(v_hat), step - 1
    early_m, early_v = m_new / (1.0 - beta1**before), v_new / (1.0 - beta2**before)
    moves = {
        "the bias correction is missing: divide m by 1 - β₁ᵗ and v by 1 - β₂ᵗ": m_new
        / (np.sqrt(v_new) + epsilon),
        "the bias correction of v is missing": m_hat / (np.sqrt(v_new) + epsilon),
        "the bias correction of m is missing": m_new / (root + epsilon),
        "ε stands outside the root: √v̂ + ε": m_hat / np.sqrt(v_hat + epsilon),
        "ε is missing": m_hat / root,
        "v̂ is a mean square; take its root": m_hat / (v_hat + epsilon),
        "correct v first, then take the root": m_hat / (np.sqrt(v_new) / (1.0 - beta2**step) + epsilon),
        "steps count from 1, so the power is t, not t - 1": early_m / (np.sqrt(early_v) + epsilon),
        "β to the power of t, not β times t": (
            m_new / (1.0 - beta1 * step) / (np.sqrt(np.abs(v_new / (1.0 - beta2 * step))) + epsilon)
        ),
        "theta moves along m̂, not along the gradient": gradient / (root + epsilon),
        "use the new m and v, not the old": (
            m / (1.0 - beta1**step) / (np.sqrt(v / (1.0 - beta2**step)) + epsilon)
        ),
        "divide by √v̂ + ε": m_hat,
    }
    slips = {name: theta - rate * move for name, move in moves.items()}
    slips["uphill: subtract"] = theta + rate * m_hat / (root + epsilon)
    agree(moved, theta - rate * m_hat / (root + epsilon), "theta", slips)


def _grade_cosine(cosine: Callable[..., Any]) -> None:
    epochs, final = 8, 0.2
    times = np.array([0.0, 1.0, 2.5, 4.0, 7.0, 8.0])
    received = np.array([float(answer(cosine, float(time), epochs, final, shape=())) for time in times])
    wave = np.cos(math.pi * times / epochs)
    half = (1.0 + wave) / 2.0
    agree(
        received,
        np.array([Cosine(final=final)(time, epochs) for time in times]),
        f"the factor at epochs {', '.join(f'{time:g}' for time in times)} of {epochs}",
        {
            "the cosine goes from 1 to -1: (1 + cos) / 2 goes from 1 to 0": wave,
            "(1 + cos) goes from 2 to 0: halve it": final + (1.0 - final) * (1.0 + wave),
            "`final` is missing: the factor must end there": half,
            "it must begin at 1: the share above `final` is 1 - final": final + half,
            "it must begin at 1 and end at `final`, not at `final` times something": final * half,
            "half a wave, not a whole one: π · epoch / epochs": (
                final + (1.0 - final) * (1.0 + np.cos(2.0 * math.pi * times / epochs)) / 2.0
            ),
            "it falls: 1 + cos, not 1 - cos": final + (1.0 - final) * (1.0 - wave) / 2.0,
            "this falls along a straight line": final + (1.0 - final) * (1.0 - times / epochs),
        },
    )


EXERCISES = (
    Exercise(
        "05.momentum_step",
        "momentum_step(theta, velocity, gradient, rate, momentum) returns theta and velocity after one step:"
        " v ← μ v + g, then θ ← θ - α v.",
        _grade_momentum_step,
    ),
    Exercise(
        "05.adam_step",
        "adam_step(theta, m, v, gradient, step, rate, beta1, beta2, epsilon) returns theta, m and v after"
        " step number `step`, counted from 1.",
        _grade_adam_step,
    ),
    Exercise(
        "05.cosine",
        "cosine(epoch, epochs, final) returns the factor of the learning rate: from 1 down to `final`, along"
        " half a cosine.",
        _grade_cosine,
    ),
)
