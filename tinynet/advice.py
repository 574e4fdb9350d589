"""Settings that work alone and not together: what a Trainer says of them before it begins."""

from __future__ import annotations

import math
import warnings

from tinynet.errors import ConfigError, TinynetWarning
from tinynet.layers import (
    ELU,
    GELU,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    LeakyReLU,
    Reshape,
    Residual,
    Sigmoid,
    Softmax,
    Tanh,
)
from tinynet.layers.stack import walk
from tinynet.losses import BinaryCrossEntropy, CrossEntropy, Loss, SoftmaxCrossEntropy
from tinynet.model import Sequential

PASSING = (Dropout, Flatten, Reshape)
"""Layers whose output has the signs of their input."""
BELOW_ZERO = (Dense, Conv2D, DepthwiseConv2D, Residual, BatchNorm, LeakyReLU, ELU, GELU, Tanh)
"""Layers whose output may be negative."""


def on_loss(model: Sequential, loss: Loss) -> None:
    """Warn where a loss takes other outputs than those the model gives.

    Raises ConfigError for BinaryCrossEntropy after Sigmoid or Softmax: each logit would be above 0, a yes.
    """
    last = next((layer for layer in reversed(model.layers) if not isinstance(layer, PASSING)), None)
    if type(loss) is SoftmaxCrossEntropy and isinstance(last, Softmax):
        _warn(
            "the loss SoftmaxCrossEntropy applies softmax, and so does the model: it will learn slowly",
            fix="leave Softmax out, or use the loss CrossEntropy",
        )
    if type(loss) is BinaryCrossEntropy and isinstance(last, Sigmoid | Softmax):
        raise ConfigError(
            f"BinaryCrossEntropy applies sigmoid itself, and the model ends in {type(last).__name__}",
            expected="logits, the outputs of Dense: above 0 for yes",
            received=f"{last.label}, whose outputs are all above 0",
            fix=f"leave {type(last).__name__} out: loss.probabilities(outputs) then gives the probabilities",
        )
    if type(loss) is CrossEntropy and isinstance(last, BELOW_ZERO):
        _warn(
            f"the loss CrossEntropy takes positive scores, and those of {last.label} may be negative",
            fix="use SoftmaxCrossEntropy, or end the model in Softmax",
        )


def on_batches(model: Sequential, batch_size: int, last: int) -> None:
    """Say where BatchNorm would normalise a single value a channel; `last`: samples in the last batch.

    Raises ConfigError where each batch is a single sample.
    """
    single = [
        layer
        for layer in walk(model.layers)
        if isinstance(layer, BatchNorm) and not layer.frozen and math.prod(layer.input_shape[:-1]) == 1
    ]
    if single and batch_size == 1:
        raise ConfigError(
            f"{single[0].label} cannot learn from one sample at a time: less its mean, a value is 0",
            expected="batch_size of at least 2",
            received="batch_size=1",
        )
    if single and last == 1:
        _warn(
            f"the last batch of each epoch is a single sample, and {single[0].label} takes away its own mean",
            fix="another batch_size, or one sample less",
        )


def _warn(problem: str, fix: str) -> None:
    warnings.warn(f"{problem}\n  fix: {fix}", TinynetWarning, stacklevel=4)
