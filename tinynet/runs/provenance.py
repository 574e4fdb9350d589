"""Where the weights of a run came from: the runs it started from, and the data they were all trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tinynet import checkpoint
from tinynet.data import datasets, folds
from tinynet.data.datasets import Dataset, Split
from tinynet.errors import RunError
from tinynet.runs.recipe import Recipe
from tinynet.runs.settings import Settings, StartingPoint, final_model, read_settings
from tinynet.runs.trainers import split_train_validation

FindData = Callable[[Settings], Dataset]
"""Finds the data set of a run."""


class Origin(NamedTuple):
    """What a run can start from, with the recipe to go by where no other is named, and its name."""

    start: StartingPoint
    recipe: Recipe
    name: str


def settings_of(path: Path, about: dict[str, Any]) -> Settings | None:
    """Those of the run in the folder `path`, or in whose folder the file `path` lies; None for other files.

    `about` is the file's. Raises RunError for a folder whose config.json is damaged.
    """
    return made_by(path / "model.safetensors" if path.is_dir() else path, about)


def find(path: Path) -> Origin:
    """The finished run in the folder `path`, or the safetensors file there.

    A file alone tells its architecture only; the training is then the default one. Raises RunError for a run
    that is not finished, CheckpointError for a file that cannot be read.
    """
    file = final_model(path)
    model, _, about = checkpoint.load_model(file, backend="numpy")
    settings = made_by(file, about)
    start = StartingPoint(str(path.resolve()), checkpoint.weights_sha256(model), settings)
    if settings is not None:
        return Origin(start, settings.recipe, settings.name)
    return Origin(start, Recipe(model.layers, model.input_shape), path.stem)


def made_by(file: Path, about: dict[str, Any]) -> Settings | None:
    """The settings of the run in whose folder the file lies, if it is one of that run's."""
    if not (file.parent / "config.json").exists():
        return None
    settings = read_settings(file.parent)
    own = (about.get("name"), about.get("data_sha256")) == (settings.name, settings.data_sha256)
    return settings if own else None


def ancestors(settings: Settings) -> Iterator[Settings]:
    """The runs whose weights a run started from, the nearest first. RunError where one cannot be told."""
    while settings.start is not None:
        if settings.start.settings is None:
            raise RunError(
                f"the run {settings.name} started from weights whose training data are unknown",
                expected="weights in the folder of the run that made them",
                received=settings.start.path,
                fix="train again from that run's folder: tinynet train --from FOLDER",
            )
        settings = settings.start.settings
        yield settings


def load_data(settings: Settings) -> Dataset:
    """The data set of a run, from where the run had it."""
    found = datasets.load(settings.dataset, data_dir=settings.data_dir, choices=settings.choices)
    return part_of(settings, found)


def part_of(settings: Settings, dataset: Dataset) -> Dataset:
    """What a run has of its data set: all of it, unless it is one of a cross-validation."""
    return folds.part(dataset, *settings.fold, settings.seed) if settings.fold else dataset


def check_own_data(settings: Settings, dataset: Dataset) -> None:
    """Raise RunError if `dataset` is not the one that the run was started with."""
    if dataset.sha256 != settings.data_sha256:
        raise RunError(
            f"the data set {dataset.name} is not the one the run {settings.name} was trained on",
            expected=settings.data_sha256,
            received=dataset.sha256,
            fix="name the folder with the original data (--data-dir), for a CSV the file itself (--dataset)",
        )


def train_and_validation(settings: Settings, dataset: Dataset) -> tuple[Split, Split]:
    """The samples that a run with these settings (trained on, validated by), out of its own data set.

    Raises RunError if `dataset` is not the one the run was started with.
    """
    check_own_data(settings, dataset)
    return split_train_validation(settings.recipe.training, dataset.train)


def generations(
    settings: Settings, dataset: Dataset, load: FindData = load_data
) -> Iterator[tuple[Settings, Split, Split]]:
    """A run with its `parts`, then each of the runs whose weights it started from, found by `load`.

    Raises RunError where the data that those weights were trained on are unknown.
    """
    yield settings, *train_and_validation(settings, dataset)
    for ancestor in ancestors(settings):
        yield ancestor, *train_and_validation(ancestor, load(ancestor))
