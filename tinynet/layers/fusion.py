"""Which neighbours a backend may compute in one step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

from tinynet.layers.activation import ELU, ReLU
from tinynet.layers.base import Layer
from tinynet.layers.conv import Conv2D
from tinynet.layers.dense import Dense
from tinynet.layers.depthwise import DepthwiseConv2D
from tinynet.layers.dropout import Dropout
from tinynet.layers.norm import BatchNorm
from tinynet.layers.pool import MaxPool2D
from tinynet.layers.reshape import Flatten, Reshape
from tinynet.layers.residual import Residual

RECTIFIABLE = (Dense, Conv2D, DepthwiseConv2D, BatchNorm, Residual)
"""Layers that can apply the ReLU behind them as they write: these very classes, a subclass may not."""


PRODUCTS = (Dense, Conv2D)
"""Layers that are a product, whose results can be carried on in several ways as they are written."""


def fuse(layers: Sequence[Layer]) -> None:
    """Offer neighbours to their backend as one step, those inside other layers too."""
    for before, layer in pairwise(layers):
        if type(layer) is ReLU and type(before) in RECTIFIABLE:
            layer.ops.fuse_relu(before.ops)
        if type(layer) is ELU and type(before) in PRODUCTS:
            layer.ops.fuse_elu(before.ops, partial(getattr, layer, "alpha"))
        if type(layer) is MaxPool2D and type(before) is ReLU:
            layer.ops.fuse_max_pool(before.ops)
        if type(layer) is BatchNorm and type(before) in (*PRODUCTS, MaxPool2D):
            layer.ops.fuse_statistics(before.ops)
    for first, between, last in zip(layers, layers[1:], layers[2:], strict=False):
        if type(first) in (Conv2D, BatchNorm) and type(between) is ReLU and type(last) is MaxPool2D:
            last.ops.fuse_pool(first.ops, last.input_shape, last.geometry)
    for position, layer in enumerate(layers):
        if type(layer) in PRODUCTS:
            for before in _dropout_and_activation(layers[:position]):
                layer.ops.fuse_backward_of(before.ops)
        for branch in layer.branches:
            fuse(branch)


def _dropout_and_activation(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Which of these the last of `layers` are, beside those that only change the shape; the last first."""
    rest = list(layers)
    for kinds in ((Dropout,), (ReLU, ELU)):
        while rest and type(rest[-1]) in (Flatten, Reshape):
            rest.pop()
        if rest and type(rest[-1]) in kinds:
            yield rest.pop()
