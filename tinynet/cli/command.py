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
    for option in ctx.command.params:
        written = ctx.params.get(option.name or "")
        if not isinstance(option.type, Out) or not written or not written.is_file():
            continue
        for name, value in ctx.params.items():
            for each in value if isinstance(value, tuple) else (value,):
                if name != option.name and isinstance(each, str | Path) and _is_same(written, each):
                    hint = option.get_error_hint(ctx)
                    raise click.UsageError(
                        f"{hint}: {written} is read, too, and would be lost: name another.", ctx
                    )


def _is_same(file: Path, other: str | Path) -> bool:
    try:
        return file.samefile(other)
    except (OSError, ValueError):  # no file, or no name of one
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
