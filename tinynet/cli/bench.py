"""tinynet bench: how fast tinynet is on this machine."""

from __future__ import annotations

import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinynet.cli import options
from tinynet.cli.command import Command
from tinynet.cli.out import Out

if TYPE_CHECKING:
    from rich.table import Table

    from tinynet.benchmark.harness import Result


@click.command(cls=Command, short_help="How fast tinynet is on this machine.")
@click.option("--rows", default="*", help="Names or patterns of rows, comma separated.  [default: all]")
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Clean rounds wanted of a row.",
)
@options.together(options.backend, options.thread_count)
@click.option("--json", "file", type=Out(dir_okay=False), help="Write all turns here.")
def command(rows: str, rounds: int, backend: str, threads: int | None, file: Path | None) -> None:
    """Measure training steps, an epoch, inference, start-up and memory of tinynet.

    Each row runs in a process of its own, on the bundled digits, repeated up to the size of MNIST. On
    Linux, a round is discarded if other programs or virtual machines took over 5 % of the processor time.

    \b
    Examples:
      tinynet bench
      tinynet bench --rows '*-step,mlp-epoch' --rounds 5
      tinynet bench --backend numpy --threads 1 --json bench.json
    """
    import json
    import tempfile

    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    from tinynet import backends, machine
    from tinynet import threads as thread_budget
    from tinynet.benchmark import harness, nets
    from tinynet.benchmark.rows import chosen
    from tinynet.cli.progress import bar_of
    from tinynet.cli.screen import console

    plan = chosen(rows)
    contender = harness.OURS._replace(mode=backends.get(backend).name)
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        count = threads or thread_budget.budget()
        conditions = harness.Conditions(Path(name), rounds, seconds=0.3, most_lost=0.05, threads=count)
        samples = harness.write_digits(conditions.folder)
        for net in {row.net for row in plan}:
            harness.write_net(conditions.folder, net, nets.load(net))
        report = {
            "date": str(datetime.date.today()),
            "machine": machine.summary(),
            "versions": harness.about(contender, plan[0].net, conditions),
            "backend": contender.mode,
            "threads": count,
            "samples": samples,
            "most_lost": conditions.most_lost,
        }
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with bar_of(*columns) as progress:
            for row in plan:
                task = progress.add_task(row.name, total=min(rounds, row.most_rounds))
                turns = harness.measure(row, contender, conditions, partial(progress.advance, task))
                results.append(harness.result(row, turns, conditions, samples))
    console.print(_table(report, results))
    if any(result.found is None for result in results):
        console.print("No undisturbed round. Close other programs, and measure again.", style="yellow")
    if file:
        rows_found = [result.as_dict() for result in results]
        file.write_text(json.dumps(report | {"rows": rows_found}, indent=1) + "\n", "utf-8")
        console.print(f"written to {file}")


def _table(report: dict[str, Any], results: list[Result]) -> Table:
    from rich.table import Table

    from tinynet.benchmark.turns import SCALES, figure
    from tinynet.version import VERSION

    table = Table(
        title=f"tinynet {VERSION}, {report['backend']} backend, {report['threads']} threads",
        caption=f"{report['machine']}\nMedian ± half the interquartile range.",
    )
    table.add_column("")
    for column in ("median", "unit", "images/s", "rounds (discarded)"):
        table.add_column(column, justify="right")
    for result in results:
        unit = result.row.unit
        median = figure(result.found, SCALES[unit]) if result.found else "no clean round"
        speed = f"{result.images_per_second:,.0f}" if result.images_per_second else ""
        table.add_row(result.row.name, median, unit, speed, f"{result.kept} ({result.discarded})")
    return table
