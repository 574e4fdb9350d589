"""A layer that applies the ReLU behind it does so in each of several processes, too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from cuda_host import HostBackend
from members import IMAGES, LABELS, in_each

import tinynet as tn
from tinynet.backends.base import Backend
from tinynet.backends.numba_ import NumbaBackend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.distributed.group import ALONE, Group
from tinynet.layers.base import Layer
from tinynet.layers.fusion import RECTIFIABLE

FUSED: dict[str, Callable[[], list[Layer]]] = {
    "Dense": lambda: [tn.Flatten(), tn.Dense(6), tn.ReLU()],
    "Conv2D": lambda: [tn.Conv2D(3, 3), tn.ReLU(), tn.MaxPool2D(), tn.Flatten()],
    "DepthwiseConv2D": lambda: [tn.DepthwiseConv2D(), tn.ReLU(), tn.MaxPool2D(), tn.Flatten()],
    "BatchNorm": lambda: [tn.BatchNorm(), tn.ReLU(), tn.MaxPool2D(), tn.Flatten()],
    "Residual": lambda: [
        tn.Residual([tn.Conv2D(1, 3, padding="same"), tn.BatchNorm()]),
        tn.ReLU(),
        tn.Flatten(),
    ],
}
"""A layer with a ReLU, and where they may be pictures a pooling, which applies the ReLU's mask."""

POOLED: dict[str, Callable[[], list[Layer]]] = {
    "a convolution pools": lambda: [tn.Conv2D(3, 4), tn.ReLU(), tn.MaxPool2D(), tn.BatchNorm(), tn.Flatten()],
    "BatchNorm pools": lambda: [tn.Conv2D(3, 4), tn.BatchNorm(), tn.ReLU(), tn.MaxPool2D(), tn.Flatten()],
}
"""Images of 4 x 4 are pooled by a layer before; statistics that it finds are of a shard alone."""


def learned(front: list[Layer], ops: Backend, group: Group) -> np.ndarray:
    net = tn.Sequential([tn.Rescale(), *front, tn.Dense(10)], (7, 7, 1), backend=ops, dtype="float64", seed=1)
    tn.Trainer(net, (IMAGES, LABELS), optimizer=tn.SGD(0.1), epochs=2, batch_size=10, group=group).run()
    return np.array(ops.to_host(net.store.values.flat))


@pytest.mark.parametrize("kind", [NumbaBackend, HostBackend])
@pytest.mark.parametrize("name", FUSED | POOLED)
def test_two_processes_learn_what_the_reference_does_alone(name: str, kind: type[Backend]) -> None:
    make = (FUSED | POOLED)[name]
    alone = learned(make(), NumpyBackend(), ALONE)
    for one in in_each(2, lambda member: learned(make(), kind(), member)):
        np.testing.assert_allclose(one, alone, rtol=1e-9, atol=1e-11)


def test_every_layer_that_applies_a_relu_is_tried() -> None:
    assert {kind.__name__ for kind in RECTIFIABLE} == FUSED.keys()
