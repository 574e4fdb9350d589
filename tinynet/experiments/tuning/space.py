"""A search space: for settings of a recipe, the values to try. A small TOML table.

    [search]
    "training.optimizer.learning_rate" = { low = 1e-4, high = 1e-2, log = true }
    "training.batch_size" = [32, 64, 128]
    "training.schedule" = [{ type = "Constant" }, { type = "OneCycle" }]
    "layers.*.rate" = { low = 0.1, high = 0.5 }
    "layers.1.filters" = { low = 8, high = 64, log = true }
    width = { low = 0.5, high = 2.0, log = true }

A name is the path of a setting in the recipe; layers count from 0, and `*` means every layer that has the
setting. `width` multiplies the units and filters of all layers but the last that has any, which gives the
output. A range of whole numbers gives whole numbers. `points` (3 by default) is how many values of a range a
grid takes.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.errors import ConfigError
from tinynet.io import tables, toml
from tinynet.layers import LAYERS
from tinynet.runs import recipe
from tinynet.runs.recipe import Recipe, Table

WIDTH = "width"
SIZES = ("units", "filters")
DIGITS = 4
"""A number from a range is tried, and written down, with so many significant digits."""


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, drawn evenly, or evenly in the logarithm."""

    low: int | float
    high: int | float
    log: bool = False
    points: int = 3

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(
                "a range goes from low to high", expected="low < high", received=f"{self.low}, {self.high}"
            )
        if self.log and self.low <= 0:
            raise ConfigError("a logarithmic range", expected="low above 0", received=self.low)
        if self.points < 2:
            raise ConfigError("points of a range", expected="2 or more", received=self.points)

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def value(self, drawn: Any) -> Any:
        """What is tried for a drawn number: a whole one, or one rounded."""
        if self.whole:
            return int(drawn)
        return min(max(float(f"{drawn:.{DIGITS}g}"), self.low), self.high)

    def grid(self) -> list[int | float]:
        """Its `points` values, ends included; fewer where whole numbers coincide."""
        spaced = np.geomspace if self.log else np.linspace
        values = spaced(self.low, self.high, self.points).tolist()
        return sorted({round(v) for v in values}) if self.whole else [self.value(v) for v in values]

    def as_plain(self) -> Table:
        """The table in the file; what is at its default is left out."""
        table = tables.to_table(self)
        return {name: value for name, value in table.items() if name != "type"}


@dataclass(frozen=True)
class Choices:
    """One of several values of any kind. It is drawn by its label: its text in TOML."""

    values: list[Any]

    def __post_init__(self) -> None:
        if not self.values or len(set(self.labels)) < len(self.values):
            raise ConfigError(
                "a list of choices", expected="one or more, all different", received=self.values
            )

    @property
    def labels(self) -> list[str]:
        """The text of each."""
        return [toml.inline(value) for value in self.values]

    def value(self, drawn: Any) -> Any:
        """The choice with this label."""
        return self.values[self.labels.index(drawn)]

    def grid(self) -> list[str]:
        """All labels."""
        return self.labels

    def as_plain(self) -> list[Any]:
        """The list in the file."""
        return self.values


Setting = Range | Choices


@dataclass(frozen=True)
class Space:
    """The settings to search, by their paths in the recipe."""

    settings: dict[str, Setting]

    def values(self, drawn: Mapping[str, Any]) -> Table:
        """What is tried for what was drawn."""
        return {path: setting.value(drawn[path]) for path, setting in self.settings.items()}

    def applied(self, values: Mapping[str, Any], table: Table) -> Table:
        """The recipe `table` with these values in it. Raises ConfigError for a path that leads nowhere."""
        changed = copy.deepcopy(table)
        for path in sorted(
            values, key=lambda path: (path.count("."), "*" not in path)
        ):  # a whole table first
            _put(changed, path, values[path])
        return changed

    def check(self, plan: Recipe) -> None:
        """Raise ConfigError unless each value, or each end of a range, alone makes `plan` a valid recipe."""
        for path, setting in self.settings.items():
            for drawn in setting.grid():
                self._check_value(plan, path, setting.value(drawn))

    def fitting(self, plan: Recipe) -> Space:
        """Only those settings that `plan` has."""
        kept = {}
        for path, setting in self.settings.items():
            try:
                Space({path: setting}).check(plan)
            except ConfigError:
                continue
            kept[path] = setting
        return Space(kept)

    def combinations(self) -> int:
        """The size of the grid."""
        return math.prod(len(setting.grid()) for setting in self.settings.values())

    def combination(self, place: int) -> Table:
        """What the grid draws in that place, from 0: the last setting changes fastest."""
        drawn = {}
        for path, setting in reversed(self.settings.items()):
            place, index = divmod(place, len(setting.grid()))
            drawn[path] = setting.grid()[index]
        return dict(reversed(drawn.items()))

    def as_table(self) -> Table:
        """Plain values, from which `from_table` makes an equal space."""
        return {path: setting.as_plain() for path, setting in self.settings.items()}

    def to_toml(self) -> str:
        """The text of a file that `load` reads."""
        lines = [f"{toml.key(path)} = {toml.inline(plain)}" for path, plain in self.as_table().items()]
        return "\n".join(["[search]", *lines]) + "\n"

    def _check_value(self, plan: Recipe, path: str, value: Any) -> None:
        try:
            recipe.from_table(self.applied({path: value}, plan.as_table()))
        except ConfigError as error:
            raise ConfigError(
                f"the recipe cannot take {value!r} for {path!r}",
                received=str(error).replace("\n", ";"),
                fix="correct the search space; `tinynet tune NAME --show-space` shows one that fits",
            ) from error


