"""A run: one training in a folder of its own, from its configuration to its report.

config.json          what was asked for: recipe, data set and its hash, seed, backend, weights to start from
log.jsonl            what happened, one JSON object a line
last.safetensors     the whole training state: `resume` goes on from it
best.safetensors     the model of the best epoch by the recipe's `monitor`
model.safetensors    the model at the end
tensorboard/         the log's figures as TensorBoard reads them, if it was asked for
predictions.csv      label, prediction and its probability for every test image
report.md, .json     figures computed from the log and the predictions, with two plots
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import backends, checkpoint, config, recipe
from tinynet.augmentation import Augmentation
from tinynet.backends.base import Backend
from tinynet.callbacks import (
    BestCheckpoint,
    Callback,
    EarlyStopping,
    JsonLog,
    LastCheckpoint,
    Monitor,
    ReduceOnPlateau,
)
from tinynet.data.datasets import Dataset, Split
from tinynet.distributed import ALONE, Group
from tinynet.errors import ConfigError, RunError, ShapeError
from tinynet.files import write_atomic
from tinynet.losses import LOSSES
from tinynet.model import Sequential
from tinynet.optim import OPTIMIZERS
from tinynet.schedules import SCHEDULES
from tinynet.tensorboard import TensorBoardLog
from tinynet.training import Samples, Trainer
from tinynet.types import Array

DIFFERENCES = 5
"""So many are named where a run had other settings."""


@dataclass(frozen=True)
class Settings:
    """All that decides how a run goes; config.json holds it."""

    name: str
    recipe: recipe.Table
    dataset: str
    data_dir: str | None
    data_sha256: str
    seed: int
    backend: str
    dtype: str
    command: str
    convolution: str = "auto"
    precision: str = "float32"
    parent: Parent | None = None
    freeze: list[str] = field(default_factory=list)
    """Patterns of layers and parameters that keep their weights."""


@dataclass(frozen=True)
class Parent:
    """What a run started from instead of random weights."""

    path: str
    """The folder of a finished run, or a safetensors file."""
    weights_sha256: str
    settings: Settings | None
    """Of the run that made the weights; None where that is not known."""
    anew: str | None = None
    """The layer that kept its random weights, as it is for other classes."""


def trainer_for(
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
        loss=config.from_table(LOSSES, plan.loss, "loss"),
        optimizer=config.from_table(OPTIMIZERS, plan.optimizer, "optimizer"),
        schedule=config.from_table(SCHEDULES, plan.schedule, "schedule"),
        epochs=plan.epochs_on(len(train[0])) if epochs is None else epochs,
        batch_size=plan.batch_size,
        augmentation=None if table is None else config.from_arguments(Augmentation, table, "Augmentation"),
        average=plan.average,
        group=group,
    )


def trainer_on(
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
    learned, held_out = parts(plan.training, train)
    model = Sequential.from_config(plan.as_table(), backend=backend, dtype=dtype, seed=seed, freeze=freeze)
    validation = (held_out.images, held_out.labels) if len(held_out) else None
    samples = (learned.images, learned.labels)
    return trainer_for(plan.training, model, samples, validation=validation, group=group)


def parts(plan: recipe.Training, train: Split) -> tuple[Split, Split]:
    """The samples of a training set that the plan learns from, and those it is validated by."""
    count, held_out = plan.cut(len(train))
    images, labels, end = train.images, train.labels, count + held_out
    return Split(images[:count], labels[:count]), Split(images[count:end], labels[count:end])


def monitors(plan: recipe.Training) -> list[Monitor]:
    """The listeners that the plan asks for: those that stop early, or slow down on a plateau."""
    return [
        config.from_arguments(kind, table, kind.__name__)
        for kind, table in ((EarlyStopping, plan.early_stopping), (ReduceOnPlateau, plan.reduce_on_plateau))
        if table is not None
    ]


class Run:
    """A training ready to go: `train()`, then `finish()`.

    Several processes in a `group` have a Run of the same folder each; only the first one writes into it, and
    finishes.
    """

    def __init__(self, folder: Path, settings: Settings, dataset: Dataset, group: Group = ALONE) -> None:
        self.folder, self.settings, self.dataset, self.group = folder, settings, dataset, group
        self.recipe = recipe.from_table(settings.recipe)
        group.choose_device(settings.backend)
        self.trainer = trainer_on(
            dataset.train,
            self.recipe,
            backend=backends.get(
                settings.backend, convolution=settings.convolution, precision=settings.precision
            ),
            dtype=settings.dtype,
            seed=settings.seed,
            freeze=settings.freeze,
            group=group,
        )
        self.about = {
            "name": settings.name,
            "classes": list(dataset.classes),
            "dataset": dataset.name,
            "data_sha256": dataset.sha256,
        }
        self.listeners = self._listeners(self.recipe.training)
        for listener in self.listeners:
            listener.check(self.trainer)

    @classmethod
    def start(cls, folder: Path, settings: Settings, dataset: Dataset, group: Group = ALONE) -> Run:
        """A new run in `folder`, which must be new or empty. Raises RunError where it is not."""
        run = cls(folder, settings, dataset, group)  # everything is checked before the folder is made
        run._take_weights()
        if group.rank > 0:
            return run
        try:
            folder.mkdir(parents=True, exist_ok=True)
            taken = any(folder.iterdir())
        except OSError as error:
            raise RunError(
                f"the folder {folder} cannot be used: {error.strerror}", fix="choose another --out"
            ) from error
        if taken:
            raise RunError(
                f"the folder {folder} is not empty",
                fix=f"choose another --out, or go on with that run: tinynet train --resume {folder}",
            )
        text = json.dumps(dataclasses.asdict(run.settings), indent=1)
        write_atomic(folder / "config.json", text.encode())
        return run

    @classmethod
    def resume(cls, folder: Path, settings: Settings, dataset: Dataset, group: Group = ALONE) -> Run:
        """The run in `folder`, as `read_settings` found it, where its last checkpoint left it."""
        if dataset.sha256 != settings.data_sha256:
            raise RunError(
                f"the data set {dataset.name} is not the one this run was started with",
                expected=settings.data_sha256,
                received=dataset.sha256,
                fix="name the folder with the original data: --data-dir",
            )
        run = cls(folder, settings, dataset, group)
        last = folder / "last.safetensors"
        if not last.exists():  # killed before its first checkpoint: it starts again
            run._take_weights()
        else:
            checkpoint.load_training(last, run.trainer, run.listeners)
            if run.trainer.state.stopped == "interrupted":
                run.trainer.state.stopped = None
        return run

    def _take_weights(self) -> None:
        """Start from the parent's weights, if there is a parent."""
        parent, model = self.settings.parent, self.trainer.model
        if parent is None:
            return
        start = checkpoint.start_from(final_model(Path(parent.path)), model, self.dataset.classes)
        if start.weights_sha256 != parent.weights_sha256:
            raise RunError(
                f"the weights in {parent.path} are not those that this run started from",
                expected=parent.weights_sha256,
                received=start.weights_sha256,
                fix="start a new run from them",
            )
        if start.anew and any(name.startswith(f"{start.anew}.") for name in model.store.frozen):
            raise ConfigError(
                f"{start.anew} starts from random weights, as its classes are others: it must learn",
                expected="patterns that do not freeze it",
                received=", ".join(self.settings.freeze),
            )
        self.settings = dataclasses.replace(
            self.settings, parent=dataclasses.replace(parent, anew=start.anew)
        )

    def train(
        self, callbacks: Sequence[Callback] = (), *, save_every: float = 30.0, tensorboard: bool = False
    ) -> bool:
        """Train to the end, `callbacks` listening too; False when it was interrupted.

        A checkpoint is written at every epoch's end and, within an epoch, every `save_every` seconds. A run
        that began with the log for TensorBoard goes on with it, asked for or not.
        """
        self._check_alike()
        if self.group.rank > 0:
            self.trainer.run([each for each in self.listeners if not isinstance(each, BestCheckpoint)])
            return self._is_complete()
        opening = {"settings": dataclasses.asdict(self.settings), "notice": self.dataset.notice}
        logs: list[Callback] = [JsonLog(self.folder / "log.jsonl", opening)]
        events = self.folder / "tensorboard"
        if tensorboard or events.exists():
            logs.append(TensorBoardLog(events))
        last = LastCheckpoint(self.folder / "last.safetensors", self.listeners, self.about, save_every)
        self.trainer.run([*self.listeners, *logs, last, *callbacks])
        return self._is_complete()

    def finish(self, *, threads: int | None = None) -> dict[str, Any]:
        """Save the model, predict the test images, write predictions and report; return the report."""
        from tinynet.report import write_report

        model, loss = self.trainer.model, self.trainer.loss
        checkpoint.save_model(self.folder / "model.safetensors", model, loss, self.about)
        began = time.perf_counter()
        predictions = predict(model, loss, self.dataset.test.images)
        seconds = time.perf_counter() - began
        write_predictions(self.folder / "predictions.csv", self.dataset.test, predictions)
        return write_report(
            self.folder,
            config=dataclasses.asdict(self.settings),
            history=self.trainer.state.history,
            labels=self.dataset.test.labels,
            predicted=predictions.classes,
            classes=self.dataset.classes,
            facts={
                "command": self.settings.command,
                "notice": self.dataset.notice,
                "backend": model.backend.name,
                "processes": self.group.size if self.group.size > 1 else None,
                "threads": threads,
                "dtype": model.dtype,
                "seed": model.seed,
                "parameters": model.store.count + model.store.state_count,
                "weights_sha256": checkpoint.weights_sha256(model),
                **origin(self.settings),
                "stopped": self.trainer.state.stopped,
                "evaluation_seconds": seconds,
                "data": {
                    "name": self.dataset.name,
                    "source": self.dataset.source,
                    "hash": self.dataset.sha256,
                },
            },
        )

    def _check_alike(self) -> None:
        """Raise RunError unless all processes have the same data, weights and place in the run."""
        if self.group.size == 1:
            return
        weights = checkpoint.weights_sha256(self.trainer.model)
        text = f"{self.dataset.sha256} {weights} {self.trainer.state.step}"
        number = int(hashlib.sha256(text.encode()).hexdigest()[:10], 16)  # sums stay exact
        if self.group.any(self.group.total(number)[0] != number * self.group.size):
            raise RunError(
                "the processes do not begin alike",
                expected="the same data set, weights and number of steps in each",
                received=f"{self.dataset.name} and step {self.trainer.state.step} in this one",
                fix="give all machines the same data and, for --resume or --from, the same folders",
            )

    def _is_complete(self) -> bool:
        return not self.group.any(self.trainer.state.stopped == "interrupted")

    def _listeners(self, plan: recipe.Training) -> list[Monitor]:
        if self.trainer.validation is None:
            return monitors(plan)
        best = self.folder / "best.safetensors"
        return [BestCheckpoint(path=best, about=self.about, monitor=plan.monitor), *monitors(plan)]


