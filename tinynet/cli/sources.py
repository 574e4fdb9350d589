"""Which data a command on a run works with: the run's own, wherever they lie now, unless others are named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import click
from click.core import ParameterSource

from tinynet.cli.progress import load_dataset
from tinynet.data.datasets import NAMES, Dataset
from tinynet.errors import RunError, TinynetError
from tinynet.runs import provenance
from tinynet.runs.settings import Settings

Place: TypeAlias = tuple[str, Path | None]
"""A data set's name or path, and the folder of its files."""
MOVED = "name the place of its data: --data-dir FOLDER, or --dataset FILE for Kaggle's CSV"


def lasting_name(asked: str, found: str) -> str:
    """The data set asked for, by a name that means the same later and in any folder.

    `found` is the name of what was loaded. A known name stays that name, whatever lies in the folder.
    """
    if asked == "auto":
        return found
    return asked if asked in NAMES else str(Path(asked).resolve())


class Sources:
    """Finds the data of runs, with what `--dataset` and `--data-dir` of the running command say."""

    def __init__(self, dataset: str | None, data_dir: Path | None) -> None:
        self.dataset, self.data_dir = dataset, data_dir
        self._loaded: dict[tuple[str, str | None], Dataset] = {}

    def to_measure(self, settings: Settings | None, about: Mapping[str, Any]) -> Dataset:
        """The data set named; else the run's own, or for a file in no run's folder, that of its name."""
        if self.dataset is not None:
            return self._load(self.dataset, self.data_dir, notice=True)
        if settings is not None:
            return self.own(settings, notice=True)
        known = about.get("dataset")
        return self._load(known if known in NAMES else "auto", self.data_dir, notice=True)

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
                found = provenance.part_of(settings, self._load(name, folder, notice=notice))
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

    def _load(self, name: str, folder: Path | None, *, notice: bool) -> Dataset:
        key = (name, str(folder) if folder else None)
        if key not in self._loaded:
            self._loaded[key] = load_dataset(name, folder, notice=notice)
        return self._loaded[key]
