"""What every loss has, and checks of class numbers."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from tinynet.backends.base import Backend
from tinynet.backends.recording import operations_for
from tinynet.checks import Checked
from tinynet.errors import ConfigError, DataError, DTypeError, ShapeError
from tinynet.losses.measures import Accuracy, Measure
from tinynet.printable import counted
from tinynet.types import Array, Shape

if TYPE_CHECKING:
    from tinynet.model import Sequential


@dataclass(eq=False)
class Loss(Checked, ABC):
    """A differentiable measure of error. `start(model)` gives it the model's backend."""

    takes_soft: ClassVar[bool] = False
    """Whether targets may be probabilities for each class, as those of mixed images are."""
    ops: Backend = field(init=False, repr=False)
    user: object = field(default=None, init=False, repr=False)
    """A token of the last Trainer that was given it."""

    def start(self, model: Sequential) -> None:
        """Compute where `model` computes."""
        self.ops = operations_for(self, model.backend, model.workspace, "loss")

    def __getstate__(self) -> dict[str, Any]:
        """A copy has the settings; `start` gives it a backend."""
        return {name: value for name, value in vars(self).items() if name not in ("ops", "user")}

    @abstractmethod
    def forward(self, outputs: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Any]:
        """(mean loss as a 0-d float64 array that the next forward may overwrite, cache).

        With `weights` v (N,) each sample's loss counts vₙ times: (1/N) Σ vₙ Lₙ. As in Keras, the sum is
        divided by the number of samples, not by the sum of their weights.
        """

    @abstractmethod
    def backward(self, cache: Any) -> Array:
        """∂loss/∂outputs, in the shape of the outputs."""

    def check(self, outputs: Array, targets: Array) -> None:
        """Raise unless targets of this shape and dtype go with outputs of that shape. Values are not read."""
        return

    def check_values(self, targets: Array, output_shape: Shape) -> None:
        """Raise DataError where a value among the targets, on the host, has no meaning for such outputs."""
        if are_labels(targets, output_shape):
            check_label_range(targets, output_shape[-1])

    def measure(self, targets: Array, output_shape: Shape) -> Measure:
        """What a training says besides the loss: of class numbers the accuracy, else nothing."""
        return Accuracy() if are_labels(targets, output_shape) else Measure()

    @property
    def takes_weights(self) -> bool:
        """Whether samples may have weights."""
        return "weights" in inspect.signature(self.forward).parameters

    def classes(self, outputs: int) -> int:
        """How many classes it tells apart by so many outputs."""
        return outputs

    def probabilities(self, outputs: Array) -> Array:
        """Class probabilities (N, K) from the model's outputs (N, K)."""
        raise ConfigError(
            f"{type(self).__name__} has no class probabilities",
            expected="a model trained as a classifier",
            fix="train with SoftmaxCrossEntropy",
        )


def are_labels(targets: Array, output_shape: Shape) -> bool:
    """Whether the targets are class numbers (N,), for outputs (N, K)."""
    return targets.ndim == 1 and targets.dtype.kind in "iu" and len(output_shape) == 1


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
        values = "; for values, give floats, or train with MeanSquaredError" if classes == 1 else ""
        raise DataError(
            "a label is out of range",
            expected=f"0 … {classes - 1}: the model has {counted(classes, 'output')}",
            received=f"{labels[row]} at row {row} (such rows: {int(wrong.sum())} of {len(labels)})",
            fix=f"number the classes from 0, or give the last layer more units{values}",
        )
