"""tinynet beside other frameworks: same net, data, initial weights, Adam and threads, in interleaved rounds.

    python bench/compare.py                            # everything, with every peer that is set up
    python bench/compare.py --rows '*-step' --peers torch,jax

Each contender is a process of its own; only one computes at a time. A peer whose first losses (or outputs,
for inference) differ from ours is not timed. See bench/README.md.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import tables  # noqa: E402
from pairs import Comparison, compare, disagreement  # noqa: E402

from tinynet import data, machine, threads  # noqa: E402
from tinynet.benchmark import nets  # noqa: E402
from tinynet.benchmark.harness import (  # noqa: E402
    OURS,
    Conditions,
    Contender,
    ContenderError,
    Process,
    about,
    ready,
    write_data,
    write_net,
)
from tinynet.benchmark.rows import Row, chosen  # noqa: E402
from tinynet.benchmark.turns import TakeTurn, Turn, play  # noqa: E402
from tinynet.errors import ConfigError  # noqa: E402

LOSS_TOLERANCES = (1e-5, 1e-3, 5e-3)
"""Within which the losses of the first steps must agree, relative for those above 1. Adam's first steps are
as long for a gradient that is mere rounding as for any other, so right answers drift apart quickly."""
OUTPUT_TOLERANCE = 1e-4


class Result(NamedTuple):
    row: str
    peer: str
    unit: str
    comparison: Comparison | None
    refused: str = ""
    """Why there is no comparison."""
    ours: Sequence[Turn] = ()
    theirs: Sequence[Turn] = ()


def peers_in(folder: Path) -> list[Contender]:
    """The peers, each with the environment in `folder` that is called after its framework."""
    frameworks = [
        ("torch", "torch", "eager", OURS.kinds),
        ("torch-compile", "torch", "compile", ("step", "epoch", "infer")),
        ("jax", "jax", "jit", OURS.kinds),
        ("tensorflow", "tensorflow", "function", OURS.kinds),
        ("onnxruntime", "onnxruntime", "session", ("infer",)),
    ]
    return [
        Contender(name, folder / module / "bin" / "python", HERE / "peers" / f"{module}_.py", mode, kinds)
        for name, module, mode, kinds in frameworks
    ]


# --- one row ----------------------------------------------------------------------------------------------


def measure(
    row: Row, ours: Contender, peers: list[Contender], conditions: Conditions, on_round: Callable[[], None]
) -> list[Result]:
    """Ours beside each of the peers."""
    played, refused = take_turns(row, ours, peers, conditions, on_round)
    return [outcome(row, peer, played, refused, conditions.most_lost_in(row)) for peer in peers]


def take_turns(
    row: Row, ours: Contender, peers: list[Contender], conditions: Conditions, on_round: Callable[[], None]
) -> tuple[dict[str, list[Turn]], dict[str, str]]:
    """The turns of each contender that computes the same as ours; of the others, why they had none."""
    with ExitStack() as stack:
        refused: dict[str, str] = {}
        turns: dict[str, TakeTurn] = {}
        expected: list[float] = []
        for contender in (ours, *peers):
            try:
                process = stack.enter_context(Process(contender, row.net, row.batch, conditions))
                answer = check(process, row)
                expected = expected or answer
                if problem := disagreement(expected, answer, tolerances(row, len(expected))):
                    refused[contender.name] = f"not timed: {problem}"
                else:
                    turns[contender.name] = ready(contender, process, row, conditions)
            except ContenderError as error:
                if contender == ours:
                    raise
                refused[contender.name] = f"failed: {error}"
        rounds = min(conditions.rounds, row.most_rounds)
        return play(turns, rounds, conditions.most_lost_in(row), on_round), refused


def check(process: Process, row: Row) -> list[float]:
    """What must be the same for all: outputs where the row is about inference, else the first losses."""
    return process.ask("outputs") if row.kind == "infer" else first_losses(process)


def first_losses(process: Process) -> list[float]:
    return process.ask("losses", steps=len(LOSS_TOLERANCES))


def tolerances(row: Row, count: int) -> Sequence[float]:
    return [OUTPUT_TOLERANCE] * count if row.kind == "infer" else LOSS_TOLERANCES


def outcome(
    row: Row, peer: Contender, played: dict[str, list[Turn]], refused: dict[str, str], most_lost: float
) -> Result:
    if peer.name in refused:
        return Result(row.name, peer.name, row.unit, None, refused[peer.name])
    ours, theirs = played[OURS.name], played[peer.name]
    comparison = compare(ours, theirs, most_lost)
    why_not = "" if comparison else "no clean round"
    return Result(row.name, peer.name, row.unit, comparison, why_not, ours, theirs)


# --- all rows ---------------------------------------------------------------------------------------------


def write(out: Path, report: dict[str, Any], results: list[Result]) -> None:
    """peers.json with every turn, peers.md and peers.png."""
    out.mkdir(parents=True, exist_ok=True)
    everything = report | {"loss_tolerances": LOSS_TOLERANCES, "output_tolerance": OUTPUT_TOLERANCE}
    everything |= {"results": [as_table(result) for result in results]}
    (out / "peers.json").write_text(json.dumps(everything, indent=1) + "\n", "utf-8")
    (out / "peers.md").write_text(tables.as_markdown(report, results), "utf-8")
    tables.draw(out / "peers.png", report, results)


def as_table(result: Result) -> dict[str, Any]:
    """Named values, all the way down."""
    found = result.comparison
    sides = ("ours", "theirs", "ratio")
    named = found and found._asdict() | {side: getattr(found, side)._asdict() for side in sides}
    return result._asdict() | {"comparison": named}


def chosen_rows(patterns: str) -> list[Row]:
    try:
        return chosen(patterns)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error


def ours_in(folder: Path) -> Contender:
    """tinynet in the environment that has nothing but tinynet, if it is set up; else in this one."""
    python = folder / "tinynet" / "bin" / "python"
    return OURS._replace(python=python) if python.exists() else OURS


def chosen_peers(names: str, folder: Path) -> list[Contender]:
    """Those of these names, or of all names, that are set up."""
    known = {peer.name: peer for peer in peers_in(folder)}
    wanted = names.split(",") if names else list(known)
    if unknown := set(wanted) - set(known):
        raise click.BadParameter(f"no peer is called {unknown.pop()}; there are: {', '.join(known)}")
    there = [known[name] for name in wanted if known[name].python.exists()]
    if missing := [name for name in wanted if known[name] not in there]:
        console.print(f"not set up, left out: {', '.join(missing)} (bench/peers/setup makes them)")
    return there


def limit_cores(count: int) -> None:
    """Use the first `count` of our cores, as will the processes that we start."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