@dataclass(frozen=True)
class Predictions:
    """What a classifier believes of M images: the probability of each of K classes, (M, K)."""

    probabilities: Array

    @property
    def classes(self) -> Array:
        """The most probable class of each image, int64 (M,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidence(self) -> Array:
        """The probability of that class (M,)."""
        return self.probabilities.max(axis=1)


def predict(model: Sequential, loss: Any, images: Array) -> Predictions:
    """What a classifier makes of host images (M, H, W, C)."""
    if images.shape[1:] != model.input_shape:
        raise ShapeError(
            "the images do not fit the model", expected=model.input_shape, received=images.shape[1:]
        )
    outputs = model.backend.asarray(model.predict(images))
    return Predictions(model.backend.to_host(loss.probabilities(outputs)))


def write_predictions(path: Path, split: Split, predictions: Predictions) -> None:
    """A CSV line for every image: its index, label, predicted class, and the probability of that."""
    rows = zip(split.labels, predictions.classes, predictions.confidence, strict=True)
    lines = [f"{i},{label},{guess},{p:.6f}" for i, (label, guess, p) in enumerate(rows)]
    write_atomic(path, ("index,label,predicted,confidence\n" + "\n".join(lines) + "\n").encode())


def read_predictions(folder: Path) -> tuple[Array, Array, Array]:
    """Labels, predicted classes and their probabilities, (N,) each, as a run's predictions.csv has them."""
    path = folder / "predictions.csv"
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
        labels, predicted = (np.array([int(row[name]) for row in rows]) for name in ("label", "predicted"))
        return labels, predicted, np.array([float(row["confidence"]) for row in rows])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} cannot be read",
            expected="index,label,predicted,confidence and a row for each test image",
            received=error,
            fix=f"finish the run: tinynet train --resume {folder}",
        ) from error


