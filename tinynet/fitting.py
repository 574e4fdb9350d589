"""`model.fit(x, y)`, `model.evaluate(x, y)`, `model.score(x, y)`: calls that many know from other libraries.

They are a Trainer with the usual choices made. For schedules, a moving average of the weights, or runs that
can be resumed, make the Trainer yourself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinynet.checks import as_array, real
from tinynet.data.augmentation import Augmentation
from tinynet.data.batches import Batches, check_samples
from tinynet.errors import ConfigError, DataError
from tinynet.history import History
from tinynet.layers import Sigmoid, Softmax
from tinynet.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
    SoftmaxCrossEntropy,
    class_weights,
)
from tinynet.model import EVALUATION_BATCH, Sequential
from tinynet.optim import Optimizer
from tinynet.sample_weights import checked_weights
from tinynet.training import Callback, EpochEnd, Samples, Trainer, checked_callbacks
from tinynet.types import Array


def fit(
    model: Sequential,
    x: Any,
    y: Any,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    validation_data: tuple[Any, Any] | None = None,
    validation_split: float = 0.0,
    class_weight: str | Sequence[float] | Mapping[int, float] | None = None,
    sample_weight: Any = None,
    callbacks: Sequence[Callback] = (),
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    augmentation: Augmentation | None = None,
    verbose: bool = False,
) -> History:
    """Train on samples x (M, *input_shape) and targets y; return the history, a record for each epoch.

    y                  class numbers (M,), or one-hot rows (M, K) for K outputs; else values for the outputs;
                       with loss=SoftmaxCrossEntropy() also rows of probabilities. For a single output, whole
                       numbers are values, too, unless all of them are 0 or 1; floats are values in any case,
                       so for yes or no give 0 and 1 as integers or booleans, or name the loss
    validation_data    (x, y) to measure after each epoch
    validation_split   instead of that, the share of the samples, the last ones, that is measured
    class_weight       "balanced", or a number from 0 for each class, by which its training samples count: a
                       list, or a dict from class number to weight, in which classes that are left out have 1
    sample_weight      a number from 0 for each sample, (M,). Both kinds of weights multiply each other; in
                       validation all samples count alike
    loss               when not given, `loss_for(model, y)`: cross-entropy for classes, squared error else
    optimizer          Adam() when not given, anew for each call
    verbose            print a line for each epoch

    Lists, data frames and tensors that NumPy can view are taken. Training goes on from the weights there are.
    Raises what `Trainer` raises, and DataError for what is no array of numbers.
    """
    inputs = as_array(x, "samples")
    targets = _targets(model, y, loss)
    check_samples(inputs, targets)
    loss = loss or loss_for(model, targets)
    callbacks = checked_callbacks(callbacks)
    weights = None if sample_weight is None else checked_weights(sample_weight, len(inputs))
    held_out: Samples | None = None
    if validation_data is not None:
        if validation_split:
            raise ConfigError("validation_data and validation_split do not go together", fix="leave one out")
        held_out = _pair(model, validation_data, loss)
    elif validation_split:
        share = real(validation_split, "fit", "validation_split", least=0, below=1)
        count = round(share * len(inputs))
        if not 0 < count < len(inputs):
            raise DataError(
                "nothing is left for validation, or for training",
                expected=f"a share of {len(inputs):,} samples that is one or more of them",
                received=validation_split,
            )
        held_out = (inputs[-count:], targets[-count:])
        inputs, targets = inputs[:-count], targets[:-count]
        weights = None if weights is None else weights[:-count]
    if class_weight is not None:
        of_classes = class_weights(class_weight, targets, loss.classes(model.output_shape[-1]))
        weights = of_classes if weights is None else of_classes * weights
    trainer = Trainer(
        model,
        (inputs, targets),
        validation=held_out,
        sample_weight=weights,
        loss=loss,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        augmentation=augmentation,
        callbacks=[*callbacks, *([EpochLines()] if verbose else [])],
    )
    return trainer.run()


def evaluate(model: Sequential, x: Any, y: Any, *, loss: Loss | None = None) -> dict[str, float]:
    """The loss, with the L2 penalty, on x and y; for classes also the accuracy, for values mae, rmse and r2.

    x, y and the loss are as for `fit`; of the figures tells `tinynet.metrics`.
    """
    inputs, targets = _pair(model, (x, y), loss)
    trainer = Trainer(model, (inputs, targets), loss=loss or loss_for(model, targets), epochs=0)
    return trainer.evaluate(Batches(inputs, targets, EVALUATION_BATCH, model.backend))


def score(model: Sequential, x: Any, y: Any, *, loss: Loss | None = None) -> float:
    """The accuracy for classes, R² for values, on x and y, which are as for `fit`: see `tinynet.metrics`.

    (The name is scikit-learn's.) Raises DataError for a single value.
    """
    found = evaluate(model, x, y, loss=loss)
    for name in ("accuracy", "r2"):
        if name in found:
            return found[name]
    raise DataError("one value has no R²", expected="two samples or more", received=1)


def loss_for(model: Sequential, targets: Array) -> Loss:
    """The loss that goes with these targets (M, …) and the model's last layer.

    Class numbers: SoftmaxCrossEntropy; CrossEntropy if the model ends in Softmax or Sigmoid, as the former
    takes logits; BinaryCrossEntropy for 0 and 1 and a single output, which is then a logit: a Trainer refuses
    it after Sigmoid. Values, which for a single output are all other whole numbers and all floats:
    MeanSquaredError.
    """
    if targets.dtype.kind not in "iu":
        return MeanSquaredError()
    if model.output_shape == (1,):
        return MeanSquaredError() if _are_counts(targets) else BinaryCrossEntropy()
    return CrossEntropy() if isinstance(model.layers[-1], Softmax | Sigmoid) else SoftmaxCrossEntropy()


class EpochLines(Callback):
    """Prints a line for each epoch."""

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        figures = {name: value for name, value in event.record.items() if name not in ("epoch", "step")}
        said = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        print(f"epoch {event.record['epoch']}/{trainer.epochs}: {said}", flush=True)


def _pair(model: Sequential, samples: Any, loss: Loss | None) -> Samples:
    if not isinstance(samples, tuple | list) or len(samples) != 2:
        raise DataError("a pair of arrays is needed", expected="(x, y)", received=type(samples).__name__)
    return as_array(samples[0], "samples"), _targets(model, samples[1], loss)


def _targets(model: Sequential, y: Any, loss: Loss | None) -> Array:
    """Class numbers as (M,), also where they came as (M, 1) or, for a classifier, as one-hot rows (M, K)."""
    targets = as_array(y, "targets")
    if targets.dtype.kind == "b":
        targets = targets.astype(np.int64)
    if targets.dtype.kind in "iu" and targets.ndim == 2 and targets.shape[1] == 1 != model.output_shape[-1]:
        return targets[:, 0]
    classifies = loss is None or isinstance(loss, SoftmaxCrossEntropy | CrossEntropy)
    if classifies and targets.ndim == 2 and targets.shape[1:] == model.output_shape and _is_one_hot(targets):
        return targets.argmax(axis=1)
    are_counts = loss is None and _are_counts(targets)
    are_values = targets.dtype.kind == "f" or are_counts or isinstance(loss, MeanSquaredError)
    if targets.ndim == 1 and are_values and model.output_shape == (1,):
        return targets[:, None]
    return targets


def _are_counts(targets: Array) -> bool:
    """Whether they are whole numbers, and not all of them 0 or 1."""
    return targets.dtype.kind in "iu" and not bool(((targets == 0) | (targets == 1)).all())


def _is_one_hot(rows: Array) -> bool:
    """Whether each row has a single 1 and zeros besides, and there are two columns or more."""
    is_one = rows == 1
    return rows.shape[1] > 1 and bool((is_one | (rows == 0)).all() and (is_one.sum(axis=1) == 1).all())
