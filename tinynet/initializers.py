"""Initial weights: how wide to draw them so that signals neither die nor explode with depth.

Each takes a shape and a random key and returns float64 of that shape, on the host. For a dense kernel (I, O)
fan-in is I and fan-out O; for a convolution kernel (KH, KW, C, F) they are KH·KW·C and KH·KW·F.

    He et al., "Delving deep into rectifiers", 2015             variance 2 / fan-in
    Glorot & Bengio, "Understanding the difficulty …", 2010     variance 2 / (fan-in + fan-out)
    LeCun et al., "Efficient BackProp", 1998                    variance 1 / fan-in
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinynet.errors import ConfigError
from tinynet.rng import Key, normal, uniform
from tinynet.types import Array, Shape

Initializer = Callable[[Shape, Key], Array]


def fans(shape: Shape) -> tuple[int, int]:
    """(fan-in, fan-out) of a kernel whose last two axes are inputs and outputs."""
    receptive_field = math.prod(shape[:-2])
    return shape[-2] * receptive_field, shape[-1] * receptive_field


def _scaled_normal(variance: float, shape: Shape, key: Key) -> Array:
    return normal(key, shape) * math.sqrt(variance)


def _scaled_uniform(variance: float, shape: Shape, key: Key) -> Array:
    limit = math.sqrt(3.0 * variance)  # the variance of U(-a, a) is a²/3
    return (2.0 * uniform(key, shape) - 1.0) * limit


def he_normal(shape: Shape, key: Key) -> Array:
    """N(0, 2 / fan-in), not truncated: keeps the variance of activations through ReLU layers."""
    return _scaled_normal(2.0 / fans(shape)[0], shape, key)


def he_uniform(shape: Shape, key: Key) -> Array:
    """U(-a, a) with a² = 6 / fan-in."""
    return _scaled_uniform(2.0 / fans(shape)[0], shape, key)


def glorot_normal(shape: Shape, key: Key) -> Array:
    """N(0, 2 / (fan-in + fan-out)), not truncated: also known as Xavier."""
    return _scaled_normal(2.0 / sum(fans(shape)), shape, key)


def glorot_uniform(shape: Shape, key: Key) -> Array:
    """U(-a, a) with a² = 6 / (fan-in + fan-out): also known as Xavier."""
    return _scaled_uniform(2.0 / sum(fans(shape)), shape, key)


def lecun_normal(shape: Shape, key: Key) -> Array:
    """N(0, 1 / fan-in), not truncated: for sigmoid, tanh and linear layers."""
    return _scaled_normal(1.0 / fans(shape)[0], shape, key)


def lecun_uniform(shape: Shape, key: Key) -> Array:
    """U(-a, a) with a² = 3 / fan-in."""
    return _scaled_uniform(1.0 / fans(shape)[0], shape, key)


def zeros(shape: Shape, key: Key) -> Array:
    """All 0: biases and shifts."""
    return np.zeros(shape)


def ones(shape: Shape, key: Key) -> Array:
    """All 1: the scales of a normalisation."""
    return np.ones(shape)


INITIALIZERS: dict[str, Initializer] = {
    function.__name__: function
    for function in (
        he_normal,
        he_uniform,
        glorot_normal,
        glorot_uniform,
        lecun_normal,
        lecun_uniform,
        zeros,
        ones,
    )
}


def get(name: str) -> Initializer:
    """The initialiser called `name`; ConfigError for an unknown one."""
    if name not in INITIALIZERS:
        raise ConfigError("unknown initialiser", expected=", ".join(INITIALIZERS), received=repr(name))
    return INITIALIZERS[name]
