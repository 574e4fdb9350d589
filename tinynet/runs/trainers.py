"""From a recipe to a Trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tinynet.backends.base import Backend
from tinynet.callbacks.monitors import Monitor
from tinynet.data.datasets import Split
from tinynet.distributed.group import ALONE, Group
from tinynet.losses import class_weights
from tinynet.model import Sequential
from tinynet.runs.recipe import Recipe, Training
from tinynet.training import Samples, Trainer
from tinynet.types import Array


def build_trainer(
    plan: Training,
    model: Sequential,
    train: Samples,
    *,
    validation: Samples | None = None,
    epochs: int | None = None,
    group: Group = ALONE,
) -> Trainer:
    """A Trainer with all that the plan says; `epochs`: instead of the plan's."""
    return Trainer(
        model,
        train,
        validation=validation,
        sample_weight=_weights(plan, model, train[1]),
        loss=replace(plan.loss),  # a copy: a trainer writes into its loss, as it does into its optimiser
        optimizer=replace(plan.optimizer),
        schedule=plan.schedule,
        epochs=plan.epochs_on(len(train[0])) if epochs is None else epochs,
        batch_size=plan.batch_size,
        augmentation=plan.augmentation,
        ema_decay=plan.ema_decay,
        group=group,
    )


def _weights(plan: Training, model: Sequential, labels: Array) -> Array | None:
    """The weight of each sample, by its class; None where all count alike."""
    if plan.class_weight is None:
        return None
    return class_weights(plan.class_weight, labels, plan.loss.classes(model.output_shape[-1]))


def trainer_from_recipe(
    train: Split,
    plan: Recipe,
    *,
    backend: Backend,
    dtype: str,
    seed: int,
    freeze: Sequence[str] = (),
    group: Group = ALONE,
) -> Trainer:
    """A new model and its trainer: on the first images of `train`, with validation on those held out."""
    trained, held_out = split_train_validation(plan.training, train)
    model = plan.build_model(backend=backend, dtype=dtype, seed=seed, freeze=freeze)
    validation = (held_out.images, held_out.labels) if len(held_out) else None
    samples = (trained.images, trained.labels)
    return build_trainer(plan.training, model, samples, validation=validation, group=group)


def split_train_validation(plan: Training, train: Split) -> tuple[Split, Split]:
    """The samples of a training set that the plan trains on, and those it validates by."""
    count, held_out = plan.cut(len(train))
    return train[:count], train[count : count + held_out]


def build_monitors(plan: Training) -> list[Monitor]:
    """The callbacks that the plan asks for: early stopping, and a lower learning rate on a plateau."""
    return [replace(each) for each in (plan.early_stopping, plan.reduce_on_plateau) if each is not None]