def train_once(
    folder: Path,
    settings: Settings,
    dataset: Dataset,
    *,
    listen: Callable[[], Callback] = Callback,
    threads: int | None = None,
) -> dict[str, Any]:
    """The report of the run in `folder`: one that is there and finished, that goes on, or that begins.

    `listen()` makes a listener for the training, if any is left to do. Raises RunError if what is there had
    other settings, and KeyboardInterrupt when training is interrupted; it goes on in another call.
    """
    there = (folder / "config.json").exists()
    if there:
        _check_same(folder, settings)
    if not (folder / "report.md").exists():
        run = (Run.resume if there else Run.start)(folder, settings, dataset)
        if not run.train([listen()]):
            raise KeyboardInterrupt
        run.finish(threads=threads)
    try:
        report: dict[str, Any] = json.loads((folder / "report.json").read_text("utf-8"))
    except ValueError as error:
        raise RunError(
            f"the report in {folder} is damaged", received=error, fix="delete that folder and train again"
        ) from error
    return report


def _check_same(folder: Path, asked: Settings) -> None:
    """Raise RunError unless the run in `folder` has the settings asked for, wherever its data lie."""
    found, wanted = (dict(_leaves(dataclasses.asdict(s))) for s in (read_settings(folder), asked))
    names = [name for name in wanted | found if name not in ("command", "data_dir")]
    different = [name for name in names if found.get(name) != wanted.get(name)]
    if different:
        shown, more = different[:DIFFERENCES], ", …" if len(different) > DIFFERENCES else ""
        raise RunError(
            f"the run in {folder} had other settings",
            expected=", ".join(f"{name} {wanted.get(name)}" for name in shown) + more,
            received=", ".join(f"{name} {found.get(name)}" for name in shown) + more,
            fix="choose another --out, or delete that folder",
        )


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in nested tables and lists, by the path to it."""
    if isinstance(value, dict | list | tuple):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(each, f"{place}.{key}" if place else str(key))
    else:
        yield place, value


def next_folder(name: str, parent: Path = Path("runs")) -> Path:
    """The first of runs/name-1, runs/name-2, … that does not exist."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"


