"""Every layer alone in a net, on shapes of every kind: what the JavaScript engine is compared on."""

from __future__ import annotations

from functools import partial

import numpy as np

from tinynet import layers as L
from tinynet.gradcheck.cases import LAYER_CASES, MakeLayer
from tinynet.model import Sequential
from tinynet.rng import Key, Stream, normal
from tinynet.types import Array, Shape

MORE: list[tuple[MakeLayer, Shape]] = [
    (partial(L.Dense, 1), (1,)),
    (partial(L.Conv2D, 3), (3, 3, 1)),
    (partial(L.Conv2D, 1, 1), (1, 1, 1)),
    (partial(L.Conv2D, 2, 5, padding="same"), (2, 3, 3)),
    (partial(L.Conv2D, 2, (1, 4), (3, 2), "same"), (7, 9, 2)),
    (partial(L.Conv2D, 2, 2, 3, "same"), (7, 8, 2)),
    (partial(L.Conv2D, 2, 3, padding=2), (4, 1, 2)),
    (partial(L.Conv2D, 2, 3, 2, (0, 1)), (5, 2, 1)),
    (partial(L.Conv2D, 2, 1, padding=2), (2, 3, 1)),
    (partial(L.DepthwiseConv2D, 2, 3, "same", 3), (7, 8, 2)),
    (partial(L.DepthwiseConv2D, (1, 4), (3, 2), 2), (5, 2, 3)),
    (partial(L.MaxPool2D, 3, 1, "same"), (4, 5, 3)),
    (partial(L.MaxPool2D, (1, 3), (2, 1), (0, 2)), (5, 4, 2)),
    (L.MaxPool2D, (5, 7, 1)),
    (partial(L.AvgPool2D, 3, 1, "same"), (4, 5, 3)),
    (partial(L.AvgPool2D, (3, 2), (1, 3), ((2, 1), (0, 1))), (4, 5, 2)),
    (L.AvgPool2D, (5, 7, 1)),
    (L.GlobalAveragePool, (1, 1, 3)),
    (partial(L.Residual, [L.Conv2D(3, 1, (2, 3)), L.ReLU()]), (7, 8, 2)),
    (partial(L.Residual, [L.Flatten(), L.Dense(3)], [L.GlobalAveragePool()]), (2, 2, 3)),
    (partial(L.Residual, [L.Dense(2)]), (4, 3)),
    (partial(L.BatchNorm, epsilon=0.1), (2, 2, 1)),
    (partial(L.Reshape, (3, 2, 2)), (12,)),
    (L.Rescale, (2, 3, 2)),
    (L.LeakyReLU, (2, 3, 2)),
    (partial(L.LeakyReLU, -0.5), (5,)),
    (L.ELU, (2, 3, 2)),
    (L.Softmax, (2, 3, 4)),
    (L.Softmax, (1,)),
]
CASES = [(make, shape) for cases in LAYER_CASES.values() for _, make, shape, _ in cases] + MORE
NAMES = [f"{make()!r} of {' x '.join(map(str, shape))}" for make, shape in CASES]


def built(make: MakeLayer, shape: Shape) -> Sequential:
    """A net of this layer alone, its weights and statistics off their starting values."""
    model = Sequential([make()], shape, backend="numpy", seed=1)
    for i, flat in enumerate((model.store.values.flat, model.store.state.flat)):
        flat[...] += 0.4 * np.tanh(normal(Key(i, Stream.CHECK), flat.shape))
    return model


def samples(shape: Shape, seed: int) -> Array:
    """Three of them; ties in windows, and zeros, are likely."""
    return np.round(3 * normal(Key(seed, Stream.CHECK, layer=7), (3, *shape)), 1).astype(np.float32)
