"""The layers. Each is a dataclass of its settings with `build`, `forward` and, right under it, `backward`."""

from tinynet.layers.activation import ELU, GELU, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from tinynet.layers.base import Layer
from tinynet.layers.conv import Conv2D
from tinynet.layers.dense import Dense
from tinynet.layers.dropout import Dropout
from tinynet.layers.norm import BatchNorm
from tinynet.layers.pool import AvgPool2D, GlobalAveragePool, MaxPool2D
from tinynet.layers.reshape import Flatten, Rescale, Reshape

__all__ = [
    "ELU",
    "GELU",
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAveragePool",
    "Layer",
    "LeakyReLU",
    "MaxPool2D",
    "ReLU",
    "Rescale",
    "Reshape",
    "Sigmoid",
    "Softmax",
    "Tanh",
]

LAYERS: dict[str, type[Layer]] = {name: globals()[name] for name in __all__ if name != "Layer"}
"""Every layer by the name that a TOML file or a checkpoint gives it; enter your own to have it loaded."""