def read_settings(folder: Path) -> Settings:
    """What config.json in a run's folder says. Raises RunError where there is none, or it is damaged."""
    path = folder / "config.json"
    try:
        return _settings(json.loads(path.read_text("utf-8")))
    except FileNotFoundError as error:
        raise RunError(
            f"{folder} is not the folder of a run",
            expected="a folder with a config.json, which `tinynet train` made",
            fix="check the path; `tinynet train` prints it",
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{path} is damaged", received=error, fix="start the run again") from error


def _settings(table: dict[str, Any]) -> Settings:
    parent = table.get("parent")
    if parent is None:
        return Settings(**table)
    before = parent["settings"]
    parent = Parent(**{**parent, "settings": None if before is None else _settings(before)})
    return Settings(**{**table, "parent": parent})


def origin(settings: Settings) -> dict[str, str | None]:
    """What a report says of the weights that a run started from; nothing of random ones."""
    parent = settings.parent
    path, sha256, anew = (parent.path, parent.weights_sha256, parent.anew) if parent else (None, None, None)
    return {
        "started_from": path,
        "started_from_sha256": sha256,
        "initialised_anew": anew,
        "frozen": ", ".join(settings.freeze) or None,
    }


def final_model(path: Path) -> Path:
    """The file with the model of the finished run in the folder `path`; `path` itself, if it is no folder.

    Raises RunError for a folder that is no run's, or whose run is not finished.
    """
    if not path.is_dir():
        return path
    read_settings(path)
    file = path / "model.safetensors"
    if not file.exists():
        raise RunError(
            f"the run in {path} is not finished",
            expected="a model.safetensors",
            received="none",
            fix=f"finish it: tinynet train --resume {path}",
        )
    return file