def load(path: str | Path) -> Space:
    """The space in a TOML file. Raises ConfigError for a file or a table that makes no sense."""
    try:
        table = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read", expected="a UTF-8 text file", received=error) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML", received=error) from error
    try:
        return from_table(table)
    except ConfigError as error:
        raise ConfigError(f"in {path}: {error}") from error


def default(plan: Recipe) -> Space:
    """The space that comes with tinynet, as far as `plan` has its settings."""
    text = resources.files("tinynet.experiments.tuning").joinpath("space.toml").read_text("utf-8")
    return from_table(tomllib.loads(text)).fitting(plan)


def from_table(table: Mapping[str, Any]) -> Space:
    """The space that a file's content describes."""
    if list(table) != ["search"] or not isinstance(table["search"], Mapping) or not table["search"]:
        raise ConfigError(
            "a search space is one table", expected="[search], with settings", received=repr(dict(table))
        )
    return Space({path: _setting(path, plain) for path, plain in table["search"].items()})


def _setting(path: str, plain: Any) -> Setting:
    if isinstance(plain, Mapping) and {"low", "high"} <= set(plain):
        return tables.from_arguments(Range, plain, f"the range of {path!r}")
    if isinstance(plain, list):
        return Choices(plain)
    raise ConfigError(
        f"{path!r} is neither a range nor a list of choices",
        expected="{ low = 0.1, high = 0.5 } or [32, 64]",
        received=repr(plain),
        fix='a path with dots stands in quotes: "training.batch_size" = [32, 64]',
    )


def _put(table: Table, path: str, value: Any) -> None:
    """Set what `path` names in a recipe's table."""
    first, *rest = path.split(".")
    if path == WIDTH:
        _scale(table["layers"], value)
    elif first == "layers" and rest:
        _put_in_layers(table["layers"], rest, value)
    else:
        *parents, last = path.split(".")
        for name in parents:
            if table.get(name) is None:
                table[name] = {}
            table = table[name]
            if not isinstance(table, dict):
                raise ConfigError("there is no such setting", expected="a table", received=repr(table))
        table[last] = value


def _put_in_layers(layers: list[Table], rest: list[str], value: Any) -> None:
    place, *key = rest
    known = "*" if place == "*" else f"0 to {len(layers) - 1}"
    chosen = [i for i in range(len(layers)) if place in ("*", str(i))]
    if key:
        chosen = [i for i in chosen if key[0] in _fields(layers[i]["type"])]
    if not chosen or len(key) > 1:
        wanted = f"layers.{'.'.join(rest)}"
        raise ConfigError("no layer has this setting", expected=f"layers {known}", received=wanted)
    for i in chosen:
        layers[i] = {**layers[i], key[0]: value} if key else value


def _fields(layer: str) -> set[str]:
    return {field.name for field in dataclasses.fields(LAYERS[layer]) if field.init}


def _scale(layers: list[Table], factor: float) -> None:
    """Multiply units and filters, to whole numbers of at least 1; not the last layer's that has any."""
    if isinstance(factor, bool) or not isinstance(factor, int | float) or factor <= 0:
        raise ConfigError("the width of a net is scaled", expected="a factor above 0", received=repr(factor))
    sized = [(layer, name) for layer in layers for name in SIZES if name in layer][:-1]
    if not sized:
        raise ConfigError("no layer before the output has units or filters", expected="one or more")
    for layer, name in sized:
        layer[name] = max(1, round(layer[name] * factor))
