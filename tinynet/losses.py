"""Losses: one number that says how wrong a batch of outputs is, and its gradient.

Each has `forward(outputs, targets) -> (loss, cache)`, the mean over the batch, and `backward(cache)`, the
gradient of that mean with respect to the outputs. `probabilities(outputs)` is what a classifier trained with
the loss believes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet.backends.base import Backend
from tinynet.backends.recording import operations_for
from tinynet.checks import Checked, real, refusal
from tinynet.errors import ConfigError, DataError, DTypeError, ShapeError
from tinynet.types import Array

if TYPE_CHECKING:
    from tinynet.model import Sequential


@dataclass(eq=False)
class Loss(Checked, ABC):
    """A differentiable measure of error. `start(model)` gives it the model's backend."""

    ops: Backend = field(init=False, repr=False)
    user: object = field(default=None, init=False, repr=False)
    """A token of the last Trainer that was given it."""

    def start(self, model: Sequential) -> None:
        """Compute where `model` computes."""
        self.ops = operations_for(self, model.backend, model.workspace, "loss")

    @abstractmethod
    def forward(self, outputs: Array, targets: Array) -> tuple[Array, Any]:
        """(mean loss as a 0-d float64 array that the next forward may overwrite, cache)."""

    @abstractmethod
    def backward(self, cache: Any) -> Array:
        """∂loss/∂outputs, in the shape of the outputs."""

    def check(self, outputs: Array, targets: Array) -> None:
        """Raise unless targets of this shape and dtype go with outputs of that shape. Values are not read."""
        return

    def answers(self, targets: Array) -> Array:
        """What outputs are compared with: the targets, but for weights that stand in them."""
        return targets

    def probabilities(self, outputs: Array) -> Array:
        """Class probabilities (N, K) from the model's outputs (N, K)."""
        raise ConfigError(
            f"{type(self).__name__} has no class probabilities",
            expected="a model trained as a classifier",
            fix="train with SoftmaxCrossEntropy",
        )


@dataclass(eq=False)
class SoftmaxCrossEntropy(Loss):
    """L = -(1/N) Σₙ Σₖ qₙₖ log pₙₖ,   p = softmax(z)        logits z (N, K), labels (N,) in 0 … K-1

    q puts 1 - ε on the label and spreads ε = `smoothing` evenly over all K classes (Szegedy et al.,
    "Rethinking the Inception architecture", 2015; ε = 0 is plain cross-entropy). The gradient is

        ∂L/∂z = (p - q) / N

    Why: log pₖ = zₖ - log Σⱼ e^{zⱼ}, whose derivative by zⱼ is δⱼₖ - pⱼ; weigh by q, which sums to 1.
    """

    smoothing: float = 0.0

    def check_settings(self) -> None:
        self.settle("smoothing", real, least=0, below=1)

    def check(self, outputs: Array, targets: Array) -> None:
        check_labels(outputs, targets)

    def forward(self, outputs: Array, targets: Array) -> tuple[Array, Any]:
        self.check(outputs, targets)
        return self.ops.softmax_cross_entropy(outputs, targets, self.smoothing)

    def backward(self, cache: Any) -> Array:
        gradient: Array = cache  # p is there in forward: one pass makes both
        return gradient

    def probabilities(self, outputs: Array) -> Array:
        return self.ops.softmax(outputs)


@dataclass(eq=False)
class WeightedCrossEntropy(SoftmaxCrossEntropy):
    """L = -(1/N) Σₙ w[labelₙ] Σₖ qₙₖ log pₙₖ,   p = softmax(z)        logits z (N, K), labels (N,), w (K,)

    SoftmaxCrossEntropy with a weight for each class: errors on a rare one count as much as it should. Like
    Keras' class_weight, it divides by the number of samples, not by the sum of their weights. The gradient is

        ∂L/∂zₙ = w[labelₙ] (pₙ - qₙ) / N

    `weights` has a number from 0 for each class, not all of them 0; see `balanced`.
    """

    weights: Sequence[float] = ()

    def check_settings(self) -> None:
        super().check_settings()
        self.settle("weights", _weights)

    def check(self, outputs: Array, targets: Array) -> None:
        super().check(outputs, targets)
        if outputs.shape[1] != len(self.weights):
            raise ShapeError(
                "there are not as many weights as classes",
                expected=f"{outputs.shape[1]}, one for each output",
                received=f"{len(self.weights)}",
            )

    def forward(self, outputs: Array, targets: Array) -> tuple[Array, Any]:
        self.check(outputs, targets)
        return self.weighed(outputs, targets, self.ops.xp.asarray(self.weights)[targets])

    def weighed(self, outputs: Array, labels: Array, weights: Array) -> tuple[Array, Any]:
        """(loss, gradient) with a weight for each sample, (N,)."""
        xp, K, weights = self.ops.xp, outputs.shape[1], weights[:, None]
        z = outputs.astype("float64")
        z = z - z.max(axis=1, keepdims=True)
        logs = z - xp.log(xp.exp(z).sum(axis=1, keepdims=True))
        q = (xp.arange(K) == labels[:, None]) * (1.0 - self.smoothing) + self.smoothing / K
        seen = xp.where(q > 0, logs, 0.0)  # where q is 0, log p may be -∞, and counts for nothing
        loss = -(weights * q * seen).sum() / len(labels)
        return loss, (weights * (xp.exp(logs) - q) / len(labels)).astype(outputs.dtype)


