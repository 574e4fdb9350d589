"""How fast is it? tinynet and its peers in turn, each step beside what the model foresees, and the race."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import race
from compare import outcome, take_turns
from gpu_kernels import Roofs, measure_roofs, time_each, time_steps
from gpu_launches import of_a_step, of_a_stretch
from gpu_model import H100, predict, total
from gpu_report import Measured, Race, Report, StepFound
from rich.console import Console
from roofline import make_trainer, seconds_of_steps, tasks

from tinynet import data
from tinynet.backends.base import Backend
from tinynet.benchmark.harness import (
    OURS,
    Conditions,
    Contender,
    ContenderError,
    about,
    write_data,
    write_net,
)
from tinynet.benchmark.rows import Row
from tinynet.benchmark.turns import clean, summary
from tinynet.runs import recipe

HERE = Path(__file__).parent
console = Console(highlight=False)
PEERS = [
    ("torch", "torch", "eager", ("step", "epoch", "race")),
    ("torch-graph", "torch", "graph", ("step", "epoch", "race")),
    ("torch-graph-plain", "torch", "graph-plain", ("step",)),
    ("torch-compile", "torch", "compile", ("step",)),
    ("jax", "jax", "jit", ("step", "epoch")),
]
"""Name, framework, mode, kinds of rows. "graph-plain": without cuDNN's search for its fastest algorithms."""
STEPS = 200
"""Steps that are timed together, after as many."""


# --- contenders -------------------------------------------------------------------------------------------


def peers_in(folder: Path) -> list[Contender]:
    """The peers that can compute on the GPU, each in its environment in `folder` or else in ours."""
    return [
        Contender(name, python, HERE / "peers" / f"{module}_cuda_.py", mode, kinds)
        for name, module, mode, kinds in PEERS
        if (python := python_with(module, folder))
    ]


def chosen_peers(names: str, folder: Path) -> list[Contender]:
    """Those of these names that can compute here."""
    there = [peer for peer in peers_in(folder) if peer.name in names.split(",")]
    if missing := set(names.split(",")) - {peer.name for peer in there}:
        console.print(f"left out: {', '.join(sorted(missing))} (bench/gpu.py install sets them up)")
    return there


def contenders_for(ops: Backend, peers: str, folder: Path) -> list[Contender]:
    """Ours, and on a GPU those of the peers that are there."""
    ours = ours_on(ops)
    return [ours, *chosen_peers(peers, folder)] if ops.name == "cupy" else [ours]


def ours_on(ops: Backend) -> Contender:
    """tinynet on that backend, with its precision."""
    return OURS._replace(mode=ops.name if ops.precision == "float32" else f"{ops.name} {ops.precision}")


def python_with(module: str, folder: Path) -> Path | None:
    own = folder / f"{module}-cuda" / "bin" / "python"
    if own.exists():
        return own
    return Path(sys.executable) if importlib.util.find_spec(module) else None


def versions_of(contenders: list[Contender], net: str, conditions: Conditions) -> dict[str, list[str]]:
    """The versions in the environments of those that can be loaded; says why others cannot."""
    found = {}
    for each in contenders:
        try:
            found[each.name] = about(each, net, conditions)
        except ContenderError as error:
            if each.name == OURS.name:
                raise click.ClickException(str(error)) from error
            console.print(f"left out: {error}")
    return found


# --- one row ----------------------------------------------------------------------------------------------


def floors(rows: list[Row], roofs: Roofs, samples: int) -> dict[str, float]:
    """The least seconds of each row: each operation's, one after the other, without a gap."""
    found = {}
    for net in {row.net for row in rows}:
        trainer = make_trainer(net, 2, 1, record=False, on="numpy")
        seconds_of_steps(trainer)  # tells the layers which of them need ∂L/∂x
        for row in (row for row in rows if row.net == net):
            step = sum(roofs.attainable(task.work) for task in tasks(trainer, row.batch))
            found[row.name] = step * (samples / row.batch if row.kind == "epoch" else 1)
    return found


