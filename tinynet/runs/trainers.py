"""From a recipe to a Trainer."""

from __future__ import annotations

from collections.abc import Sequence

from tinynet.backends.base import Backend
from tinynet.callbacks.monitors import EarlyStopping, Monitor, ReduceOnPlateau
from tinynet.data.augmentation import Augmentation
from tinynet.data.datasets import Split
from tinynet.distributed.group import ALONE, Group
from tinynet.io import tables
from tinynet.losses import LOSSES
from tinynet.model import Sequential
from tinynet.optim import OPTIMIZERS
from tinynet.runs import recipe
from tinynet.schedules import SCHEDULES
from tinynet.training import Samples, Trainer


def build_trainer(
    plan: recipe.Training,
    model: Sequential,
    train: Samples,
    *,
    validation: Samples | None = None,
    epochs: int | None = None,
    group: Group = ALONE,
) -> Trainer:
    """A Trainer with all that the plan says; `epochs`: instead of the plan's."""
    table = plan.augmentation
    return Trainer(
        model,
        train,
        validation=validation,
        loss=tables.from_table(LOSSES, plan.loss, "loss"),
        optimizer=tables.from_table(OPTIMIZERS, plan.optimizer, "optimizer"),
        schedule=tables.from_table(SCHEDULES, plan.schedule, "schedule"),
        epochs=plan.epochs_on(len(train[0])) if epochs is None else epochs,
        batch_size=plan.batch_size,
        augmentation=None if table is None else tables.from_arguments(Augmentation, table, "Augmentation"),
        ema_decay=plan.ema_decay,
        group=group,
    )


def trainer_from_recipe(
    train: Split,
    plan: recipe.Recipe,
    *,
    backend: Backend,
    dtype: str,
    seed: int,
    freeze: Sequence[str] = (),
    group: Group = ALONE,
) -> Trainer:
    """A new model, ready to learn from the first images of `train`, validated by those the plan holds out."""
    learned, held_out = split_train_validation(plan.training, train)
    model = Sequential.from_config(plan.as_table(), backend=backend, dtype=dtype, seed=seed, freeze=freeze)
    validation = (held_out.images, held_out.labels) if len(held_out) else None
    samples = (learned.images, learned.labels)
    return build_trainer(plan.training, model, samples, validation=validation, group=group)


def split_train_validation(plan: recipe.Training, train: Split) -> tuple[Split, Split]:
    """The samples of a training set that the plan learns from, and those it is validated by."""
    count, held_out = plan.cut(len(train))
    images, labels, end = train.images, train.labels, count + held_out
    return Split(images[:count], labels[:count]), Split(images[count:end], labels[count:end])


def monitors(plan: recipe.Training) -> list[Monitor]:
    """The listeners that the plan asks for: those that stop early, or slow down on a plateau."""
    return [
        tables.from_arguments(kind, table, kind.__name__)
        for kind, table in ((EarlyStopping, plan.early_stopping), (ReduceOnPlateau, plan.reduce_on_plateau))
        if table is not None
    ]
