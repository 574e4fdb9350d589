"""The layers. Each is a dataclass of its settings with `build`, `forward` and, right under it, `backward`."""

from tinynet.layers.activation import ELU, GELU, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from tinynet.layers.base import Layer
from tinynet.layers.conv import Conv2D
from tinynet.layers.dense import Dense
from tinynet.layers.depthwise import DepthwiseConv2D
from tinynet.layers.dropout import Dropout
from tinynet.layers.norm import BatchNorm
from tinynet.layers.pool import AvgPool2D, GlobalAveragePool, MaxPool2D
from tinynet.layers.reshape import Flatten, Rescale, Reshape
from tinynet.layers.residual import Residual

__all__ = [  # noqa: RUF022 (the order in which they are listed for a person)
    "Dense",
    "Conv2D",
    "DepthwiseConv2D",
    "MaxPool2D",
    "AvgPool2D",
    "GlobalAveragePool",
    "BatchNorm",
    "Dropout",
    "Residual",
    "Flatten",
    "Reshape",
    "Rescale",
    "ReLU",
    "LeakyReLU",
    "ELU",
    "GELU",
    "Sigmoid",
    "Tanh",
    "Softmax",
    "Layer",
]

LAYERS: dict[str, type[Layer]] = {name: globals()[name] for name in __all__ if name != "Layer"}
"""Every layer by the name that a TOML file or a checkpoint gives it; enter your own to have it loaded."""

LAYER_FAMILY: dict[type, dict[str, type[Layer]]] = {Layer: LAYERS}
"""For `io.tables`: what the tables of layers inside a layer may name."""
