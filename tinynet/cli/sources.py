"""Which data a command on a run works with: the run's own, wherever they lie now, unless others are named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import click
import numpy as np
from click.core import ParameterSource

from tinynet.checkpoint import Loaded
from tinynet.cli.progress import load_dataset
from tinynet.cli.screen import console
from tinynet.data.datasets import AND, NAMES, Choices, Dataset, Split, is_joined
from tinynet.errors import ConfigError, DataError, RunError, TinynetError
from tinynet.losses import LOSSES, MeanSquaredError
from tinynet.runs import provenance
from tinynet.runs.recipe import Recipe
from tinynet.runs.settings import Settings
from tinynet.types import Shape

Place: TypeAlias = tuple[str, Path | None]
"""A data set's name or path, and the folder of its files."""
MOVED = "name the place of its data: --data-dir FOLDER, or --dataset FILE for Kaggle's CSV"


def load_for(
    plan: Recipe,
    name: str,
    data_dir: Path | None,
    choices: Choices = Choices(),  # noqa: B008 (frozen)
) -> tuple[Recipe, Dataset]:
    """The data set to train on, and the recipe for it: pictures have the recipe's size, unless `choices` say
    another, and the recipe gets their channels and classes."""
    asked = choices.shape
    if asked is None:  # the default says nothing of channels
        default = plan.input_shape == Recipe.input_shape
        choices = replace(choices, shape=plan.input_shape[:2] if default else plan.input_shape)
    dataset = load_dataset(name, data_dir, choices=choices)
    if isinstance(plan.training.loss, MeanSquaredError):
        raise ConfigError(
            f"MeanSquaredError is for values, and {dataset.name} has classes",
            expected=", ".join(each for each in LOSSES if each != "MeanSquaredError"),
            received="MeanSquaredError",
            fix='loss = "SoftmaxCrossEntropy" under [training] in the recipe; '
            "for values, use model.fit in Python",
        )
    _check_size(dataset, asked)
    if dataset.whole:
        before = plan.last_dense
        plan = plan.for_data(dataset.train.images.shape[1:], len(dataset.classes))
        if before and plan.last_dense and plan.last_dense.units == 1 != before.units:
            console.print(
                f"The last Dense has 1 unit, not {before.units}: it is the logit of {dataset.classes[1]}"
                f" against {dataset.classes[0]}, by BinaryCrossEntropy."
            )
    if dataset.parts:
        console.print(dataset.parts)
    if name not in NAMES:
        plan = _with_all_of(plan, len(dataset.train))
    return plan, dataset


def _with_all_of(plan: Recipe, available: int) -> Recipe:
    """The recipe for data of one's own: the number of images that it names need not be there."""
    training = plan.training.with_all_of(available)
    if training is not plan.training:
        console.print(
            f"The recipe takes {plan.training.samples:,} training images; all {available:,} are taken here, "
            f"{100 * training.validation:.1f} % of them for validation."
        )
    return replace(plan, training=training)


def load_sized(name: str, data_dir: Path | None, size: Shape | None, skip_broken: bool) -> Dataset:
    """The data set to look at, its pictures scaled to `size`: (H, W) or (H, W, C), 28 x 28 by default."""
    dataset = load_dataset(name, data_dir, choices=Choices(size, skip_broken=skip_broken))
    _check_size(dataset, size)
    return dataset


def _check_size(dataset: Dataset, asked: Shape | None) -> None:
    """Raise DataError for images of another size than --size says."""
    found = dataset.train.images.shape[1:]
    if asked and found[: len(asked)] != asked:
        raise DataError(
            f"{dataset.name} has a size of its own: --size is for pictures in folders",
            expected=found,
            received=asked,
            fix="leave --size out",
        )


def _check_classes(data: Dataset, part: Split, loaded: Loaded) -> None:
    """Raise DataError where images are of a class that the net has no output for."""
    outputs = loaded.loss.classes(loaded.model.output_shape[-1])
    if part.labels.max() >= outputs:
        known = loaded.about.get("classes")
        raise DataError(
            f"the net knows other classes than {data.name} has",
            expected=", ".join(known) if known else f"{outputs} classes",
            received=", ".join(data.classes),
            fix="name images of the net's classes by --dataset; to teach it these: tinynet train --from",
        )


def lasting_name(asked: str, found: str) -> str:
    """The data set asked for, by a name that means the same later and in any folder.

    `found` is the name of what was loaded. A known name stays that name, whatever lies in the folder.
    """
    if asked == "auto":
        return found
    if is_joined(asked):
        return AND.join(lasting_name(each, each) for each in asked.split(AND))
    return asked if asked in NAMES else str(Path(asked).resolve())


def _alike(one: Split, other: Split) -> bool:
    return np.array_equal(one.labels, other.labels) and np.array_equal(one.images, other.images)


