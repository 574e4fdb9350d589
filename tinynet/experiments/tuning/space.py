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

import dataclasses
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from tinynet.errors import ConfigError
from tinynet.io import tables, toml
from tinynet.layers import Layer
from tinynet.layers.stack import walk
from tinynet.runs.recipe import FAMILIES, Recipe

Table: TypeAlias = dict[str, Any]

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
        return tables.to_arguments(self)


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

    def applied(self, values: Mapping[str, Any], plan: Recipe) -> Recipe:
        """The recipe with these values in it.

        Raises ConfigError for a path that leads nowhere, or a value that cannot stand there.
        """
        shallow_first = sorted(values, key=lambda path: (path.count("."), "*" not in path))
        for path in shallow_first:  # a whole table comes before its parts
            plan = _changed_recipe(plan, path, values[path])
        return plan

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
        """The text of a file that `read` reads."""
        lines = [f"{toml.key(path)} = {toml.inline(plain)}" for path, plain in self.as_table().items()]
        return "\n".join(["[search]", *lines]) + "\n"

    def _check_value(self, plan: Recipe, path: str, value: Any) -> None:
        try:
            self.applied({path: value}, plan)
        except ConfigError as error:
            raise ConfigError(
                f"the recipe cannot take {value!r} for {path!r}",
                received=str(error).replace("\n", ";"),
                fix="correct the search space; `tinynet tune NAME --show-space` shows one that fits",
            ) from error


def read(path: str | Path) -> Space:
    """The space in a TOML file. Raises ConfigError for a file or a table that makes no sense."""
    table = toml.load(path)
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


def _changed_recipe(plan: Recipe, path: str, value: Any) -> Recipe:
    """The recipe with `value` where `path` leads."""
    first, *rest = path.split(".")
    if path == WIDTH:
        return dataclasses.replace(plan, layers=_scaled(plan.layers, value))
    if first == "layers" and rest:
        return dataclasses.replace(plan, layers=_changed_layers(plan.layers, rest, value))
    return _changed(plan, path.split("."), value, "the recipe")


def _changed(thing: Any, path: list[str], value: Any, what: str) -> Any:
    """A copy of a dataclass with `value` where `path` leads, checked as if it came from a file."""
    name, *rest = path
    inner = getattr(thing, name, None)
    if rest and dataclasses.is_dataclass(inner):
        value = _changed(inner, rest, value, name)
    else:
        for key in reversed(rest):
            value = {key: value}
    now = {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing) if f.init}
    return tables.from_arguments(type(thing), now | {name: value}, what, FAMILIES)


def _changed_layers(layers: Sequence[Layer], path: list[str], value: Any) -> list[Layer]:
    place, *key = path
    chosen = [i for i in range(len(layers)) if place in ("*", str(i))]
    if key:
        chosen = [i for i in chosen if key[0] in _settings_of(layers[i])]
    if not chosen or len(key) > 1:
        known = "*" if place == "*" else f"0 to {len(layers) - 1}"
        wanted = f"layers.{'.'.join(path)}"
        raise ConfigError("no layer has this setting", expected=f"layers {known}", received=wanted)
    changed = list(layers)
    for i in chosen:
        kind = type(layers[i]).__name__
        changed[i] = (
            _changed(layers[i], key, value, f"layer {kind}")
            if key
            else tables.from_table(FAMILIES[Layer], value, "layer", FAMILIES)
        )
    return changed


def _settings_of(layer: Layer) -> set[str]:
    return {field.name for field in dataclasses.fields(layer) if field.init}


def _scaled(layers: Sequence[Layer], factor: float) -> list[Layer]:
    """Units and filters times `factor`, as whole numbers of at least 1; not the last layer's that has any."""
    if isinstance(factor, bool) or not isinstance(factor, int | float) or factor <= 0:
        raise ConfigError("the width of a net is scaled", expected="a factor above 0", received=repr(factor))
    sized = [layer for layer in walk(layers) if any(hasattr(layer, name) for name in SIZES)]
    if len(sized) < 2:
        raise ConfigError("no layer before the output has units or filters", expected="one or more")
    return [_widened(layer, factor, sized[-1]) for layer in layers]


def _widened(layer: Any, factor: float, last: Layer) -> Layer:
    """The layer with its sizes and those of the layers inside it times `factor`, unless it is the `last`."""
    if layer is last:
        return last
    sizes: dict[str, Any] = {
        name: max(1, round(getattr(layer, name) * factor)) for name in SIZES if hasattr(layer, name)
    }
    for name in ("layers", "shortcut") if layer.branches else ():
        sizes[name] = [_widened(each, factor, last) for each in getattr(layer, name)]
    return dataclasses.replace(layer, **sizes)
