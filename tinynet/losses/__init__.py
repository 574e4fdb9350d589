"""Losses: one number that says how wrong a batch of outputs is, and its gradient.

Each has `forward(outputs, targets, weights) -> (loss, cache)`, the mean over the batch, and then
`backward(cache)`, the gradient of that mean with respect to the outputs. `probabilities(outputs)` is what a
classifier trained with the loss believes.
"""

from __future__ import annotations

from tinynet.losses.base import Loss, are_labels, check_label_range, check_labels
from tinynet.losses.binary import BinaryCrossEntropy
from tinynet.losses.class_weights import balanced, class_weights
from tinynet.losses.cross_entropy import CrossEntropy, SoftmaxCrossEntropy, check_several
from tinynet.losses.squared_error import MeanSquaredError

__all__ = [
    "LOSSES",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Loss",
    "MeanSquaredError",
    "SoftmaxCrossEntropy",
    "are_labels",
    "balanced",
    "check_label_range",
    "check_labels",
    "check_several",
    "class_weights",
]

LOSSES: dict[str, type[Loss]] = {
    kind.__name__: kind for kind in (SoftmaxCrossEntropy, CrossEntropy, BinaryCrossEntropy, MeanSquaredError)
}
