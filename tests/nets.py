"""Small nets and data that train in no time, and a callback that stops them."""

from __future__ import annotations

import numpy as np

from tinynet import layers as L
from tinynet.layers.base import Layer
from tinynet.model import Sequential
from tinynet.rng import Key, normal, uniform
from tinynet.training import Callback, StepEnd, Trainer
from tinynet.types import Array

Samples = tuple[Array, Array]


def blobs(n: int = 50, seed: int = 0) -> Samples:
    """Three well separated clouds in the plane."""
    labels = np.arange(n) % 3
    centres = np.array([[0.0, 2.0], [2.0, -1.0], [-2.0, -1.0]])
    return (centres[labels] + 0.3 * normal(Key(seed, 0), (n, 2))).astype(np.float32), labels


def images(n: int = 23) -> Samples:
    x = (uniform(Key(9, 0), (n, 6, 6, 1)) * 256).astype(np.uint8)
    return x, np.arange(n) % 4


def mlp(backend: str = "numpy", seed: int = 0, l2: float = 0.0) -> Sequential:
    return Sequential([L.Dense(8, l2=l2), L.ReLU(), L.Dense(3)], (2,), backend=backend, seed=seed)


def cnn(backend: str, seed: int = 0) -> Sequential:
    layers: list[Layer] = [
        *[L.Rescale(), L.Conv2D(4, 3, padding="same"), L.BatchNorm(), L.ReLU(), L.MaxPool2D()],
        *[L.Dropout(0.3), L.Flatten(), L.Dense(16, l2=0.01), L.GELU(), L.Dropout(0.3), L.Dense(4)],
    ]
    return Sequential(layers, (6, 6, 1), backend=backend, seed=seed)


def weights(model: Sequential) -> Array:
    store = model.store
    return np.concatenate([model.backend.to_host(flat) for flat in (store.values.flat, store.state.flat)])


class StopAt(Callback):
    """Stops training after step number `step`."""

    def __init__(self, step: int, reason: str = "interrupted") -> None:
        self.step, self.reason = step, reason

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        if event.step == self.step:
            trainer.stop(self.reason)


def counted(backend: str) -> Sequential:
    """Two inputs, two hidden units, one output, with weights to count on one's fingers."""
    model = Sequential([L.Dense(2), L.ReLU(), L.Dense(1)], (2,), backend=backend, dtype="float64")
    for name, value in {
        "dense_1.W": [[1, -1], [1, 1]],
        "dense_1.b": [0, -2],
        "dense_2.W": [[2], [5]],
        "dense_2.b": [1],
    }.items():
        model.store.values.views[name][...] = model.backend.asarray(np.array(value, float))
    return model
