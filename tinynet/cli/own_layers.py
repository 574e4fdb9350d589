"""Layers of one's own: `--layers FILE.py` runs that file, and a recipe or a model may then name its layers.

Only the person at the keyboard names code: what stands in a recipe or in a model file is never run.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import click

FILES = f"{__name__}.files"
"""Where the running command keeps the names of its files, in the `meta` of its context."""


@contextmanager
def known(file: Path) -> Iterator[None]:
    """Inside the block, the layers that the Python file defines are known by the names of their classes.

    Raises ConfigError for a file without a layer, or with one that has the name of another; and whatever the
    file itself raises.
    """
    from tinynet.errors import ConfigError
    from tinynet.layers import LAYERS, Layer

    module = ModuleType(f"layers of {file.resolve()}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # where dataclasses look up the types of their fields
    own: dict[str, type[Layer]] = {}
    try:
        try:
            exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)  # noqa: S102 (the option is there for that)
        except SystemExit as error:
            raise ConfigError(f"{file} ends the program", expected="classes of layers alone") from error
        own = {
            name: kind
            for name, kind in vars(module).items()
            if isinstance(kind, type)
            and issubclass(kind, Layer)
            and kind.__module__ == module.__name__
            and not inspect.isabstract(kind)
        }
        if not own:
            raise ConfigError(
                f"{file} defines no layer",
                expected="a class that inherits from tinynet.layers.Layer, with build, forward and backward",
            )
        if taken := [name for name in own if name in LAYERS]:
            own = {}
            raise ConfigError(
                f"{file} defines a layer {taken[0]}, and there is one of that name already",
                fix="give the class another name",
            )
        LAYERS.update(own)
        yield
    finally:
        for name in own:
            LAYERS.pop(name, None)
        del sys.modules[module.__name__]


def enter(context: click.Context, parameter: click.Parameter, files: tuple[Path, ...]) -> None:
    """Let the layers in the files be known until the command ends."""
    if context.resilient_parsing:  # a shell asks for completions
        return
    for file in files:
        context.meta.setdefault(FILES, []).append(str(file))
        context.with_resource(known(file))


def again(context: click.Context) -> list[str]:
    """The options to give a command that goes on with what this one made."""
    return [word for file in context.meta.get(FILES, ()) for word in ("--layers", file)]


def blame(error: BaseException | None, context: click.Context) -> str | None:
    """The line of the user's file in which an error arose, or one that caused it, and what it says.

    None where it arose elsewhere.
    """
    files = context.meta.get(FILES, ())
    while files and error is not None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
        what = f"{type(error).__name__}: {error}"
        if isinstance(error, SyntaxError) and error.filename in files:
            return f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
        if frames:
            return f"{frames[-1].filename}, line {frames[-1].lineno}, in {frames[-1].name}: {what}"
        error = error.__cause__
    return None
