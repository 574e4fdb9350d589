"""tinynet reproduce: a reference system, run here, with our figures beside theirs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinynet.cli import options
from tinynet.cli.command import Command
from tinynet.cli.comparing import write_comparison
from tinynet.cli.out import Out
from tinynet.cli.process import INTERRUPTED, command_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinynet.backends.base import Backend
    from tinynet.data.datasets import Dataset
    from tinynet.experiments.reproduce import Outcome
    from tinynet.training import Callback


@click.command(cls=Command, short_help="The reference systems: their figures and ours.")
@click.argument("system", type=click.Choice(["R1", "R2", "R3", "R4", "best"]))
@click.option(
    "--seeds", type=click.IntRange(min=1), help="Seeds 0, 1, 2, … of each net.  [default: 5; R3: 3]"
)
@click.option(
    "--recipe",
    "which",
    type=click.Choice(["both", "reference", "ours"]),
    default="both",
    show_default=True,
    help="Train with their settings, with our recipe for the same net, or with both.",
)
@options.together(options.dataset, options.data_dir, options.backend, options.threads)
@click.option("--out", type=Out(), help="Folder of all runs.  [default: runs/SYSTEM]")
def command(
    system: str,
    seeds: int | None,
    which: str,
    dataset: str,
    data_dir: Path | None,
    backend: str,
    out: Path | None,
) -> None:
    """Train the net of SYSTEM with its own settings and with ours, and compare the figures.

    \b
    R1    one layer with a sigmoid     a minute
    R2    one hidden layer, 128 units  some minutes
    R3    a deep CNN from Kaggle       an hour or more
    R4    forests, PCA, k-means        minutes; our mlp and cnn on the same rows (see tinynet classical)
    best  our most accurate net        three hours
    Finished runs in the folder are kept. Ctrl-C saves, and the same command continues.
    Exits with 1 if a mean misses its goal.

    \b
    Examples:
      tinynet reproduce R1
      tinynet reproduce R2 --seeds 3 --recipe ours
    """
    import dataclasses
    import datetime

    from tinynet import backends
    from tinynet import threads as thread_budget
    from tinynet.cli.progress import TrainingProgress, load_dataset
    from tinynet.cli.screen import console
    from tinynet.cli.sources import lasting_name
    from tinynet.experiments import reproduce
    from tinynet.experiments.systems import SYSTEMS
    from tinynet.io.lock import FolderLock

    context = click.get_current_context()
    if system == "R4" and (seeds or which != "both"):
        raise click.UsageError("--seeds and --recipe are for nets alone: R1, R2, R3 and best.")
    if system == "best" and which == "reference":
        raise click.UsageError("best is a net of our own: there are no other settings.")
    folder = out or Path("runs") / system
    ops = backends.get(backend)
    data = load_dataset(dataset, data_dir)
    settings = {
        "dataset": lasting_name(dataset, data.name),
        "backend": ops.name,
        "dtype": "float32",
        "data_dir": str(data_dir.resolve()) if data_dir else None,
        "command": command_line(),
    }

    def listen(title: str) -> Callback:
        console.print(f"{title}:")
        progress = TrainingProgress()
        context.call_on_close(progress.close)
        return progress

    context.with_resource(FolderLock(folder))
    outcomes = []
    try:
        if system == "R4":
            _beside_the_classical(folder, data, ops, settings, listen)
            return
        for entry in SYSTEMS[system].entries:
            if which in ("both", "reference" if entry.reference else "ours"):
                entry = dataclasses.replace(entry, seeds=seeds or entry.seeds)
                console.print(entry.name, style="bold")
                outcomes.append(
                    reproduce.run_entry(
                        entry, data, folder, settings=settings, listen=listen, threads=thread_budget.size()
                    )
                )
    except KeyboardInterrupt:
        console.print(f"Interrupted and saved in {folder}. The same command continues.")
        sys.exit(INTERRUPTED)
    facts = {
        "command": command_line(),
        "date": str(datetime.date.today()),
        "backend": ops.name,
        "threads": thread_budget.size(),
        "notice": data.notice,
    }
    reproduce.write_report(folder, system, data, outcomes, facts)
    _show(system, outcomes, data.name)
    console.print(f"Report: {folder / 'report.md'}")
    if any(outcome.reached is False for outcome in outcomes):
        sys.exit(1)


def _beside_the_classical(
    folder: Path, data: Dataset, ops: Backend, settings: dict[str, Any], listen: Callable[[str], Callback]
) -> None:
    """Train our mlp and cnn on the rows of the classical report, then write it."""
    from functools import partial

    from tinynet import threads as thread_budget
    from tinynet.experiments import classical, reproduce
    from tinynet.runs import folders, provenance

    runs = reproduce.run_beside_classical(
        data, folder, settings=settings, listen=listen, threads=thread_budget.size()
    )
    write_comparison(
        partial(folders.take_next, "report", folder),
        classical.from_dataset(data),
        runs,
        provenance.load_data,
        seed=classical.SEED,
        backend=ops,
        command=settings["command"],
    )


def _show(system: str, outcomes: list[Outcome], data: str) -> None:
    from rich.table import Table

    from tinynet.cli.screen import console
    from tinynet.experiments import reproduce
    from tinynet.experiments.systems import SYSTEMS

    whose = reproduce.goals_of_other_data(data)
    table = Table(title=f"{system}: {SYSTEMS[system].title}, on {data}{whose}")
    for column in reproduce.COLUMNS:
        table.add_column(column, justify="left" if column in ("net", "goal") else "right")
    for outcome in outcomes:
        table.add_row(*outcome.cells())
    console.print(table)
    console.print(f"Theirs: {SYSTEMS[system].theirs}.")
