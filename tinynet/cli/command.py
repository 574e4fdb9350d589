"""A command that refuses an option given twice or without a value, instead of taking something in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import click

from tinynet.cli.out import Out

GIVEN = "tinynet.given"


class Command(click.Command):
    """A click command whose options are given once, but for flags and those that can be repeated, and whose
    words are not empty."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # else a shell asks for completions
            ctx.meta[GIVEN], _, order = self.make_parser(ctx).parse_args([*args])
            for parameter, times in Counter(order).items():
                if not isinstance(parameter, click.Option):
                    continue
                hint = parameter.get_error_hint(ctx)
                if times > 1 and _takes_one(parameter):
                    raise click.UsageError(f"{hint} is given {times} times; it takes one value.", ctx)
                if parameter.type is click.STRING and "" in _values(parameter, ctx):
                    raise click.UsageError(f"{hint} is empty: give it a value, or leave it out.", ctx)
        rest = super().parse_args(ctx, args)
        _keep_what_is_read(ctx)
        return rest


def given_options(ctx: click.Context, *, without: Collection[str] = ()) -> list[str]:
    """The options that were given to a `Command`, word by word, but those whose parameters are `without`."""
    words = []
    for option in ctx.command.params:
        if isinstance(option, click.Option) and option.name in ctx.meta[GIVEN].keys() - without:
            for each in _values(option, ctx):
                words += [option.opts[0]] if option.is_flag else [option.opts[0], str(each)]
    return words


def _keep_what_is_read(ctx: click.Context) -> None:
    """Raise UsageError where the file to be written is one that the command reads."""
    outputs = {each.name: each for each in ctx.command.params if isinstance(each.type, Out)}
    others = [value for name, value in ctx.params.items() if name not in outputs]
    read = [each for value in others for each in (value if isinstance(value, tuple) else (value,))]
    for name, option in outputs.items():
        written = ctx.params.get(name or "")
        if written and written.is_file() and any(is_same_file(written, each) for each in read):
            hint = option.get_error_hint(ctx)
            raise click.UsageError(f"{hint}: {written} is read, too, and would be lost: name another.", ctx)


def is_same_file(file: Path, other: object) -> bool:
    """Whether `other` is a path of that file, too; False for what is no path, or no file's."""
    try:
        return isinstance(other, str | Path) and file.samefile(other)
    except (OSError, ValueError):
        return False


def _values(option: click.Option, ctx: click.Context) -> list[Any]:
    """What the option was given, as it was written."""
    value = ctx.meta[GIVEN][option.name]
    return [*value] if option.multiple else [value]


def _takes_one(option: click.Option) -> bool:
    return not (option.multiple or option.is_flag or option.count)


class Group(click.Group):
    """A click group of such commands."""

    command_class = Command
