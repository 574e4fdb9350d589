"""Sine, cosine and exponential with the same bits on every machine.

Libraries differ in the last digits of these, and so do versions of one. Here they are sums of powers, made in
float64 by operations that IEEE 754 fixes to the last bit: +, -, · and rounding to a whole number.
`kernels/cuda/elementary.cuh` does the same in the same order.
"""

from __future__ import annotations

import math

import numpy as np

from tinynet.types import Array

QUARTER = 1.5707963267341256
"""The first 33 bits of π/2: a whole number below 2²⁰ times that is exact."""
QUARTER_REST = 6.077100506506192e-11
"""π/2 less `QUARTER`."""


def sine_and_cosine(x: Array) -> tuple[Array, Array]:
    """sin x and cos x for |x| ≤ 10, each to 2e-16 (measured); float64.

    Whole quarters of a turn are taken off in two parts (Cody and Waite, "Software manual for the elementary
    functions", 1980). For the rest, at most π/4, Taylor's series are added up to the powers 17 and 16.
    What is left out is below 3e-18.
    """
    quarters = np.rint(x * (2 / math.pi))
    rest = (x - quarters * QUARTER) - quarters * QUARTER_REST
    y = -(rest * rest)
    sine, cosine = rest + rest * y * _series(y, 3, 17, 2), 1 + y * _series(y, 2, 16, 2)
    turned = (sine, cosine, -sine, -cosine)
    number = quarters.astype(np.int64)
    return np.choose(number % 4, turned), np.choose((number + 1) % 4, turned)


def exponential(x: Array) -> Array:
    """eˣ for |x| ≤ 1.1, to 8e-16 of it (measured): Taylor's series up to x²⁰; float64.

    What is left out is below 2e-19.
    """
    return 1 + x * _series(x, 1, 20, 1)


def _series(y: Array, first: int, last: int, every: int) -> Array:
    """1 / first! + y / (first + every)! + y² / (first + 2 every)! + …, until last!, by Horner's rule."""
    total = np.full_like(y, 1 / math.factorial(last))
    for k in range(last - every, first - 1, -every):
        total *= y
        total += 1 / math.factorial(k)
    return total
