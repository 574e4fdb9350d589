"""Which neighbours a backend may compute in one step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tinynet.layers.activation import ReLU
from tinynet.layers.base import Layer
from tinynet.layers.conv import Conv2D
from tinynet.layers.dense import Dense
from tinynet.layers.depthwise import DepthwiseConv2D
from tinynet.layers.norm import BatchNorm
from tinynet.layers.pool import MaxPool2D
from tinynet.layers.residual import Residual

RECTIFIABLE = (Dense, Conv2D, DepthwiseConv2D, BatchNorm, Residual)
"""Layers that can apply the ReLU behind them as they write: these very classes, a subclass may not."""


def fuse(layers: Sequence[Layer]) -> None:
    """Offer neighbours to their backend as one step, those inside other layers too."""
    for before, layer in pairwise(layers):
        if type(layer) is ReLU and type(before) in RECTIFIABLE:
            layer.ops.fuse_relu(before.ops)
        if type(layer) is MaxPool2D and type(before) is ReLU:
            layer.ops.fuse_max_pool(before.ops)
    for layer in layers:
        for branch in layer.branches:
            fuse(branch)
