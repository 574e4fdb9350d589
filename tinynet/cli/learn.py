"""tinynet learn: the course, its notebooks, and the grading of its exercises."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinynet.cli.command import Group
from tinynet.cli.options import Finite
from tinynet.cli.out import Out

if TYPE_CHECKING:
    from tinynet.learn.exercise import Exercise
    from tinynet.learn.ladder import Rung

rung_argument = click.argument("rung")


class Course(Group):
    """Tells who names a rung alone how to begin it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0].isdecimal():
            raise click.UsageError(
                f"say what to do with rung {args[0]}.\n  fix: tinynet learn start {args[0]}", ctx
            )
        return super().resolve_command(ctx, args)


@click.group(cls=Course, invoke_without_command=True, short_help="The course: notebooks and exercises.")
@click.pass_context
def command(context: click.Context) -> None:
    """List the rungs of the course, their exercises, and which of them you have right.

    \b
    Examples:
      tinynet learn
      tinynet learn start 06
      tinynet learn check 06
    """
    if context.invoked_subcommand is None:
        show_ladder()


def show_ladder() -> None:
    """Print each rung, its exercises and what is right."""
    from rich.table import Table

    from tinynet.cli.screen import console
    from tinynet.learn import ladder, progress

    right = progress.right()
    exercises = [each for rung in ladder.RUNGS for each in rung.exercises()]
    table = Table(title="The course")
    table.add_column("rung", justify="right")
    table.add_column("title")
    is_wide = console.width >= 80  # then a title wraps before a name is broken
    table.add_column("right", no_wrap=is_wide, overflow="fold")
    table.add_column("open", no_wrap=is_wide, overflow="fold")
    for rung in ladder.RUNGS:
        its = rung.exercises()
        names = (
            _lines([each.function for each in its if (each.name in right) == wanted])
            for wanted in (True, False)
        )
        table.add_row(f"{rung.number:02}", rung.title, *names)
    console.print(table)
    todo = [each for each in exercises if each.name not in right]
    console.print(f"{len(exercises) - len(todo)} of {len(exercises)} exercises right")
    if todo:
        console.print(f"go on: tinynet learn start {todo[0].rung:02}")


def _lines(names: list[str]) -> str:
    """The names with commas between them, in short lines that end between two names."""
    return textwrap.fill(", ".join(names), 26, break_long_words=False, break_on_hyphens=False)


@command.command(short_help="Copy a rung's notebook to where you work.")
@rung_argument
@click.option(
    "--out",
    type=Out(file_okay=False),
    default=Path(),
    help="Folder to copy it to; made where it is missing.  [default: the current one]",
)
def start(rung: str, out: Path) -> None:
    """Copy the notebook of a RUNG, such as 06, to where you work. A file that is there already stays.

    \b
    Examples:
      tinynet learn start 06
      tinynet learn start 06 --out course
    """
    import shlex
    from importlib.util import find_spec

    from tinynet import extras
    from tinynet.cli.screen import console
    from tinynet.learn import ladder

    chosen = ladder.rung(rung)
    target = out / chosen.notebook
    copy(chosen, target)
    name = shlex.quote(str(target))
    console.print(f"{target} is rung {chosen.number:02}, {chosen.title}")
    editor = f"jupyter lab {name}" if find_spec("jupyterlab") else "pip install jupyterlab, then jupyter lab"
    console.print(f"  open it: in an editor that runs notebooks, such as VS Code, or by: {editor}")
    if not find_spec("ipykernel"):
        console.print(f"  missing: what runs its cells, the extra `notebooks`: {extras.install('notebooks')}")
    console.print(f"  grade it: tinynet learn check {chosen.number:02} {name}")


def copy(rung: Rung, target: Path) -> None:
    """Write the rung's notebook to `target`. Raises ConfigError where something is there, or none is here."""
    from importlib import resources

    from tinynet import extras
    from tinynet.errors import ConfigError

    try:
        data = (resources.files("tinynet.learn.notebooks") / rung.notebook).read_bytes()
    except (FileNotFoundError, ModuleNotFoundError) as error:
        raise ConfigError(
            f"the notebook of rung {rung.number:02} is missing from this installation",
            expected=rung.notebook,
            fix=extras.install(again=True),
        ) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(target, "xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise ConfigError(
            f"{target} is there already, and stays as it is",
            fix="open that one; or choose another folder with --out, or move it away, to begin anew",
        ) from error


@command.command(short_help="Grade the exercises of a rung.")
@rung_argument
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--seconds",
    type=Finite(min=0.1, max=86_400),
    default=60.0,
    show_default=True,
    help="What an exercise may take.",
)
def check(rung: str, file: Path | None, seconds: float) -> None:
    """Grade every exercise of RUNG, or one such as 06.col2im, that is in FILE; exit 1 unless all are right.

    FILE is a notebook or a program. Without it, it is the rung's notebook in the current folder.
    Of FILE, only what the exercise needs is run: its function, and what that uses.

    \b
    Examples:
      tinynet learn check 06
      tinynet learn check 06 course/06-convolution.ipynb
      tinynet learn check 06.col2im solution.py --seconds 5
    """
    from tinynet.cli.screen import console
    from tinynet.learn import ladder, progress, student
    from tinynet.learn.trial import try_apart

    exercises: tuple[Exercise, ...]
    exercises = (ladder.exercise(rung),) if "." in rung else ladder.rung(rung).exercises()
    path = file or Path(ladder.rung(rung.split(".")[0]).notebook)
    student.read_cells(path)  # what is wrong with the file is said once
    verdicts = []
    for each in exercises:
        verdict = try_apart(each, path, seconds)
        verdicts.append(verdict)
        console.print(str(verdict))
        if verdict.is_right:
            progress.record(each.name)
    right = sum(each.is_right for each in verdicts)
    console.print(f"{right} of {len(verdicts)} right")
    sys.exit(0 if right == len(verdicts) else 1)
