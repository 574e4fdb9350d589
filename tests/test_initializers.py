"""Initial weights: the variance each formula promises, and the fans it is computed from."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinynet import initializers
from tinynet.errors import ConfigError
from tinynet.rng import Key, Stream
from tinynet.types import Shape

KEY = Key(11, Stream.WEIGHTS)
DENSE = (300, 200)  # fan-in 300, fan-out 200
CONV = (3, 5, 40, 60)  # fan-in 3·5·40 = 600, fan-out 3·5·60 = 900

VARIANCES = [
    ("he", DENSE, 2 / 300),
    ("he", CONV, 2 / 600),
    ("glorot", DENSE, 2 / 500),
    ("glorot", CONV, 2 / 1500),
    ("lecun", DENSE, 1 / 300),
    ("lecun", CONV, 1 / 600),
]


@pytest.mark.parametrize(("shape", "expected"), [(DENSE, (300, 200)), (CONV, (600, 900))])
def test_fans(shape: Shape, expected: tuple[int, int]) -> None:
    assert initializers.fans(shape) == expected


@pytest.mark.parametrize(("family", "shape", "variance"), VARIANCES)
def test_normal_ones_have_the_variance_of_the_formula(family: str, shape: Shape, variance: float) -> None:
    W = initializers.get(f"{family}_normal")(shape, KEY)
    assert W.shape == shape
    assert W.dtype == np.float64
    assert abs(W.mean()) < 5 * math.sqrt(variance / W.size)
    assert abs(W.var() / variance - 1) < 5 * math.sqrt(2 / W.size)
    assert np.abs(W).max() > 3.5 * math.sqrt(variance)  # not truncated


@pytest.mark.parametrize(("family", "shape", "variance"), VARIANCES)
def test_uniform_ones_have_the_variance_of_the_formula(family: str, shape: Shape, variance: float) -> None:
    W = initializers.get(f"{family}_uniform")(shape, KEY)
    limit = math.sqrt(3 * variance)
    assert W.shape == shape
    assert abs(W.mean()) < 5 * math.sqrt(variance / W.size)
    assert abs(W.var() / variance - 1) < 5 * math.sqrt(0.8 / W.size)  # kurtosis 9/5
    assert 0.99 * limit < np.abs(W).max() <= limit


@pytest.mark.parametrize(("name", "value"), [("zeros", 0.0), ("ones", 1.0)])
def test_constants(name: str, value: float) -> None:
    np.testing.assert_array_equal(initializers.get(name)((4, 3), KEY), np.full((4, 3), value))


@pytest.mark.parametrize("name", sorted(set(initializers.INITIALIZERS) - {"zeros", "ones"}))
def test_the_key_decides(name: str) -> None:
    draw = initializers.get(name)
    np.testing.assert_array_equal(draw((5, 5), KEY), draw((5, 5), KEY))
    assert (draw((5, 5), KEY) != draw((5, 5), KEY._replace(layer=1))).all()


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown initialiser\n  expected: .*he_normal.*\n.*'xavier'"):
        initializers.get("xavier")
