"""Sine, cosine and exponential: as exact as said, and the same bits everywhere."""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from tinynet.elementary import exponential, sine_and_cosine
from tinynet.types import Array


def series(x: float, first: int, every: int, sign: int) -> Decimal:
    """Σ signⁱ xᵏ / k! over k = first, first + every, …, to 50 digits."""
    with localcontext() as context:
        context.prec = 60
        power = Decimal(x) ** first if first else Decimal(1)
        factor, total = sign * Decimal(x) ** every, Decimal(0)
        for k in range(first, 80, every):
            total += power / math.factorial(k)
            power *= factor
        return total


def errors(found: Array, x: Array, first: int, every: int, sign: int) -> Array:
    exact = [series(value, first, every, sign) for value in x.tolist()]
    return np.array([float(Decimal(one) - other) for one, other in zip(found.tolist(), exact, strict=True)])


@pytest.mark.parametrize("most", [1e-9, math.pi / 4, math.pi, 10.0])
def test_sine_and_cosine_are_right_to_16_digits(most: float) -> None:
    x = np.concatenate([np.linspace(-most, most, 801), most * np.random.default_rng(1).uniform(-1, 1, 400)])
    sine, cosine = sine_and_cosine(x)
    assert np.abs(errors(sine, x, 1, 2, -1)).max() < 2e-16
    assert np.abs(errors(cosine, x, 0, 2, -1)).max() < 2e-16


def test_the_exponential_is_right_to_15_digits() -> None:
    x = np.linspace(-1.1, 1.1, 2001)
    found = exponential(x)
    assert np.abs(errors(found, x, 0, 1, 1) / found).max() < 8e-16


def test_nothing_is_changed_by_nothing() -> None:
    """An image that is not turned, sheared or stretched stays where it is, to the last bit."""
    zero = np.array([0.0, -0.0])
    sine, cosine = sine_and_cosine(zero)
    assert sine.tolist() == [0, 0]
    assert cosine.tolist() == exponential(zero).tolist() == [1, 1]


def test_the_bits_are_those_of_every_other_machine() -> None:
    x = np.arange(-4096, 4097) / 4096.0
    results = np.stack([*sine_and_cosine(10 * x), exponential(1.1 * x)]).astype("<f8")
    assert hashlib.sha256(results.tobytes()).hexdigest()[:16] == "d9c1e2063ce08e1c"
