"""The comparison of classical models and nets on a console: for `tinynet classical` and `reproduce R4`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinynet.backends.base import Backend
    from tinynet.experiments.classical import Rows, Scored
    from tinynet.runs.provenance import FindData


def write_comparison(
    folder: Path,
    rows: Rows,
    runs: Sequence[Path],
    load: FindData,
    *,
    seed: int,
    backend: Backend | None,
    command: str,
) -> None:
    """Fit the classical models, test the nets of `runs`, and write the report into `folder`.

    `load` finds the data set of a run. A line on the console tells each result.
    """
    from tinynet import threads
    from tinynet.cli.screen import console
    from tinynet.experiments import classical

    nets = list(classical.score_runs(runs, rows, load, backend=backend))
    with console.status("") as status:

        def announce(name: str) -> None:
            status.update(f"fitting {name} …")
            if not console.is_terminal:
                console.print(f"fitting {name} …")

        announce("principal components")
        components = classical.principal_components(rows, seed=seed)
        console.print(f"PCA: {components.kept} components keep 95 % of the variance")
        results = []
        for result in classical.compare(rows, seed=seed, threads=threads.size(), announce=announce):
            _say(result, rows)
            results.append(result)
    for net in nets:
        _say(net, rows)
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "command": command,
        "seed": seed,
        "threads": threads.size(),
        "backend": backend.name if backend else None,
    }
    classical.write_report(folder, rows, components, [*results, *nets], facts)
    console.print(f"Report: {folder / 'report.md'}", style="bold green")


def _say(result: Scored, rows: Rows) -> None:
    from tinynet import metrics
    from tinynet.cli.screen import console
    from tinynet.io.markdown import duration, percent

    accuracy = metrics.accuracy(rows.validation.labels, result.predicted)
    console.print(
        f"{result.name}: {percent(accuracy)} of {len(result.predicted):,} validation rows, "
        f"fit {duration(result.fit_seconds)}, predict {duration(result.predict_seconds)}",
        soft_wrap=True,
    )
