"""From a table of plain values (TOML, JSON) to an object and back, with every key and type checked.

Layers, losses, optimisers and schedules are dataclasses, so their fields are the whole description:
`{"type": "Dense", "units": 10}` is `Dense(units=10)`.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from tinynet.errors import ConfigError, did_you_mean

T = TypeVar("T")


def from_table(kinds: Mapping[str, type[T]], table: object, what: str) -> T:
    """The object that `table` describes.

    `kinds` maps the value of the key `type` to a dataclass, `what` says in errors what is being built
    ("layer", "optimiser"). Raises ConfigError on an unknown type, an unknown or missing key, a wrong value.
    """
    if not isinstance(table, Mapping) or "type" not in table:
        raise ConfigError(
            f"a {what} is described by a table with a type",
            expected='for example {type = "' + next(iter(kinds)) + '", …}',
            received=repr(table),
        )
    name = table["type"]
    if not isinstance(name, str) or name not in kinds:
        raise ConfigError(
            f"unknown {what}", expected=", ".join(kinds), received=repr(name), fix=did_you_mean(name, kinds)
        )
    arguments = {key: value for key, value in table.items() if key != "type"}
    return from_arguments(kinds[name], arguments, f"{what} {name}")


def from_arguments(kind: type[T], arguments: Mapping[str, Any], what: str) -> T:
    """`kind(**arguments)` after checking each argument against the fields of the dataclass `kind`."""
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    for key, value in arguments.items():
        if key not in fields:
            raise ConfigError(
                f"unknown key {key!r} for {what}",
                expected=", ".join(fields) or "no keys",
                received=repr(key),
                fix=did_you_mean(key, fields),
            )
        if not _fits(value, hints[key]):
            raise ConfigError(
                f"wrong value for {key!r} of {what}",
                expected=_plain(hints[key]),
                received=f"{value!r} ({type(value).__name__})",
            )
    missing = [n for n, f in fields.items() if _is_required(f) and n not in arguments]
    if missing:
        raise ConfigError(f"{what} lacks {', '.join(missing)}", expected=", ".join(fields))
    return kind(**{key: _as_hinted(value, hints[key]) for key, value in arguments.items()})


def to_table(thing: object) -> dict[str, Any]:
    """The table that `from_table` turns back into an equal object; fields at their default are left out."""
    table: dict[str, Any] = {"type": type(thing).__name__}
    for field in dataclasses.fields(thing):  # type: ignore[arg-type]
        if not field.init:
            continue
        value = getattr(thing, field.name)
        if _is_required(field) or value != field.default:
            table[field.name] = list(value) if isinstance(value, tuple) else value
    return table


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _fits(value: object, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in inner)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        if len(inner) == 2 and inner[1] is Ellipsis:
            return all(_fits(item, inner[0]) for item in value)
        return len(value) == len(inner) and all(map(_fits, value, inner))
    if origin in (dict, list):
        return isinstance(value, origin)
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, type(None) if hint is None else hint)


def _as_hinted(value: Any, hint: Any) -> Any:
    """Lists become tuples where a tuple is hinted: TOML and JSON have no tuples."""
    if isinstance(value, list) and "tuple" in str(hint):
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    return value


def _plain(hint: Any) -> str:
    """A type in words for people who write TOML."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_plain, inner))
    if origin in (list, tuple):
        count = f" of {len(inner)}" if origin is tuple and Ellipsis not in inner else ""
        return f"a list{count}, each {_plain(inner[0])}"
    if origin is dict:
        return "a table"
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return names.get(hint, "nothing")
