"""Compiling ahead: doing once, on random data, what a run of a recipe does.

Kernels are compiled for the height of a tile, which depends on the size of a batch. So the last, smaller
batches of a run on MNIST or on the bundled sample are gone through as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np

from tinynet.backends.base import Backend
from tinynet.errors import ConfigError
from tinynet.model import EVALUATION_BATCH, Sequential
from tinynet.runs.predictions import predict
from tinynet.runs.recipe import Recipe, Training
from tinynet.runs.trainers import build_trainer
from tinynet.training import Trainer
from tinynet.types import Array

Job: TypeAlias = tuple[str, Callable[[], object]]
"""What is done, and the call that does it."""

DATA_SETS = ((60_000, 10_000), (4_000, 1_000))
"""Training and test images of MNIST (and Fashion-MNIST), and of the sample."""


def steps(recipe: Recipe, backend: Backend, dtype: str = "float32") -> list[Job]:
    """A training step for each batch size of a run, and a prediction for each, and for a single image."""
    learned, predicted = batch_sizes(recipe.training)
    model = recipe.build_model(backend=backend, dtype=dtype)
    images, labels = _random_samples(model, max(learned + predicted))
    samples = [(images[:n], labels[:n]) for n in learned]
    trainers = [build_trainer(recipe.training, model, some, epochs=1) for some in samples]
    loss = trainers[0].loss
    return [
        *((f"training, batch {n}", partial(_train, t)) for n, t in zip(learned, trainers, strict=True)),
        *((f"prediction, batch {n}", partial(predict, model, loss, images[:n])) for n in predicted),
    ]


def batch_sizes(training: Training) -> tuple[list[int], list[int]]:
    """The batch sizes in training, and those in validation and prediction, each with the last of an epoch."""
    learned, predicted = {training.batch_size}, {1, EVALUATION_BATCH}
    for available, tested in DATA_SETS:
        try:
            count, held_out = training.cut(available)
        except ConfigError:  # this recipe cannot be trained on so little
            continue
        learned.add(count % training.batch_size)
        predicted |= {held_out % EVALUATION_BATCH, tested % EVALUATION_BATCH}
    return sorted(learned - {0}, reverse=True), sorted(predicted - {0}, reverse=True)


def _random_samples(model: Sequential, count: int) -> tuple[Array, Array]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *model.input_shape), np.uint8)
    return images, random.integers(0, model.output_shape[-1], count)


def _train(trainer: Trainer) -> None:
    for _ in trainer.events():  # not `run`, which would take a Ctrl-C for itself
        pass