@dataclass(eq=False)
class CrossEntropy(Loss):
    """L = -(1/N) Σₙ log( sₙ,label / Σₖ sₙₖ )        positive scores s (N, K), labels (N,) in 0 … K-1

    For a net that ends in softmax, or in sigmoid: the scores of a row are first divided by their sum, as
    Keras' sparse categorical cross-entropy does. Scores are taken as at least 1e-7, so log never sees 0.

        ∂L/∂sₖ = ( 1/Σⱼ sⱼ  -  [k = label] / sₖ ) / N        (0 where sₖ was raised to 1e-7)
    """

    FLOOR = 1e-7

    def check(self, outputs: Array, targets: Array) -> None:
        check_labels(outputs, targets)

    def forward(self, outputs: Array, targets: Array) -> tuple[Array, Any]:
        self.check(outputs, targets)
        return self.ops.cross_entropy(outputs, targets, self.FLOOR)

    def backward(self, cache: Any) -> Array:
        gradient: Array = cache  # as above
        return gradient

    def probabilities(self, outputs: Array) -> Array:
        scores = self.ops.xp.maximum(outputs, outputs.dtype.type(self.FLOOR))
        return scores / scores.sum(axis=-1, keepdims=True)


@dataclass(eq=False)
class MeanSquaredError(Loss):
    """L = (1/M) Σ (y - t)²        outputs y and targets t of one shape with M values in all

    ∂L/∂y = 2 (y - t) / M
    """

    def check(self, outputs: Array, targets: Array) -> None:
        if outputs.shape != targets.shape:
            raise ShapeError(
                "mean squared error compares arrays of one shape",
                expected=f"targets {outputs.shape}, like the outputs",
                received=targets.shape,
            )

    def forward(self, outputs: Array, targets: Array) -> tuple[Array, Any]:
        self.check(outputs, targets)
        error = outputs - targets.astype(outputs.dtype)
        return self.ops.xp.square(error, dtype="float64").mean(), error  # in float32 squares may overflow

    def backward(self, cache: Any) -> Array:
        error = cache
        return error * (2.0 / error.size)


LOSSES: dict[str, type[Loss]] = {
    kind.__name__: kind
    for kind in (SoftmaxCrossEntropy, WeightedCrossEntropy, CrossEntropy, MeanSquaredError)
}


def balanced(labels: Array, classes: int) -> tuple[float, ...]:
    """A weight for each class by which all count alike: N / (K · its samples), as scikit-learn's "balanced".

    labels (N,) of 0 … K-1. Raises DataError for a class without samples.
    """
    counts = np.bincount(labels, minlength=classes)
    if not counts.all():
        raise DataError(
            f"no training sample is of class {int(np.argmin(counts > 0))}, so it cannot be given its share",
            expected=f"samples of each of the {classes} classes",
            received=f"{int((counts == 0).sum())} classes without any",
            fix="give weights as a table, or leave the class out",
        )
    return tuple((len(labels) / (classes * counts)).tolist())


def weighted(loss: Loss, weights: str | Sequence[float], labels: Array, classes: int) -> Loss:
    """The loss with class weights: a table of them, or "balanced" by the labels (N,)."""
    if type(loss) is not SoftmaxCrossEntropy:
        raise ConfigError(
            "only SoftmaxCrossEntropy takes class weights",
            expected="a net that ends in logits, trained by SoftmaxCrossEntropy",
            received=type(loss).__name__,
        )
    if isinstance(weights, str):
        if weights != "balanced":
            raise ConfigError(
                "class weights are a table of numbers", expected='or "balanced"', received=repr(weights)
            )
        weights = balanced(labels, classes)
    return WeightedCrossEntropy(loss.smoothing, weights)


def _weights(value: Any, owner: str, setting: str) -> tuple[float, ...]:
    """A number from 0 for each class, at least one of them above 0."""
    expected = "a list of numbers from 0, one for each class, not all of them 0"
    if not isinstance(value, list | tuple | np.ndarray) or not len(value):
        raise refusal(value, owner, setting, expected)
    found = tuple(float(real(each, owner, setting, least=0)) for each in value)
    if not any(found):
        raise refusal(value, owner, setting, expected)
    return found


def check_labels(outputs: Array, labels: Array) -> None:
    """Raise unless `labels` (N,) are integers for outputs (N, K). Their range the trainer checks once."""
    if outputs.ndim != 2 or labels.shape != outputs.shape[:1]:
        raise ShapeError(
            "outputs and labels do not go together",
            expected="outputs (N, K) and labels (N,)",
            received=f"outputs {outputs.shape} and labels {labels.shape}",
            fix="end the model in Flatten(), Dense(K); pass class numbers, not one-hot rows",
        )
    if labels.dtype.kind not in "iu":
        raise DTypeError("labels are class numbers", expected="an integer dtype", received=labels.dtype)


def check_label_range(labels: Array, classes: int) -> None:
    """Raise DataError unless every label of the host array (N,) lies in 0 … classes-1."""
    if labels.ndim != 1:
        raise ShapeError("labels are one number a sample", expected="(N,)", received=labels.shape)
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            "a label is out of range",
            expected=f"0 … {classes - 1}: the model has {classes} outputs",
            received=f"{labels[row]} at row {row} ({int(wrong.sum())} rows in all)",
            fix="number the classes from 0, or give the last layer more units",
        )
