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
from tinynet.printable import counted

if TYPE_CHECKING:
    from rich.table import Table

    from tinynet.benchmark.harness import Result
    from tinynet.benchmark.scaling import Scaling


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
@click.option("--json", "file", type=Out(dir_okay=False, in_folder=True), help="Write all turns here.")
def command(rows: str, rounds: int, backend: str, threads: int | None, file: Path | None) -> None:
    """Measure training steps, an epoch, inference, start-up, memory and threads of tinynet.

    Each row runs in a process of its own, on the bundled digits, repeated up to the size of MNIST. On
    Linux, a round is discarded if other programs or virtual machines took over 5 % of the processor time.

    The row cnn-threads trains the default net with one thread and with all, in turn. It says which share
    of the time is serial, and what speed-up that lets 8 and 16 cores expect (Amdahl's law).

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
    from tinynet.benchmark import harness, nets, scaling
    from tinynet.benchmark.rows import ROWS, THREADS, chosen
    from tinynet.cli.progress import bar_of
    from tinynet.cli.screen import console
    from tinynet.errors import ConfigError
    from tinynet.io.atomic import write_atomic

    plan = chosen(rows, [*ROWS, THREADS])
    contender = harness.OURS._replace(mode=backends.get(backend).name)
    count = threads or thread_budget.budget()
    compares_threads = THREADS in plan and count > 1 and contender.mode != "cupy"
    plan = [row for row in plan if row != THREADS]
    if not (plan or compares_threads):
        raise ConfigError(
            f"{THREADS.name} compares one thread with several",
            expected="two or more threads on a CPU",
            received=f"{count} on the {contender.mode} backend",
            fix="leave this row out",
        )
    results: list[Result] = []
    gain: Scaling | None = None
    with tempfile.TemporaryDirectory() as name:
        conditions = harness.Conditions(Path(name), rounds, seconds=0.3, most_lost=0.05, threads=count)
        samples = harness.write_digits(conditions.folder)
        for net in {row.net for row in [*plan, THREADS]}:
            harness.write_net(conditions.folder, net, nets.load(net))
        report = {
            "date": str(datetime.date.today()),
            "machine": machine.summary(),
            "versions": harness.about(contender, THREADS.net, conditions),
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
            if compares_threads:
                task = progress.add_task(THREADS.name, total=min(rounds, THREADS.most_rounds))
                gain = scaling.measure(THREADS, contender, conditions, partial(progress.advance, task))
    if results:
        console.print(_table(report, results))
    if gain:
        console.print(scaling.in_words(gain, THREADS.net), highlight=False)
    if any(result.found is None for result in results) or (compares_threads and gain is None):
        console.print("No undisturbed round. Close other programs, and measure again.", style="yellow")
    if file:
        found = {"rows": [result.as_dict() for result in results], "scaling": gain and gain.as_dict()}
        write_atomic(file, (json.dumps(report | found, indent=1) + "\n").encode())
        console.print(f"written to {file}")


def _table(report: dict[str, Any], results: list[Result]) -> Table:
    from rich.table import Table

    from tinynet.benchmark.turns import SCALES, figure
    from tinynet.version import VERSION

    table = Table(
        title=f"tinynet {VERSION}, {report['backend']} backend, {counted(report['threads'], 'thread')}",
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