console = Console()


@click.command()
@click.option("--rows", default="*", help="Names or patterns of rows, comma separated.  [default: all]")
@click.option("--peers", default="", help="Names of peers, comma separated.  [default: all that are set up]")
@click.option("--rounds", default=15, show_default=True, help="Clean rounds wanted of a row.")
@click.option("--seconds", default=0.5, show_default=True, help="How long a turn should take.")
@click.option("--threads", "count", type=int, help="Threads, and cores, of each contender.  [default: all]")
@click.option("--lost", default=0.05, show_default=True, help="Discard rounds that lost more to others.")
@click.option("--dataset", default="auto", show_default=True, help="mnist, sample, or auto.")
@click.option(
    "--environments", type=Path, envvar="TINYNET_PEERS", default=".peers", help="The peers' folder."
)
@click.option("--out", type=Path, default=HERE / "results", help="Folder for peers.json, .md and .png.")
@click.option("--date", default=str(datetime.date.today()), help="The date to write down.  [default: today]")
def main(
    rows: str,
    peers: str,
    rounds: int,
    seconds: float,
    count: int | None,
    lost: float,
    dataset: str,
    environments: Path,
    out: Path,
    date: str,
) -> None:
    """Compare tinynet with other frameworks, row by row; the files are written after each row."""
    plan, ours, contenders = chosen_rows(rows), ours_in(environments), chosen_peers(peers, environments)
    count = count or threads.budget()
    limit_cores(count)
    train = data.load(dataset).train
    with tempfile.TemporaryDirectory() as name:
        conditions = Conditions(Path(name), rounds, seconds, lost, count)
        write_data(conditions.folder, train.images, train.labels)
        for net in {row.net for row in plan}:
            write_net(conditions.folder, net, nets.load(net))
        versions = {c.file.stem.strip("_"): about(c, plan[0].net, conditions) for c in (ours, *contenders)}
        report = {
            "date": date,
            "machine": machine.summary(),
            "threads": count,
            "samples": len(train),
            "most_lost": lost,
            "versions": versions,
        }
        results: list[Result] = []
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, refresh_per_second=1) as progress:
            for row in plan:
                task = progress.add_task(row.name, total=min(rounds, row.most_rounds))
                taking_part = [peer for peer in contenders if row.kind in peer.kinds]
                results += measure(
                    row, ours, taking_part, conditions, lambda task=task: progress.advance(task)
                )
                write(out, report, results)
    for result in results:
        console.print("  ".join(tables.cells(result)), highlight=False)
    console.print(f"written to {out}")


if __name__ == "__main__":
    main()
