"""Stateless random numbers: a key in, the same bits out, on every backend and after every resume.

A generator with hidden state must be saved, restored and kept in step. A *counter-based* one is a pure
function of (key, position), so dropout at layer 3 in step 1000 can be drawn without having drawn anything
before it. The function is Philox4x32-10: ten rounds of multiply, split and xor over a 128-bit counter.

    Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import math
from enum import IntEnum
from types import ModuleType
from typing import NamedTuple

import numpy as np

from tinynet.types import Array, Shape

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
LOW_32 = 0xFFFFFFFF


class Stream(IntEnum):
    """What the numbers are for: two purposes never share a stream."""

    WEIGHTS = 0
    ORDER = 1
    DROPOUT = 2
    CHECK = 3
    AUGMENTATION = 4
    EXPLORE = 5
    EXPLAIN = 6
    FOLDS = 7
    SEARCH = 8
    MIXING = 9


class Key(NamedTuple):
    """Names one array of random numbers. `seed` has 64 bits, the others 32.

    `first`: where in that array to begin, for one who needs a part of it.
    """

    seed: int
    stream: int
    layer: int = 0
    step: int = 0
    first: int = 0


def philox_bits(key: Key, count: int, xp: ModuleType = np) -> Array:
    """`count` random 32-bit words from number `key.first` on, uint32 (count,).

    Block i of four words is Philox of the counter (i, step, layer, stream) under the key (low, high) of seed.
    """
    before, skipped = divmod(key.first, 4)
    blocks = -(-(skipped + count) // 4)
    u64 = xp.uint64
    c0 = xp.arange(before, before + blocks, dtype=u64)
    c1, c2, c3 = (xp.full(blocks, word & LOW_32, dtype=u64) for word in (key.step, key.layer, key.stream))
    k0, k1 = key.seed & LOW_32, (key.seed >> 32) & LOW_32
    low, half = u64(LOW_32), u64(32)
    for _ in range(ROUNDS):
        product0, product1 = c0 * u64(MULTIPLIERS[0]), c2 * u64(MULTIPLIERS[1])
        c0, c1 = (product1 >> half) ^ c1 ^ u64(k0), product1 & low
        c2, c3 = (product0 >> half) ^ c3 ^ u64(k1), product0 & low
        k0, k1 = (k0 + KEY_STEPS[0]) & LOW_32, (k1 + KEY_STEPS[1]) & LOW_32
    words: Array = xp.stack((c0, c1, c2, c3), axis=1).astype(xp.uint32).reshape(-1)
    return words[skipped : skipped + count]


def uniform(key: Key, shape: Shape) -> Array:
    """Uniform on [0, 1) in steps of 2⁻²⁴: float64 of `shape`, exact in float32 too."""
    bits = philox_bits(key, math.prod(shape))
    return (bits >> np.uint32(8)).reshape(shape) * 2.0**-24


def normal(key: Key, shape: Shape) -> Array:
    """Standard normal, float64 of `shape`: the Box-Muller transform of two uniforms (1958).

    Drawn on the host whatever the backend (log and cos differ between devices in the last bit), and only
    for initial weights, so nothing is lost.
    """
    count = math.prod(shape)
    u = uniform(key, (2, count))
    return (np.sqrt(-2.0 * np.log(1.0 - u[0])) * np.cos(2.0 * np.pi * u[1])).reshape(shape)


def permutation(key: Key, count: int) -> Array:
    """The numbers 0 … count-1 in random order, int64 (count,): the order that sorts `count` random words."""
    order: Array = np.argsort(philox_bits(key, count), kind="stable")
    return order.astype(np.int64)


def drop_threshold(rate: float) -> int:
    """The 32-bit word under which a unit is dropped: P(word < threshold) = rate."""
    return round(rate * 2**32)
