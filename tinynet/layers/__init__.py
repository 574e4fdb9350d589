"""The layers. Each is a dataclass of its settings with `build`, `forward` and, right under it, `backward`."""

from tinynet.layers.activation import ELU, GELU, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from tinynet.layers.base import Layer
from tinynet.layers.conv import Conv2D
from tinynet.layers.dense import Dense
from tinynet.layers.dropout import Dropout
from tinynet.layers.norm import BatchNorm
from tinynet.layers.pool import AvgPool2D, GlobalAveragePool, MaxPool2D
from tinynet.layers.reshape import Flatten, Rescale, Reshape

LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (
        Dense,
        Conv2D,
        MaxPool2D,
        AvgPool2D,
        GlobalAveragePool,
        BatchNorm,
        Dropout,
        Flatten,
        Reshape,
        Rescale,
        ReLU,
        LeakyReLU,
        ELU,
        GELU,
        Sigmoid,
        Tanh,
        Softmax,
    )
}
"""Every layer by the name a TOML file or a checkpoint gives it."""

__all__ = [
    "ELU",
    "GELU",
    "LAYERS",
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
