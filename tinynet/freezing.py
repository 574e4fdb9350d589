"""Which parameters stay as they are: patterns of names, matched against layers and their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import accumulate

from tinynet.errors import ConfigError
from tinynet.layers.base import Layer


def frozen_parameters(layers: Sequence[Layer], patterns: Sequence[str]) -> set[str]:
    """Full names of the parameters that match a pattern themselves, or whose layer does.

    Raises ConfigError for a pattern without a match, and where nothing would be left to learn.
    """
    matches: set[str] = set()
    names = {name: _owners(name) for layer in layers for name in parameter_names(layer)}
    known = [*dict.fromkeys(each for owners in names.values() for each in owners), *names]
    for pattern in patterns:
        found = {
            name
            for name, owners in names.items()
            if any(fnmatchcase(each, pattern) for each in (name, *owners))
        }
        if not found:
            raise ConfigError(
                f"no layer and no parameter matches {pattern!r}, so nothing of it can be frozen",
                expected=", ".join(known),
                received=pattern,
                fix="name some of these; * stands for anything",
            )
        matches |= found
    if matches and len(matches) == len(names):
        raise ConfigError(
            "everything is frozen, so nothing would learn",
            expected="patterns that leave a parameter to learn",
            received=", ".join(patterns),
        )
    return matches


def parameter_names(layer: Layer) -> list[str]:
    """Full names of a built layer's parameters, such as "dense_1.W"."""
    return [f"{layer.name}.{spec.name}" for spec in layer.param_specs]


def _owners(parameter: str) -> list[str]:
    """The layers that a parameter is part of: residual_1 and residual_1.dense_1 of residual_1.dense_1.W."""
    return list(accumulate(parameter.split(".")[:-1], "{}.{}".format))
