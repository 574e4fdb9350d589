"""What tinynet checks of itself: every layer in the shapes that matter, every loss, and whole models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

import numpy as np

from tinynet import layers as L
from tinynet.backends.base import Backend
from tinynet.gradcheck.check import Check, check_layer, check_loss, check_model
from tinynet.layers.base import Layer
from tinynet.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.rng import Key, Stream, normal, uniform
from tinynet.types import Array, Shape

MakeLayer: TypeAlias = Callable[[], Layer]


def _block(filters: int, stride: int) -> list[Layer]:
    """What a block of a residual net computes. No bias stands before BatchNorm: its gradient would be 0."""
    convolution = L.Conv2D(filters, 3, stride, "same")
    return [L.BatchNorm(), L.GELU(), convolution, L.Dropout(0.3), L.Conv2D(filters, 2, padding="same")]


LAYER_CASES: dict[str, list[tuple[str, MakeLayer, Shape, bool]]] = {
    "Dense": [
        ("", partial(L.Dense, 4), (5,), True),
        ("L2", partial(L.Dense, 3, l2=0.1), (4,), True),
        ("large", partial(L.Dense, 24), (40,), True),
        ("of a sequence", partial(L.Dense, 3), (5, 4), True),
        ("of each pixel", partial(L.Dense, 2), (3, 2, 4), True),
    ],
    "Conv2D": [
        ("valid", partial(L.Conv2D, 3), (5, 6, 2), True),
        ("same", partial(L.Conv2D, 2, 3, padding="same"), (4, 5, 2), True),
        ("same, 5 x 5", partial(L.Conv2D, 2, 5, padding="same"), (4, 6, 1), True),
        ("stride 2", partial(L.Conv2D, 2, 3, 2), (7, 6, 2), True),
        ("stride 2, same", partial(L.Conv2D, 2, 3, 2, "same"), (5, 6, 2), True),
        ("2 x 3, explicit", partial(L.Conv2D, 2, (2, 3), (1, 2), ((1, 0), (2, 1))), (4, 5, 2), True),
        ("1 x 1", partial(L.Conv2D, 3, 1), (3, 4, 2), True),
        ("large, L2", partial(L.Conv2D, 8, 3, padding="same", l2=0.01), (10, 9, 6), True),
    ],
    "DepthwiseConv2D": [
        ("valid", L.DepthwiseConv2D, (5, 6, 2), True),
        ("same", partial(L.DepthwiseConv2D, padding="same"), (4, 5, 3), True),
        ("stride 2, same", partial(L.DepthwiseConv2D, 3, 2, "same"), (6, 5, 2), True),
        ("2 x 3, explicit", partial(L.DepthwiseConv2D, (2, 3), (1, 2), ((1, 0), (2, 1))), (4, 5, 2), True),
        ("2 kernels a channel, L2", partial(L.DepthwiseConv2D, multiplier=2, l2=0.1), (5, 4, 3), True),
    ],
    "MaxPool2D": [
        ("", L.MaxPool2D, (4, 6, 2), True),
        ("overlapping", partial(L.MaxPool2D, 3, 2), (7, 6, 2), True),
        ("same", partial(L.MaxPool2D, 2, 2, "same"), (5, 5, 2), True),
    ],
    "AvgPool2D": [
        ("", L.AvgPool2D, (4, 6, 2), True),
        ("overlapping", partial(L.AvgPool2D, 3, 2), (7, 6, 2), True),
        ("same", partial(L.AvgPool2D, 2, 2, "same"), (5, 5, 2), True),
    ],
    "GlobalAveragePool": [("", L.GlobalAveragePool, (3, 4, 2), True)],
    "BatchNorm": [
        ("dense", L.BatchNorm, (5,), True),
        ("image", L.BatchNorm, (3, 4, 2), True),
        ("evaluation", L.BatchNorm, (3, 4, 2), False),
    ],
    "Dropout": [
        ("", partial(L.Dropout, 0.4), (4, 5, 2), True),
        ("evaluation", partial(L.Dropout, 0.4), (5,), False),
    ],
    "Residual": [
        ("", partial(L.Residual, [L.Dense(4), L.Tanh()]), (4,), True),
        ("projection", partial(L.Residual, [L.Dense(4), L.Sigmoid(), L.Dense(3)]), (5,), True),
        ("images", partial(L.Residual, _block(2, 1)), (5, 4, 2), True),
        ("stride 2", partial(L.Residual, _block(3, 2)), (5, 4, 2), True),
        ("evaluation", partial(L.Residual, _block(3, 2)), (4, 4, 2), False),
        ("its own shortcut", partial(L.Residual, [L.MaxPool2D()], [L.AvgPool2D()]), (4, 6, 2), True),
        ("in another", partial(L.Residual, [L.Residual([L.Dense(4), L.ELU()]), L.Dense(3)]), (4,), True),
    ],
    "Flatten": [("", L.Flatten, (3, 4, 2), True)],
    "Reshape": [("", partial(L.Reshape, (2, 6)), (3, 4), True)],
    "Rescale": [("", partial(L.Rescale, 0.5, -0.2), (3, 4, 1), True)],
    "ReLU": [("", L.ReLU, (7,), True)],
    "LeakyReLU": [("", partial(L.LeakyReLU, 0.1), (7,), True)],
    "ELU": [("", partial(L.ELU, 0.7), (7,), True)],
    "GELU": [("", L.GELU, (7,), True), ("tanh", partial(L.GELU, "tanh"), (7,), True)],
    "Sigmoid": [("", L.Sigmoid, (7,), True)],
    "Tanh": [("", L.Tanh, (7,), True)],
    "Softmax": [("", L.Softmax, (6,), True)],
}
"""For each layer: what is special, how to make one, the shape of a sample, training mode or not."""


def _logits(K: int = 5, N: int = 4) -> tuple[Array, Array]:
    return 2.0 * normal(Key(1, Stream.CHECK), (N, K)), np.arange(N, dtype=np.int64) % K


def _soft() -> tuple[Array, Array]:
    return _logits()[0], np.array([[1, 0, 0, 0, 0], [0.3, 0.7, 0, 0, 0], [0, 0, 0.5, 0.5, 0], [0.2] * 5])


def _scores() -> tuple[Array, Array]:
    return 0.05 + uniform(Key(2, Stream.CHECK), (4, 5)), np.arange(4, dtype=np.int64)


def _regression() -> tuple[Array, Array]:
    return normal(Key(3, Stream.CHECK), (4, 3)), normal(Key(4, Stream.CHECK), (4, 3))


def _answers() -> tuple[Array, Array]:
    return 3.0 * normal(Key(5, Stream.CHECK), (4, 3)), uniform(Key(6, Stream.CHECK), (4, 3))


def _one_answer() -> tuple[Array, Array]:
    return 3.0 * normal(Key(7, Stream.CHECK), (4, 1)), np.array([0, 1, 1, 0])


WEIGHTS = np.array([0.5, 2.0, 0.0, 3.0])
"""For the samples of each loss, which is checked with them and without."""
LOSS_CASES: dict[str, list[tuple[str, Callable[[], Loss], Callable[[], tuple[Array, Array]]]]] = {
    "SoftmaxCrossEntropy": [
        ("", SoftmaxCrossEntropy, _logits),
        ("smoothing", partial(SoftmaxCrossEntropy, 0.1), _logits),
        ("soft targets", SoftmaxCrossEntropy, _soft),
        ("soft targets, smoothing", partial(SoftmaxCrossEntropy, 0.1), _soft),
    ],
    "CrossEntropy": [("", CrossEntropy, _scores)],
    "BinaryCrossEntropy": [
        ("", BinaryCrossEntropy, _answers),
        ("one output", BinaryCrossEntropy, _one_answer),
    ],
    "MeanSquaredError": [("", MeanSquaredError, _regression)],
}


def _mlp() -> list[Layer]:
    return [L.Rescale(), L.Flatten(), L.Dense(8, l2=0.01), L.ReLU(), L.Dense(4)]


def _linear() -> list[Layer]:
    return [L.Flatten(), L.Dense(4), L.Sigmoid()]


def _cnn() -> list[Layer]:
    return [
        L.Conv2D(4, 3, padding="same"),
        L.BatchNorm(),
        L.ReLU(),
        L.MaxPool2D(),
        L.Conv2D(5, 3, stride=2, padding="same"),
        L.BatchNorm(),
        L.ELU(),
        L.Dropout(0.25),
        L.Flatten(),
        L.Dense(6, l2=0.01),
        L.GELU(),
        L.Dense(4),
    ]


def _resnet() -> list[Layer]:
    return [
        L.Conv2D(3, 3, padding="same"),
        L.Residual([L.Conv2D(3, 3, padding="same"), L.BatchNorm(), L.ELU()]),
        L.ReLU(),
        L.Residual(_block(4, 2), [L.AvgPool2D(), L.Conv2D(4, 1, l2=0.01), L.BatchNorm()]),
        L.Tanh(),
        L.GlobalAveragePool(),
        L.Dense(4),
    ]


MODEL_CASES: dict[str, tuple[Callable[[], list[Layer]], Shape, Callable[[], Loss]]] = {
    "linear": (_linear, (4, 4, 1), CrossEntropy),
    "mlp": (_mlp, (4, 4, 1), SoftmaxCrossEntropy),
    "cnn": (_cnn, (8, 8, 2), partial(SoftmaxCrossEntropy, 0.1)),
    "resnet": (_resnet, (6, 6, 2), SoftmaxCrossEntropy),
}

NAMES = (*LAYER_CASES, *LOSS_CASES, *(f"small {name}" for name in MODEL_CASES))
"""Everything that can be checked, by name."""


def run(name: str, backend: str | Backend | None = None, seed: int = 0) -> Iterator[Check]:
    """The checks called `name`, one of NAMES."""
    for detail, make, shape, train in LAYER_CASES.get(name, []):
        yield from check_layer(
            make(), shape, train=train, backend=backend, seed=seed, subject=_subject(name, detail)
        )
    for detail, make_loss, data in LOSS_CASES.get(name, []):
        outputs, targets = data()
        for weights, more in ((None, detail), (WEIGHTS, f"{detail}, weights".removeprefix(", "))):
            subject = _subject(name, more)
            yield from check_loss(
                make_loss(), outputs, targets, backend=backend, seed=seed, subject=subject, weights=weights
            )
    if name.startswith("small "):
        layers, shape, loss = MODEL_CASES[name.removeprefix("small ")]
        yield from check_model(layers(), shape, loss(), batch=4, backend=backend, seed=seed, subject=name)


def _subject(name: str, detail: str) -> str:
    return f"{name} ({detail})" if detail else name
