"""The command line: one command a file, each loaded when it is needed."""

from __future__ import annotations

import importlib
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable
from functools import partial
from keyword import iskeyword
from typing import Any

import click

from tinynet.cli import own_layers
from tinynet.cli.process import INTERRUPTED, ctrl_c_is_ctrl_c
from tinynet.errors import TinynetError, did_you_mean
from tinynet.io.atomic import fix_for
from tinynet.printable import accept_all_text, printable
from tinynet.version import VERSION

COMMANDS = (
    "train",
    "find-rate",
    "tune",
    "crossval",
    "evaluate",
    "ensemble",
    "audit",
    "predict",
    "explain",
    "card",
    "export",
    "import",
    "serve",
    "summary",
    "gradcheck",
    "read",
    "classical",
    "learn",
    "data",
    "warmup",
    "bench",
    "race",
    "reproduce",
    "doctor",
)


def module_of(name: str) -> str:
    """Where the command of that name stands: `tinynet.cli.NAME`, `find_rate` for find-rate, or `NAME_` for a
    word of Python's."""
    return f"tinynet.cli.{name}_" if iskeyword(name) else f"tinynet.cli.{name.replace('-', '_')}"


class Commands(click.Group):
    """Loads a command when it is asked for; a mistake ends in a message, not a traceback."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        accept_all_text()
        return super().main(*arguments, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(module_of(cmd_name)).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            fix = did_you_mean(args[0], COMMANDS)
            said = error.format_message() + (f"\n  fix: {fix}" if fix else "")
            raise click.UsageError(said, ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings(), ctrl_c_is_ctrl_c():
                warnings.showwarning = partial(_show, warnings.showwarning)
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except TinynetError as error:
            said = own_layers.blame(error.__cause__, ctx) or str(error)
            raise click.ClickException(broken_at_words(printable(said, keep="\n"))) from error
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            fix = fix_for(error)
            said = f"{place}{error.strerror or error}" + (f"\n  fix: {fix}" if fix else "")
            raise click.ClickException(broken_at_words(printable(said, keep="\n"))) from error
        except MemoryError as error:
            raise click.ClickException(f"out of memory: {error or 'no more could be had'}") from error
        except Exception as error:
            own = own_layers.blame(error, ctx)
            if own is None:
                raise
            raise click.ClickException(broken_at_words(printable(own, keep="\n"))) from error


def broken_at_words(text: str) -> str:
    """The text broken at words where a terminal shows it; a line with a command stays whole, to be copied."""
    if not sys.stderr.isatty():
        return text
    width = shutil.get_terminal_size().columns - len("Error: ")
    at_words = textwrap.TextWrapper(
        width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    lines = []
    for line in text.splitlines():
        is_command = any(program in line for program in ("tinynet ", "pip install "))
        lines += [line] if is_command else at_words.wrap(line) or [line]
    return "\n".join(lines)


def _show(others: Callable[..., None], message: object, category: type, *place: Any) -> None:
    """Print warnings that are meant for users as they are, without the line of Python they come from."""
    if issubclass(category, UserWarning):
        click.echo(f"Warning: {message}", err=True)
    else:
        others(message, category, *place)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="tinynet")
def main() -> None:
    """A small neural-network engine: train, look inside, use.

    \b
    tinynet train                      train a small CNN on handwritten digits
    tinynet train mlp --epochs 5       another architecture, shorter
    tinynet evaluate runs/cnn-1        how good is it, and where is it wrong?
    tinynet predict runs/cnn-1 my.png  what does it predict for a picture?
    tinynet explain runs/cnn-1 my.png  why does it predict that?
    tinynet export -o digits.html      a page on which to draw
    """
