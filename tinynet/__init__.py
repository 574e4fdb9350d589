"""tinynet: a from-scratch neural-network engine. Importing it loads NumPy and nothing heavier."""

from tinynet import layers, version
from tinynet.callbacks import (
    BestCheckpoint,
    EarlyStopping,
    HealthLog,
    JsonLog,
    LastCheckpoint,
    ReduceOnPlateau,
    TensorBoardLog,
)
from tinynet.checkpoint import load_model, save_model
from tinynet.data.augmentation import Augmentation
from tinynet.layers import *  # every layer, by its list
from tinynet.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.optim import SGD, Adam, AdamW, Optimizer
from tinynet.rates import RateCurve, find_rate
from tinynet.schedules import Constant, Cosine, OneCycle, Schedule, Step
from tinynet.training import Callback, Trainer

__version__ = version.VERSION

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Augmentation",
    "BestCheckpoint",
    "BinaryCrossEntropy",
    "Callback",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "EarlyStopping",
    "HealthLog",
    "JsonLog",
    "LastCheckpoint",
    "Loss",
    "MeanSquaredError",
    "OneCycle",
    "Optimizer",
    "RateCurve",
    "ReduceOnPlateau",
    "Schedule",
    "Sequential",
    "SoftmaxCrossEntropy",
    "Step",
    "TensorBoardLog",
    "Trainer",
    "find_rate",
    "load_model",
    "save_model",
]
__all__ += layers.__all__