def measure(
    row: Row, floor: float, ours: Contender, contenders: list[Contender], conditions: Conditions
) -> Measured:
    peers = [peer for peer in contenders if row.kind in peer.kinds]
    played, refused = take_turns(row, ours, peers, conditions, lambda: None)
    most_lost = conditions.most_lost
    turns = played[ours.name]
    values = [turn.value for turn in turns if clean(turn, most_lost=most_lost)]
    results = [outcome(row, peer, played, refused, most_lost) for peer in peers]
    return Measured(row, summary(values) if values else None, floor, turns, results)


def run_race(
    name: str, seeds: int, images: data.Dataset, contenders: list[Contender], conditions: Conditions
) -> Race:
    """Ours and those peers that train the same net, seed by seed."""
    plan = recipe.load(name)
    race.check_comparable(plan.training)
    write_data(conditions.folder, images.test.images, images.test.labels, "test-")
    for seed in range(seeds):
        write_net(conditions.folder, f"seed-{seed}", plan, seed)
    batch, rates = plan.training.batch_size, race.learning_rates(plan.training, len(images.train))
    ours, *peers = contenders
    found = Race({ours.name: []}, {})
    for peer in peers:
        try:
            race.check_agreement([ours, peer], "seed-0", batch, conditions)
            found.heats[peer.name] = []
        except (ContenderError, click.ClickException) as error:
            found.refused[peer.name] = str(error)
    for seed in range(seeds):
        for contender in contenders:
            if contender.name in found.heats:
                found.heats[contender.name].append(
                    race.run(contender, f"seed-{seed}", batch, rates, conditions)
                )
    return found


# --- all of it --------------------------------------------------------------------------------------------


def parts(
    report: Report,
    plan: list[Row],
    ops: Backend,
    contenders: list[Contender],
    images: data.Dataset,
    conditions: Conditions,
) -> Iterator[tuple[str, Callable[[], None]]]:
    """What is to be measured, ours first: steps, their kernels; then steps of all, the race, epochs."""
    ours, *peers = contenders
    steps = [row for row in plan if row.kind == "step"]

    def roofs() -> None:
        report.roofs = measure_roofs(ops, conditions.seconds, *(() if ops.name == "cupy" else (512, 8)))
        report.floors = floors(plan, report.roofs, len(images.train))

    def one_step(row: Row) -> None:
        report.steps.append(step_found(row, ops))

    def add(row: Row) -> None:
        report.rows.append(measure(row, report.floors[row.name], ours, peers, conditions))

    def race_them() -> None:
        racing = [ours, *(peer for peer in peers if "race" in peer.kinds)]
        report.race = run_race(report.about["race"], report.about["seeds"], images, racing, conditions)

    def kernels(row: Row) -> None:
        found = of_a_step(row.net, row.batch, ops)
        report.kernels[row.name] = time_each(found, ops, conditions.seconds / 10)

    yield "the roofs", roofs
    yield from ((f"{row.name} three ways", partial(one_step, row)) for row in steps)
    if hasattr(ops, "device"):
        yield from ((f"kernels of {row.name}", partial(kernels, row)) for row in steps)
    yield from ((row.name, partial(add, row)) for row in steps)
    if report.about["race"]:
        yield "the race", race_them
    yield from ((row.name, partial(add, row)) for row in plan if row.kind == "epoch")


def step_found(row: Row, ops: Any) -> StepFound:
    """A step of ours three ways, beside the model's time for an H100.

    The time on the device is that of a stretch: by one kernel, where there is one for the net.
    """
    launches, predicted = 0.0, None
    if hasattr(ops, "device"):
        found = predict(of_a_step(row.net, row.batch, ops))
        launches, predicted = len(found), total(found)
        if whole := of_a_stretch(row.net, row.batch, ops):
            launches, predicted = 1 / whole[1], H100.predict(whole[0]).seconds / whole[1]
    return StepFound(row, launches, predicted, time_steps(row.net, row.batch, ops, STEPS))
