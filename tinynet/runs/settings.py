"""The settings of a run, as its config.json keeps them, and where its files lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from tinynet.data.datasets import Choices
from tinynet.errors import ConfigError, RunError
from tinynet.io import tables
from tinynet.io.reading import read_json, reason
from tinynet.io.run_folder import name_a_run
from tinynet.printable import printable, quoted
from tinynet.runs.recipe import FAMILIES, Recipe

MAX_BYTES = 2**20
"""Of a config.json; ours have 2,000."""
SURROGATES = "".join(map(chr, range(0xDC80, 0xDD00)))
"""What stands for the bytes of a name that is no UTF-8."""


@dataclass(frozen=True)
class Settings:
    """All that determines a run; config.json holds it."""

    name: str
    recipe: Recipe
    dataset: str
    data_dir: str | None
    data_sha256: str
    seed: int
    backend: str
    dtype: str
    command: str
    convolution: str = "auto"
    precision: str = "float32"
    start: StartingPoint | None = None
    freeze: list[str] = field(default_factory=list)
    """Patterns of layers and parameters that keep their weights."""
    fold: tuple[int, int] | None = None
    """Of a cross-validation: the run is tested on fold k (from 1) of K, and trained on the others."""
    test: float | None = None
    """The share of the data that became the test part, where they came without one: see `Choices`."""
    skip_broken: bool = False
    """Whether pictures that cannot be read were left out."""

    def __post_init__(self) -> None:
        names = {PurePosixPath(self.name).name, PureWindowsPath(self.name).name}
        if (
            names != {self.name}
            or self.name in ("", "..")
            or printable(self.name, keep=SURROGATES) != self.name
        ):
            raise ConfigError(  # a folder is called by it, and it may come from a run of somebody else's
                "this is no name for a run",
                expected="a name that a folder can have, without a path",
                received=repr(self.name),
            )

    @property
    def choices(self) -> Choices:
        """How the data set is read."""
        return Choices(self.recipe.input_shape, test=self.test, skip_broken=self.skip_broken)

    def as_table(self) -> dict[str, Any]:
        """What config.json holds: plain values; what is at its default is left out."""
        return tables.to_arguments(self)


@dataclass(frozen=True)
class StartingPoint:
    """The weights that a run started from instead of random ones."""

    path: str
    """The folder of a finished run, or a safetensors file."""
    weights_sha256: str
    settings: Settings | None
    """Those of the run that trained the weights; None where it is not known."""
    reinitialised: str | None = None
    """The layer that starts from random weights, since its classes are others."""


def read_settings(folder: Path) -> Settings:
    """What config.json in a run's folder says. Raises RunError where there is none, or it is damaged."""
    path = folder / "config.json"
    try:
        table = read_json(path, MAX_BYTES)
        return tables.from_arguments(Settings, table, "config.json", FAMILIES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(
            f"{folder} is not the folder of a run",
            expected="a folder with a config.json, which `tinynet train` made",
            fix=name_a_run(folder),
        ) from error
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise RunError(f"{path} is damaged", received=reason(error), fix="start the run again") from error


def origin(settings: Settings) -> dict[str, str | None]:
    """A report's facts about the weights that a run started from; None where they were random."""
    start = settings.start
    return {
        "started_from": start.path if start else None,
        "started_from_sha256": start.weights_sha256 if start else None,
        "reinitialised": start.reinitialised if start else None,
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
            fix=f"finish it: tinynet train --resume {quoted(path)}",
        )
    return file
