"""tinynet audit: does every figure of a run's report follow from its log, predictions and weights?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinynet.cli import options
from tinynet.cli.command import Command

if TYPE_CHECKING:
    from tinynet.data.datasets import Dataset, Split
    from tinynet.runs.provenance import FindData
    from tinynet.runs.settings import Settings

SHOWN = 5
"""Lines shown of a check that fails."""


@click.command(cls=Command, short_help="Does every figure of a run's report follow from its log?")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--test",
    "tables",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A Kaggle CSV that must share no image with the training images of RUN. Can be repeated.",
)
@options.own_dataset
@options.data_dir
@click.option(
    "--backend",
    envvar="TINYNET_BACKEND",
    help="Backend for predictions.  [default: that of the training]",
)
@options.together(options.layers, options.threads)
def command(
    run: Path,
    tables: tuple[Path, ...],
    dataset: str | None,
    data_dir: Path | None,
    backend: str | None,
) -> None:
    """Compute again each figure in the report of RUN, the folder of a finished run, and list differences.

    The training's figures are computed from the log, the test's from predictions.csv, and the predictions
    from the saved weights. Images that are in two of the training, validation and test sets are found by
    their pixels. If RUN started from the weights of other runs, their training images count as well. Exits
    with 1 if a check fails.

    Not checked, as no figure of the report comes from them: single steps in the log, plots, and the
    checkpoint for a resume.

    \b
    Examples:
      tinynet audit runs/cnn-1
      tinynet audit runs/cnn-1 --test digit-recognizer/test.csv
    """
    from itertools import chain

    from rich.text import Text

    from tinynet import backends
    from tinynet.cli.screen import console
    from tinynet.cli.sources import Sources
    from tinynet.data import read_csv
    from tinynet.runs import audit
    from tinynet.runs.settings import read_settings

    settings, sources = read_settings(run), Sources(dataset, data_dir)
    ops = backends.get(backend or settings.backend)
    asked = [(table, read_csv(table)[0]) for table in tables]
    own = sources.own(settings)
    more = (
        audit.unseen(images, trained.images, f"no image of {table} among the training images{of}")
        for table, images in asked
        for of, trained in _learned_from(settings, own, sources.find)
    )
    done = failed = 0
    for check in chain(audit.audit(run, own, load=sources.find, backend=ops), more):
        done, failed = done + 1, failed + bool(check.wrong)
        verdict = Text("does not hold", "bold red") if check.wrong else Text("holds", "green")
        console.print(verdict + f"  {check.name}", soft_wrap=True)
        for line in check.wrong[:SHOWN]:
            console.print(f"    {line}", soft_wrap=True)
        if len(check.wrong) > SHOWN:
            console.print(f"    and {len(check.wrong) - SHOWN:,} more")
    if failed:
        console.print(f"{failed} of {done} checks do not hold.", style="bold red")
        sys.exit(1)
    console.print(f"All {done} checks hold.", style="bold green")


def _learned_from(settings: Settings, dataset: Dataset, load: FindData) -> Iterator[tuple[str, Split]]:
    """(words after "training images", the images): of a run, and of the runs it started from."""
    from tinynet.runs import provenance

    for each, trained, _ in provenance.generations(settings, dataset, load):
        yield "" if each is settings else f" of {each.name}, which it started from", trained
