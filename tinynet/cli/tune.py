"""tinynet tune: find good settings for a recipe by validation images."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinynet.cli import options, own_layers
from tinynet.cli.command import Command
from tinynet.cli.out import Out
from tinynet.cli.process import INTERRUPTED, command_line
from tinynet.printable import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from tinynet.experiments.tuning.search import Search
    from tinynet.runs.recipe import Recipe
    from tinynet.training import Callback

DEFAULT_TRIALS = 30
LEADING = 5
"""Trials in the table at the end, a column each."""


@click.command(cls=Command, short_help="Search good settings for a recipe.")
@click.argument("architecture", default="cnn")
@click.option(
    "--space",
    "space_file",
    type=click.Path(path_type=Path),
    help="TOML file that says what to search.  [default: learning rate, batch size, width, dropout, …]",
)
@click.option("--show-space", is_flag=True, help="Print the search space as TOML, and exit.")
@click.option(
    "--sampler",
    type=click.Choice(["tpe", "random", "grid"]),
    default="tpe",
    show_default=True,
    help="Use earlier trials (tree-structured Parzen estimator), draw at random, or try all combinations.",
)
@click.option(
    "--pruner",
    type=click.Choice(["median", "halving", "none"]),
    default="median",
    show_default=True,
    help="Stop a trial early if it is below the median at that epoch, or not in the best third, or never.",
)
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    help=f"Trials in all, with those already there.  [default: {DEFAULT_TRIALS}; grid: all combinations]",
)
@click.option("--timeout", type=options.Finite(min=0), help="Start no trial after this many seconds.")
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of a trial.  [default: the recipe's]")
@click.option(
    "--validation",
    type=options.Finite(min=0),
    help="Validation images, the last of the training set: a share if below 1, else a count.  [default: the "
    "recipe's, else 0.1]",
)
@options.together(
    options.dataset, options.data_dir, options.seed, options.backend, options.layers, options.threads
)
@click.option("--out", type=Out(), help="Folder of the result.  [default: runs/tune-NAME]")
@click.option(
    "--storage",
    type=Out(dir_okay=False),
    help="File for the trials. Several processes or machines can share it.  [default: "
    "study.journal in the folder]",
)
def command(architecture: str, show_space: bool, **asked: Any) -> None:
    """Search good settings for ARCHITECTURE: a name or a TOML file; cnn by default.

    Each trial trains with other settings. Trials are compared by validation images from the training set; the
    test images are not used. The result is a recipe, a table of the best trials and plots. Ctrl-C keeps the
    trials so far, and the same command continues. Needs Optuna: the extra `tune`.

    \b
    Examples:
      tinynet tune mlp
      tinynet tune cnn --trials 50 --timeout 3600
      tinynet tune mlp --show-space > my-space.toml
      tinynet tune mlp --space my-space.toml --sampler grid
      tinynet train runs/tune-mlp/mlp-tuned.toml
    Several processes: the same command as often as you like. Several machines, with a folder in common:
      tinynet tune cnn --storage common/cnn.journal
    """
    from tinynet import extras
    from tinynet.experiments.tuning import space
    from tinynet.runs import recipe

    plan = recipe.load(architecture)
    asked["space"] = space.read(asked["space_file"]) if asked["space_file"] else space.default(plan)
    if show_space:
        click.echo(asked["space"].to_toml(), nl=False)
        return
    extras.load("tune")
    _search(Path(architecture).stem, plan, asked)


def _search(name: str, plan: Recipe, asked: dict[str, Any]) -> None:
    from tinynet import backends
    from tinynet import threads as thread_budget
    from tinynet.cli.screen import console
    from tinynet.cli.sources import load_for
    from tinynet.errors import RunError
    from tinynet.experiments.tuning import report, search, study

    ops = backends.get(asked["backend"])
    plan, dataset = load_for(plan, asked["dataset"], asked["data_dir"])
    own_epochs = plan.training.epochs_in_words()
    plan = search.prepared(plan, dataset.train, asked["epochs"], asked["validation"])
    wanted = search.Search(plan, asked["space"], dataset.train, dataset.sha256, asked["seed"], ops)
    wanted.check()
    folder = asked["out"] or Path("runs") / f"tune-{name}"
    report.check_folder(folder, wanted.about())
    sampler = study.Sampler(asked["sampler"], wanted.space, wanted.seed)
    pruner = study.make_pruner(asked["pruner"], plan.training.epochs)
    storage = asked["storage"] or folder / report.JOURNAL
    shared = study.open_study(storage, wanted.about(), sampler, pruner)
    facts = {
        "command": command_line(),
        "train": shlex.join(
            ["tinynet", "train", str(folder / report.recipe_file(name)), *_data_options(asked, dataset.name)]
        ),
        "own_epochs": own_epochs,
        "notice": dataset.notice,
        "dataset": dataset.name,
        "sampler": asked["sampler"],
        "pruner": asked["pruner"],
        "threads": thread_budget.size(),
        "backend": ops.name,
    }
    count = _count(asked["trials"], asked["sampler"], wanted.space.combinations())
    _say_start(name, wanted, shared, count, storage)
    interrupted = False
    try:
        for trial in search.trials(
            wanted, shared, count=count, seconds=asked["timeout"], listen=_listener(count)
        ):
            _say_trial(trial, wanted)
    except KeyboardInterrupt:
        interrupted = True
        console.print("Interrupted. The trials so far are kept; the same command continues.")
    try:
        _say_result(folder, report.write(folder, name, wanted, shared, facts))
    except RunError:
        if not interrupted:
            raise
    if interrupted:
        sys.exit(INTERRUPTED)


def _data_options(asked: Mapping[str, Any], found: str) -> list[str]:
    """What names the data of the search for another command; `found`: the name of what was loaded."""
    from tinynet.cli.sources import lasting_name

    folder = ["--data-dir", str(asked["data_dir"])] if asked["data_dir"] else []
    own = own_layers.again(click.get_current_context())
    return ["--dataset", lasting_name(asked["dataset"], found), *folder, *own]


def _count(asked: int | None, sampler: str, combinations: int) -> int:
    """How many trials there are to be."""
    if sampler != "grid":
        return asked or DEFAULT_TRIALS
    return min(asked or combinations, combinations)


def _listener(count: int) -> Callable[[int], Callback]:
    """A bar for each trial, off the screen when the command ends."""
    from tinynet.cli.progress import TrainingProgress

    context = click.get_current_context()

    def listen(number: int) -> Callback:
        progress = TrainingProgress(f"trial {number} (of {count}): ", epoch_lines=False)
        context.call_on_close(progress.close)
        return progress

    return listen


def _say_start(name: str, wanted: Search, shared: Study, count: int, storage: Path) -> None:
    from tinynet import threads as thread_budget
    from tinynet.cli.screen import console
    from tinynet.experiments.tuning import study

    training = wanted.plan.training
    trained, held_out = training.cut(len(wanted.train))
    there = len(shared.get_trials(deepcopy=False, states=study.FINISHED))
    console.print(
        f"{name}: {counted(count, 'trial')} of {counted(training.epochs, 'epoch')}, "
        f"{there} of them there already; {trained:,} images to train on, {held_out:,} for validation; "
        f"{wanted.backend.name} backend, "
        f"{counted(thread_budget.size(), 'thread')}; kept in {storage}",
    )
    console.print(wanted.space.to_toml(), style="dim", end="", soft_wrap=True)


def _say_trial(trial: FrozenTrial, wanted: Search) -> None:
    from tinynet.cli.screen import console
    from tinynet.experiments.tuning import report

    row = report.row(wanted, trial)
    epochs = len(row["epochs"])
    end = row["why"] or ("" if row["state"] == "complete" else f"pruned after epoch {epochs}")
    settings = ", ".join(f"{report.short(k)} {report.shown(v)}" for k, v in row["settings"].items())
    number, accuracy, seconds = report.cells(row)[:3]
    console.print(
        f"trial {number:>3}  {accuracy:>8}  {seconds:>7}  {settings}{f'  ({end})' if end else ''}",
    )


def _say_result(folder: Path, found: dict[str, Any]) -> None:
    from rich.table import Table

    from tinynet.cli.screen import console
    from tinynet.experiments.tuning import report
    from tinynet.io.markdown import percent

    leading = report.ranked(found)[:LEADING]
    table = Table(title="The best trials, by validation images", show_header=False)
    for _ in range(1 + len(leading)):
        table.add_column(overflow="fold")
    rows = zip(report.columns(found), *map(report.cells, leading), strict=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    best = found["best"]
    console.print(
        f"Best: trial {best['number']}, {percent(best['accuracy'])} "
        f"of {found['validated_by']:,} validation images.",
        style="bold green",
    )
    console.print(
        f"Report: {folder / 'report.md'}   try: {found['facts']['train']}",
        soft_wrap=True,
    )