class Sources:
    """Finds the data of runs, with what `--dataset` and `--data-dir` of the running command say."""

    def __init__(self, dataset: str | None, data_dir: Path | None, skip_broken: bool = False) -> None:
        self.dataset, self.data_dir, self.skip_broken = dataset, data_dir, skip_broken
        self._loaded: dict[tuple[str, str | None, Choices], Dataset] = {}

    def to_test(
        self, settings: Settings | None, loaded: Loaded, split: str = "test"
    ) -> tuple[Dataset, Split, str]:
        """The same, of it the part to measure on ("test", "validation", "train" or "all"), and what is to be
        said of that.

        Raises DataError for a data set without such images, or of more classes than the net has outputs for;
        RunError where the validation images are not known.
        """
        if split == "validation":
            return *self._validation(settings), ""
        data = self.to_measure(settings, loaded)
        part = data.split(split)
        if not len(part):
            raise DataError(
                f"{data.name} has no {split} part",
                expected="images that the net did not learn from",
                received="a data set that was read with --test 0",
                fix="name others by --dataset FOLDER --split all, or measure these: --split train"
                if self.dataset is None
                else "measure all its images: --split all",
            )
        _check_classes(data, part, loaded)
        total = len(data.train) + len(data.test)
        if self.dataset is None or data.parts is None or len(part) == total:
            return data, part, ""
        measured = f"Measured on its {split} part alone, {len(part):,} of {total:,} images."
        return data, part, f"{data.parts} {measured} For all of them: --split all."

    def _validation(self, settings: Settings | None) -> tuple[Dataset, Split]:
        """The run's own data set, and the images of it that the run held out of its training."""
        if settings is None:
            raise RunError(
                "which images were held out is not known: the weights are in no run's folder",
                expected="a run's folder, or a file in it",
                fix="name the run's folder, or measure the test images: --split test",
            )
        data = self.own(settings, notice=True)
        _, held_out = provenance.train_and_validation(settings, data)
        if not len(held_out):
            raise RunError(
                f"the run of {settings.name} with seed {settings.seed} held no images out of its training",
                expected="a run with validation images",
                received="a recipe without",
                fix="measure the test images: --split test",
            )
        return data, held_out

    def check_validated_alike(self, runs: Sequence[Path], settings: Sequence[Settings | None]) -> None:
        """Raise RunError unless all runs held out the same images of their training sets."""
        first, *others = map(self._validation, settings)
        for run, other in zip(runs[1:], others, strict=True):
            if not _alike(first[1], other[1]):
                raise RunError(
                    f"{run} held out other images than {runs[0]}, which one of them may have learned from",
                    expected=f"the {len(first[1]):,} validation images of {first[0].name} that {runs[0]} has",
                    received=f"{len(other[1]):,} of {other[0].name}",
                    fix="leave one out, or measure the test images: --split test",
                )

    def to_measure(self, settings: Settings | None, loaded: Loaded) -> Dataset:
        """The data set named; else the run's own, or for a file in no run's folder, that of its name."""
        about = loaded.about
        if self.dataset is not None:
            known = tuple(map(str, about.get("classes", ()))) or None
            choices = Choices(loaded.model.input_shape, classes=known)
            if settings is not None:
                choices = replace(choices, test=settings.test)
            skip_broken = self.skip_broken or (settings is not None and settings.skip_broken)
            choices = replace(choices, skip_broken=skip_broken)
            return self._load(self.dataset, self.data_dir, choices, notice=True)
        if settings is not None:
            return self.own(settings, notice=True)
        known = about.get("dataset")
        return self._load(known if known in NAMES else "auto", self.data_dir, Choices(), notice=True)

    def own(self, settings: Settings, *, notice: bool = False) -> Dataset:
        """The run's own data set, checked by its hash; from the place named, if one is."""
        named = [*self._named(settings)]
        return self._first(settings, named or [*self._known(settings)], notice)

    def find(self, settings: Settings) -> Dataset:
        """The data set of any run: from the place named, or from where it was."""
        return self._first(settings, [*self._named(settings), *self._known(settings)], False)

    def _named(self, settings: Settings) -> Iterator[Place]:
        """What the command line names."""
        source = click.get_current_context().get_parameter_source("data_dir")
        if self.dataset is not None:
            yield self.dataset, self.data_dir
        elif source is ParameterSource.COMMANDLINE:
            yield from self._below(settings)

    def _known(self, settings: Settings) -> Iterator[Place]:
        """Where the run had it, and the folder that the environment names."""
        yield settings.dataset, Path(settings.data_dir) if settings.data_dir else None
        yield from self._below(settings)

    def _below(self, settings: Settings) -> Iterator[Place]:
        """The run's data set in the folder named: one of the names, or a CSV with its old file's name."""
        if self.data_dir is None:
            return
        if settings.dataset in NAMES:
            yield settings.dataset, self.data_dir
            return
        file = self.data_dir / Path(settings.dataset).name
        yield str(file if file.exists() else self.data_dir), None

    def _first(self, settings: Settings, places: list[Place], notice: bool) -> Dataset:
        """The data set in the first place whose hash is the one that the run knows."""
        received: list[str] = []
        other = ""
        for name, folder in dict.fromkeys(places):
            try:
                found = provenance.part_of(
                    settings, self._load(name, folder, settings.choices, notice=notice)
                )
            except TinynetError as error:
                received.append(str(error).splitlines()[0])
                continue
            if found.sha256 == settings.data_sha256:
                return found
            received.append(f"{found.name} with {found.sha256}")
            other = found.name
        if other:
            raise RunError(
                f"the data set {other} is not the one the run {settings.name} was trained on",
                expected=settings.data_sha256,
                received="; ".join(received),
                fix=MOVED,
            )
        raise RunError(
            f"the data that the run {settings.name} was trained on are not found",
            expected=f"{settings.dataset} with {settings.data_sha256}",
            received="; ".join(received),
            fix=MOVED,
        )

    def _load(self, name: str, folder: Path | None, choices: Choices, *, notice: bool) -> Dataset:
        choices = Choices() if name in NAMES else choices
        key = (name, str(folder) if folder else None, choices)
        if key not in self._loaded:
            self._loaded[key] = load_dataset(name, folder, notice=notice, choices=choices)
        return self._loaded[key]
