"""From a table of plain values (TOML, JSON) to an object and back, with every key and type checked.

Layers, losses, optimisers, schedules, recipes and settings are dataclasses, so their fields are the whole
description: `{"type": "Dense", "units": 10}` is `Dense(units=10)`. A field that holds another such object is
a table in the table.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from tinynet.errors import ConfigError, did_you_mean

T = TypeVar("T")

Families: TypeAlias = Mapping[type, Mapping[str, type]]
"""For a base class, such as Layer, the classes that a table may name by its key `type`."""
NONE: Families = types.MappingProxyType({})
OWN = {"layer": "name the file of a layer of your own: --layers FILE.py (in Python: tinynet.layers.LAYERS)"}
"""What to do where a table asks for a class that is not tinynet's."""


def from_table(kinds: Mapping[str, type[T]], table: object, what: str, families: Families = NONE) -> T:
    """The object that `table` describes.

    `kinds` maps the value of the key `type` to a dataclass, `what` says in errors what is being built
    ("layer", "optimiser"). A text is a type whose settings are at their defaults. Raises ConfigError on an
    unknown type, an unknown or missing key, a wrong value.
    """
    if isinstance(table, str):
        table = {"type": table}
    if not isinstance(table, Mapping) or "type" not in table:
        raise ConfigError(
            f"{'an' if what[0] in 'aeiou' else 'a'} {what} is described by a table with a type",
            expected=f'for example {{ type = "{_simplest(kinds)}" }}',
            received=repr(table),
        )
    name = table["type"]
    if not isinstance(name, str) or name not in kinds:
        fixes = filter(None, (did_you_mean(name, kinds), OWN.get(what)))
        raise ConfigError(
            f"unknown {what}",
            expected=", ".join(kinds),
            received=repr(name),
            fix=" Or ".join(fixes) or None,
        )
    arguments = {key: value for key, value in table.items() if key != "type"}
    return from_arguments(kinds[name], arguments, f"{what} {name}", families)


def from_arguments(kind: type[T], arguments: Mapping[str, Any], what: str, families: Families = NONE) -> T:
    """`kind(**arguments)` after checking each argument against the fields of the dataclass `kind`.

    Where a field holds a dataclass, its argument may be a table: of a class in `families` with the key
    `type`, of any other without. Raises ConfigError as `from_table` does.
    """
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}  # type: ignore[arg-type]
    if not isinstance(arguments, Mapping):
        raise ConfigError(
            f"{what} is no table", expected=", ".join(fields) or "no keys", received=repr(arguments)
        )
    hints = typing.get_type_hints(kind)
    for key in arguments:
        if key not in fields:
            raise ConfigError(
                f"unknown key {key!r} for {what}",
                expected=", ".join(fields) or "no keys",
                received=repr(key),
                fix=_place_of(key, what, hints) or did_you_mean(key, fields),
            )
    missing = [n for n, f in fields.items() if _is_required(f) and n not in arguments]
    if missing:
        raise ConfigError(f"{what} lacks {', '.join(missing)}", expected=", ".join(fields))
    return kind(**{key: _read(value, hints[key], key, what, families) for key, value in arguments.items()})


def _simplest(kinds: Mapping[str, type[Any]]) -> str:
    """The first class that needs no settings, if there is one."""
    for name, kind in kinds.items():
        if not any(field.init and _is_required(field) for field in dataclasses.fields(kind)):
            return name
    return next(iter(kinds))


def _place_of(key: str, what: str, hints: Mapping[str, Any]) -> str | None:
    """The fix for a key that stands one table too high: the table in `what` that takes it."""
    for name, hint in hints.items():
        kind = _dataclass_in(hint)
        if kind and any(field.name == key and field.init for field in dataclasses.fields(kind)):
            return (
                f"it belongs under [{what}.{name}]" if what.isidentifier() else f"it belongs under [{name}]"
            )
    return None


def _read(value: Any, hint: Any, key: str, what: str, families: Families) -> Any:
    """The argument `key` of `what` as its field takes it."""
    if typing.get_origin(hint) is Sequence and isinstance(value, list | tuple):
        return tuple(_read(each, typing.get_args(hint)[0], key, what, families) for each in value)
    kind = _dataclass_in(hint)
    if kind in families and not _fits(value, hint):
        return from_table(families[kind], value, kind.__name__.lower(), families)
    if kind and isinstance(value, Mapping):
        return from_arguments(kind, value, key, families)
    if not _fits(value, hint):
        raise ConfigError(
            f"wrong value for {key!r} of {what}",
            expected=_plain(hint),
            received=f"{value!r} ({type(value).__name__})",
        )
    return _as_hinted(value, hint)


def to_table(thing: object, *, defaults: bool = False) -> dict[str, Any]:
    """The table that `from_table` turns back into an equal object; `defaults` as for `to_arguments`."""
    return {"type": type(thing).__name__, **to_arguments(thing, defaults=defaults)}


def to_arguments(thing: object, *, defaults: bool = False) -> dict[str, Any]:
    """The plain values from which `from_arguments` makes an equal object. With `defaults` all that are not
    None; else those alone that are not at their default."""
    hints = typing.get_type_hints(type(thing))
    values = {
        field: getattr(thing, field.name)
        for field in dataclasses.fields(thing)  # type: ignore[arg-type]
        if field.init
    }
    return {
        field.name: _write(value, hints[field.name], defaults)
        for field, value in values.items()
        if (value is not None if defaults else not _is_default(field, value))
    }


def _write(value: Any, hint: Any, defaults: bool = False) -> Any:
    """A field's value in plain types: a table says its type only where the hint does not."""
    if dataclasses.is_dataclass(value):
        write = to_arguments if _dataclass_in(hint) is type(value) else to_table
        return write(value, defaults=defaults)
    if isinstance(value, list | tuple):
        return [_write(each, Any, defaults) for each in value]
    return value


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
        return bool(_write(value, Any) == _write(default, Any))
    return bool(value == field.default)


def _dataclass_in(hint: Any) -> Any:
    """The dataclass that a hint such as Augmentation or Augmentation | None names; None for other hints."""
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    return next((option for option in options if dataclasses.is_dataclass(option)), None)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _fits(value: object, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if _is_union(hint):
        return any(_fits(value, option) for option in inner)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        if len(inner) == 2 and inner[1] is Ellipsis:
            return all(_fits(item, inner[0]) for item in value)
        return len(value) == len(inner) and all(map(_fits, value, inner))
    if origin is Sequence:
        return isinstance(value, list | tuple)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict)
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
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
    if _is_union(hint):
        return " or ".join(map(_plain, inner))
    if origin in (list, tuple, Sequence):
        count = f" of {len(inner)}" if origin is tuple and Ellipsis not in inner else ""
        return f"a list{count}, each {_plain(inner[0])}"
    if origin is dict or dataclasses.is_dataclass(hint):
        return "a table"
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return names.get(hint, "nothing")
