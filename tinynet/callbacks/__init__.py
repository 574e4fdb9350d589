"""Callbacks: listeners to training. Each hears every step and every epoch, and may stop it or scale its rate.

`state()` and `arrays()` are what a callback must keep across a resume; `restore` puts both back.
"""

from tinynet.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from tinynet.callbacks.health import HealthLog
from tinynet.callbacks.log import JsonLog
from tinynet.callbacks.monitors import EarlyStopping, Monitor, ReduceOnPlateau
from tinynet.callbacks.tensorboard import TensorBoardLog
from tinynet.training import Callback

__all__ = [
    "BestCheckpoint",
    "Callback",
    "EarlyStopping",
    "HealthLog",
    "JsonLog",
    "LastCheckpoint",
    "Monitor",
    "ReduceOnPlateau",
    "TensorBoardLog",
]
