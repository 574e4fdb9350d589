"""tinynet audit: does every figure of a run's report follow from its log, predictions and weights?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tinynet.cli import options

SHOWN = 5
"""Lines said of a check that fails."""


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--test",
    "tables",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A Kaggle CSV that must share no image with what RUN was trained on; may be given several times.",
)
@options.data_dir
@click.option(
    "--backend", envvar="TINYNET_BACKEND", help="Predict with this one.  [default: that of the training]"
)
@options.together(options.threads)
def command(
    run: Path, tables: tuple[Path, ...], data_dir: Path | None, backend: str | None, threads: int | None
) -> None:
    """Compute again each figure in the report of RUN, a finished run's folder, and name what does not follow.

    The training's figures come from the log, the test's from predictions.csv, and the predictions from the
    saved weights on the run's data set. Images that lie in two of the training, validation and test images
    are found by their pixels. Exits with 1 where anything does not hold.

    \b
    Examples:
      tinynet audit runs/cnn-1
      tinynet audit runs/cnn-1 --test digit-recognizer/test.csv
    """
    from itertools import chain

    from rich.markup import escape

    from tinynet import audit, runs
    from tinynet import threads as thread_budget
    from tinynet.cli.console import console, load_dataset
    from tinynet.data import read_csv

    click.get_current_context().with_resource(thread_budget.limit(threads))
    settings = runs.read_settings(run)
    dataset = load_dataset(settings.dataset, data_dir or settings.data_dir)
    trained, _ = audit.parts(settings, dataset)
    more = (
        audit.unseen(read_csv(table)[0], trained.images, f"no image of {table} among the training images")
        for table in tables
    )
    done = failed = 0
    for check in chain(audit.audit(run, dataset, backend=backend), more):
        done, failed = done + 1, failed + bool(check.wrong)
        verdict = "[bold red]does not hold[/]" if check.wrong else "[green]holds[/]"
        console.print(f"{verdict}  {escape(check.name)}", soft_wrap=True)
        for line in check.wrong[:SHOWN]:
            console.print(f"    {escape(line)}", soft_wrap=True)
        if len(check.wrong) > SHOWN:
            console.print(f"    and {len(check.wrong) - SHOWN:,} more")
    if failed:
        console.print(f"{failed} of {done} checks do not hold.", style="bold red")
        sys.exit(1)
    console.print(f"All {done} checks hold.", style="bold green")
