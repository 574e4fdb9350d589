"""The comparison of classical models and nets on a console: for `tinynet classical` and `reproduce R4`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tinynet.backends.base import Backend
    from tinynet.experiments.classical import Rows, Scored
    from tinynet.io.lock import FolderLock
    from tinynet.runs.provenance import FindData


def write_comparison(
    take: Callable[[], FolderLock],
    rows: Rows,
    runs: Sequence[Path],
    load: FindData,
    *,
    seed: int,
    backend: Backend | None,
    command: str,
) -> None:
    """Test the nets of `runs`, fit the classical models, write the report into the folder that `take` takes.

    `load` finds the data set of a run. A line on the console tells each result.
    """
    from tinynet import threads
    from tinynet.cli.progress import fits
    from tinynet.cli.screen import console
    from tinynet.experiments import classical

    nets = list(classical.score_runs(runs, rows, load, backend=backend))  # which may refuse one of them
    folder = click.get_current_context().with_resource(take()).folder
    with fits(1 + len(classical.classifiers())) as announce:
        announce("principal components")
        components = classical.principal_components(rows, seed=seed)
        console.print(f"PCA: {components.kept} components keep 95 % of the variance")
        results = []
        for result in classical.compare(rows, seed=seed, threads=threads.size(), announce=announce):
            _say(result, rows)
            results.append(result)
    for net in nets:
        _say(net, rows)
    facts = {
        "command": command,
        "seed": seed,
        "threads": threads.size(),
        "backend": backend.name if backend else None,
    }
    report = classical.write_report(folder, rows, components, [*results, *nets], facts)
    if any(report["rows"]["in_train"].values()):
        console.print(classical.seen_before(report), style="yellow")
    console.print(f"Report: {folder / 'report.md'}", style="bold green")


def _say(result: Scored, rows: Rows) -> None:
    from tinynet import metrics
    from tinynet.cli.screen import console
    from tinynet.io.markdown import duration, percent

    accuracy = metrics.accuracy(rows.validation.labels, result.predicted)
    console.print(
        f"{result.name}: {percent(accuracy)} of {len(result.predicted):,} validation rows, "
        f"fit {duration(result.fit_seconds)}, predict {duration(result.predict_seconds)}",
    )
