"""The nets that are measured: the reference recipes, and four that nobody chose for us to win with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinynet.layers import AvgPool2D, Conv2D, Dense, Flatten, Layer, MaxPool2D, ReLU, Rescale, Tanh
from tinynet.runs import recipe
from tinynet.runs.recipe import Recipe


def load(name: str) -> Recipe:
    """The net of that name: one of OTHERS, else that of a reference system, else a recipe of ours."""
    if name in OTHERS:
        return OTHERS[name]()
    return recipe.load(name, reference=name in recipe.names(reference=True))


def lenet5() -> Recipe:
    """LeNet-5 (LeCun et al. 1998): 6 and 16 channels of 5 × 5, then 120, 84, 10. All maps of the first
    convolution go into all of the second; the output is a softmax."""
    return Recipe(
        [
            Rescale(),
            *(Conv2D(6, 5, padding="same"), Tanh(), AvgPool2D()),
            *(Conv2D(16, 5), Tanh(), AvgPool2D()),
            Flatten(),
            *(Dense(120), Tanh(), Dense(84), Tanh(), Dense(10)),
        ]
    )


def vgg() -> Recipe:
    """Pairs of 3 × 3 convolutions between poolings, as in VGG (Simonyan and Zisserman 2015)."""
    layers: list[Layer] = [Rescale()]
    for filters in (32, 64, 128):
        for _ in range(2):
            layers += [Conv2D(filters, 3, padding="same"), ReLU()]
        layers.append(MaxPool2D())
    return Recipe([*layers, Flatten(), Dense(256), ReLU(), Dense(10)], (32, 32, 3))


def wide() -> Recipe:
    """Two layers of 1,024 units."""
    return Recipe([Rescale(), Flatten(), Dense(1024), ReLU(), Dense(1024), ReLU(), Dense(10)])


def drawn(seed: int = 0) -> Recipe:
    """Odd sizes, drawn by a seed: two convolutions, the first with a stride, and two dense layers."""
    rng = np.random.default_rng(seed)
    first, second, units = (int(n) for n in rng.integers((5, 17, 33), (17, 49, 97)))
    kernels = [int(n) for n in rng.choice((3, 5, 7), 2)]
    return Recipe(
        [
            Rescale(),
            *(Conv2D(first, kernels[0], stride=2), ReLU()),
            *(Conv2D(second, kernels[1]), ReLU(), MaxPool2D()),
            *(Flatten(), Dense(units), ReLU(), Dense(10)),
        ]
    )


OTHERS: dict[str, Callable[[], Recipe]] = {"lenet5": lenet5, "vgg": vgg, "wide": wide, "drawn": drawn}
