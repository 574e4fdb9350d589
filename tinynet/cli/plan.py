"""A recipe with what the command line says instead."""

from __future__ import annotations

import dataclasses

from tinynet.data.augmentation import Augmentation
from tinynet.io import tables
from tinynet.optim import OPTIMIZERS
from tinynet.runs.recipe import Recipe
from tinynet.schedules import SCHEDULES


def changed(
    plan: Recipe,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    validation: float | None = None,
    optimizer: str | None = None,
    learning_rate: float | None = None,
    schedule: str | None = None,
    class_weight: str | None = None,
    mixup: float | None = None,
    cutmix: float | None = None,
) -> Recipe:
    """The recipe with what is not None instead; a new optimiser or schedule has its defaults.

    Raises ConfigError for a value that will not do.
    """
    if epochs is not None:
        plan = plan.with_epochs(epochs)
    training = plan.training
    moves, course = training.optimizer, training.schedule
    if optimizer and optimizer != type(moves).__name__:
        moves = tables.from_table(OPTIMIZERS, {"type": optimizer}, "optimizer")
    if learning_rate is not None:
        moves = dataclasses.replace(moves, learning_rate=learning_rate)
    if schedule and schedule != type(course).__name__:
        course = tables.from_table(SCHEDULES, {"type": schedule}, "schedule")
    training = dataclasses.replace(
        training,
        batch_size=training.batch_size if batch_size is None else batch_size,
        validation=training.validation if validation is None else validation,
        optimizer=moves,
        schedule=course,
        class_weight=class_weight or training.class_weight,
        augmentation=_mixing(training.augmentation, mixup=mixup, cutmix=cutmix),
    )
    return dataclasses.replace(plan, training=training)


def _mixing(plan: Augmentation | None, **asked: float | None) -> Augmentation | None:
    """The augmentation with these settings, as far as they are not None; None where nothing is to be done."""
    given = {name: value for name, value in asked.items() if value is not None}
    if plan is None and not any(given.values()):
        return None
    return dataclasses.replace(plan or Augmentation(), **given)
