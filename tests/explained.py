"""A small net with everything in it, a linear one, and an image to explain."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import layers as L
from tinynet.layers.base import Layer
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.rng import Key, Stream, normal, uniform
from tinynet.types import Array

SIZE = (8, 7, 1)
CLASSES = list("abc")


def convolutional(backend: str, *, end: Layer | None = None, dtype: str = "float64") -> Sequential:
    """A small net with everything in it, its statistics and weights off their starting values."""
    layers: list[Layer] = [
        L.Rescale(),
        L.Conv2D(4, 3, init="he_normal"),
        L.BatchNorm(),
        L.ReLU(),
        L.AvgPool2D(),  # behind a ReLU max pooling has kinks: windows of zeros
        L.Conv2D(5, 3, padding="same", init="he_normal"),
        L.ReLU(),
        L.Dropout(0.5),
        L.Flatten(),
        L.Dense(6),
        L.ELU(),
        L.Dense(3),
        *([end] if end else []),
    ]
    model = Sequential(layers, SIZE, backend=backend, dtype=dtype, seed=2)
    for i, flat in enumerate((model.store.values.flat, model.store.state.flat)):
        noise = model.backend.asarray(0.2 * np.tanh(normal(Key(0, Stream.CHECK, layer=i), flat.shape)))
        flat[...] = flat + noise.astype(dtype)
    return model


def single(backend: str, *, outputs: int = 1) -> Sequential:
    """A net whose single output is the logit of class 1; with two `outputs`, its halves -z/2 and z/2."""
    layers = [L.Rescale(), L.Conv2D(4, 3), L.ELU(), L.Flatten(), L.Dense(outputs)]
    model = Sequential(layers, SIZE, backend=backend, dtype="float64", seed=3)
    if outputs == 2:
        of_one = single(backend).store.values.views
        for name, view in model.store.values.views.items():
            halves = model.backend.asarray(np.array([-0.5, 0.5]))
            view[...] = of_one[name] * halves if name.startswith("dense_1") else of_one[name]
    return model


def digit(dtype: Any = np.uint8) -> Array:
    return (uniform(Key(1, Stream.CHECK), SIZE) * 256).astype(np.uint8).astype(dtype)


def outputs_after(model: Sequential, position: int, values: Array, end: int) -> Array:
    """What the layers after `position` make of its output, evaluation mode, without a tape."""
    for i in range(position + 1, end):
        values, _ = model.layers[i].forward(values, train=False, key=Key(0, Stream.DROPOUT))
    return values


def loss_of(model: Sequential) -> SoftmaxCrossEntropy:
    loss = SoftmaxCrossEntropy()
    loss.start(model)
    return loss


def linear(backend: str) -> tuple[Sequential, Array]:
    """A linear net and its weights as images (3, 8, 7), per grey level."""
    model = Sequential([L.Rescale(), L.Flatten(), L.Dense(3)], SIZE, backend=backend, dtype="float64")
    W = model.backend.to_host(model.layers[2].params.W)
    return model, W.T.reshape(3, 8, 7) / 255
