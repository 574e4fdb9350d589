"""tinynet: a from-scratch neural-network engine. Importing it loads NumPy and nothing heavier."""

from tinynet.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from tinynet.callbacks.log import JsonLog
from tinynet.callbacks.monitors import EarlyStopping, ReduceOnPlateau
from tinynet.callbacks.tensorboard import TensorBoardLog
from tinynet.checkpoint import load_model, save_model
from tinynet.data.augmentation import Augmentation
from tinynet.layers import (
    ELU,
    GELU,
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool,
    Layer,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    Rescale,
    Reshape,
    Sigmoid,
    Softmax,
    Tanh,
)
from tinynet.losses import CrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.optim import SGD, Adam, AdamW, Optimizer
from tinynet.schedules import Constant, Cosine, OneCycle, Schedule, Step
from tinynet.training import Callback, Trainer
from tinynet.version import VERSION as __version__  # noqa: F401 (every package has one)

__all__ = [
    "ELU",
    "GELU",
    "SGD",
    "Adam",
    "AdamW",
    "Augmentation",
    "AvgPool2D",
    "BatchNorm",
    "BestCheckpoint",
    "Callback",
    "Constant",
    "Conv2D",
    "Cosine",
    "CrossEntropy",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "GlobalAveragePool",
    "JsonLog",
    "LastCheckpoint",
    "Layer",
    "LeakyReLU",
    "Loss",
    "MaxPool2D",
    "MeanSquaredError",
    "OneCycle",
    "Optimizer",
    "ReLU",
    "ReduceOnPlateau",
    "Rescale",
    "Reshape",
    "Schedule",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Step",
    "Tanh",
    "TensorBoardLog",
    "Trainer",
    "load_model",
    "save_model",
]
