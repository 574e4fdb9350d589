"""tinynet on a GPU: checked, timed beside PyTorch and JAX on the same card, set beside what the card can do.

    python bench/gpu.py                        # bench/results/gpu.json and gpu.md, in less than ten minutes
    python bench/gpu.py --install              # sets up first what it takes: CuPy, and the peers
    python bench/gpu.py --backend numba --dataset sample --rows mlp-step-64 --out OUT     # without a GPU

A peer computes in its own environment (`bench/peers/setup FOLDER torch-cuda jax-cuda`) or, where that is not
set up, in this one if it has that framework; else it is left out. All compute in float32, without TF32. The
files are written after each part, and what there was no time for is named in them. See bench/README.md.
"""

from __future__ import annotations

import datetime
import fnmatch
import importlib.util
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
from rich.console import Console

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import race  # noqa: E402
from compare import LOSS_TOLERANCES, OUTPUT_TOLERANCE, first_losses, outcome, take_turns  # noqa: E402
from gpu_report import GpuCheck, Measured, Race, Report, Roofs, in_markdown  # noqa: E402
from pairs import disagreement  # noqa: E402
from roofline import make_trainer, seconds_of_steps, tasks  # noqa: E402

from tinynet import backends, data, machine, threads  # noqa: E402
from tinynet.backends import cuda_status  # noqa: E402
from tinynet.backends.base import Backend  # noqa: E402
from tinynet.benchmark.harness import (  # noqa: E402
    OURS,
    Conditions,
    Contender,
    ContenderError,
    Process,
    about,
    write_data,
    write_net,
)
from tinynet.benchmark.rows import Row  # noqa: E402
from tinynet.benchmark.turns import clean, summary  # noqa: E402
from tinynet.errors import TinynetError  # noqa: E402
from tinynet.gradcheck import cases  # noqa: E402
from tinynet.runs import recipe  # noqa: E402

SIZES = [("mlp", 64), ("lenet", 128), ("lenet", 1024), ("kaggle-cnn", 32), ("kaggle-cnn", 256)]
ROWS = [
    *(Row(f"{net}-step-{batch}", "step", net, batch) for net, batch in SIZES),
    *(Row(f"{net}-epoch-{batch}", "epoch", net, batch, "s", 3) for net, batch in SIZES),
]
TEST_SECONDS = 180
"""For all tests, at most."""
ROW_SECONDS = 30
"""A row is not begun with less time than this."""
console = Console(highlight=False)


# --- contenders -------------------------------------------------------------------------------------------


def peers_in(folder: Path) -> list[Contender]:
    """The peers that can compute on the GPU, each in its environment in `folder` or else in ours."""
    known = [
        ("torch", "torch", "eager", ("step", "epoch", "race")),
        ("torch-graph", "torch", "graph", ("step", "epoch", "race")),
        ("torch-compile", "torch", "compile", ("step",)),
        ("jax", "jax", "jit", ("step", "epoch")),
    ]
    return [
        Contender(name, python, HERE / "peers" / f"{module}_cuda_.py", mode, kinds)
        for name, module, mode, kinds in known
        if (python := python_with(module, folder))
    ]


def chosen_peers(names: str, folder: Path) -> list[Contender]:
    """Those of these names that can compute here."""
    there = [peer for peer in peers_in(folder) if peer.name in names.split(",")]
    if missing := set(names.split(",")) - {peer.name for peer in there}:
        console.print(f"left out: {', '.join(sorted(missing))} (bench/gpu.py --install sets them up)")
    return there


def contenders_for(ops: Backend, peers: str, folder: Path) -> list[Contender]:
    """Ours, and on a GPU those of the peers that are there."""
    ours = OURS._replace(mode=ops.name)
    return [ours, *chosen_peers(peers, folder)] if ops.name == "cupy" else [ours]


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


def install(folder: Path) -> None:
    """CuPy and the tests' needs into this environment, and an environment for each peer."""
    extra = "cuda13" if cuda_status.driver_version() >= 13_000 else "cuda12"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "-e", f"{HERE.parent}[{extra},test]"]
    for command in (pip, [HERE / "peers" / "setup", folder, "torch-cuda", "jax-cuda"]):
        subprocess.run(list(map(str, command)), check=True)


# --- is it right? -----------------------------------------------------------------------------------------


def checks(ops: Backend, nets: list[str], conditions: Conditions, with_tests: bool) -> Iterator[GpuCheck]:
    """Gradients, then nets beside the reference, then the tests."""
    yield gradients(ops)
    for net in nets:
        yield beside_the_reference(OURS._replace(mode=ops.name), net, conditions)
    if with_tests:
        yield tests(ops.name)


def gradients(ops: Backend) -> GpuCheck:
    """Of every layer and loss, against central differences in float64."""
    errors, wrong = [0.0], []
    for name in cases.NAMES:
        try:
            found = list(cases.run(name, ops))
        except (
            Exception
        ) as error:  # of a kernel, a library or the driver: the others are checked all the same
            wrong.append(f"{name}: {type(error).__name__}: {error}")
            continue
        errors += [check.error for check in found]
        wrong += [str(check) for check in found if not check.passed]
    summed_up = f"{len(errors) - 1}, worst error {max(errors):.1e}"
    return GpuCheck("gradients, float64", not wrong, "; ".join([summed_up, *wrong[:5]]))


def beside_the_reference(ours: Contender, net: str, conditions: Conditions) -> GpuCheck:
    """The first losses in training, and the outputs before it, of ours and of the numpy backend."""
    what, answers = f"{net} beside numpy", []
    for contender in (ours._replace(mode="numpy"), ours):
        try:
            with Process(contender, net, 32, conditions) as process:
                answers.append((process.ask("outputs"), first_losses(process)))
        except ContenderError as error:
            return GpuCheck(what, False, str(error))
    (outputs, losses), (our_outputs, our_losses) = answers
    problem = disagreement(outputs, our_outputs, [OUTPUT_TOLERANCE] * len(outputs))
    problem = problem or disagreement(losses, our_losses, LOSS_TOLERANCES)
    apart = max(abs(a - b) for a, b in zip(outputs, our_outputs, strict=True))
    return GpuCheck(what, not problem, problem or f"outputs differ by {apart:.1e} at most")


def tests(backend: str) -> GpuCheck:
    """All that are run for each backend."""
    options = ["-q", "-k", backend, "--ignore", "tests/bench", "--continue-on-collection-errors"]
    command = [sys.executable, "-m", "pytest", *options, "tests"]
    environment = os.environ | {"TINYNET_TEST_BACKENDS": backend}
    try:
        done = subprocess.run(
            command, cwd=HERE.parent, env=environment, capture_output=True, text=True, timeout=TEST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return GpuCheck("tests", False, f"not done after {TEST_SECONDS} s")
    lines = (done.stdout or done.stderr).strip().splitlines() or ["no answer"]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return GpuCheck("tests", done.returncode == 0, "; ".join([lines[-1], *failed[:5]]))


# --- what can the card do? --------------------------------------------------------------------------------


def measure_roofs(ops: Backend, seconds: float) -> Roofs:
    """Of arrays far larger than any cache; on a processor, smaller."""
    xp, size, side = (ops.xp, 1 << 26, 4096) if ops.name == "cupy" else (ops.xp, 1 << 24, 1024)
    a, b = xp.ones(size, "float32"), xp.empty(size, "float32")
    factor, product = xp.ones((side, side), "float32"), xp.empty((side, side), "float32")
    copying = shortest(lambda: xp.copyto(b, a), ops, seconds)
    multiplying = shortest(lambda: xp.matmul(factor, factor, out=product), ops, seconds)
    return Roofs(2 * side**3 / multiplying, 2 * a.nbytes / copying)


def shortest(run: Callable[[], object], ops: Backend, seconds: float) -> float:
    """Seconds of the quickest of the runs that fit into so much time."""
    wait = ops.xp.cuda.Device().synchronize if ops.name == "cupy" else lambda: None
    run()  # compiles
    best, until = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < until:
        wait()
        began = time.perf_counter()
        run()
        wait()
        best = min(best, time.perf_counter() - began)
    return best


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


# --- how fast is it? --------------------------------------------------------------------------------------


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


def chosen(patterns: str) -> list[Row]:
    rows = [row for row in ROWS if any(fnmatch.fnmatch(row.name, p) for p in patterns.split(","))]
    if not rows:
        raise click.BadParameter(
            f"no row is called {patterns!r}; there are: {', '.join(r.name for r in ROWS)}"
        )
    return rows


def parts(
    report: Report,
    plan: list[Row],
    contenders: list[Contender],
    images: data.Dataset,
    conditions: Conditions,
) -> Iterator[tuple[str, Callable[[], None]]]:
    """What is to be measured, the most telling first: steps, the race, epochs."""
    ours, *peers = contenders
    least = floors(plan, report.roofs, len(images.train))

    def add(row: Row) -> None:
        report.rows.append(measure(row, least[row.name], ours, peers, conditions))
        console.print(in_markdown(report.rows[-1], [peer.name for peer in peers]))

    def race_them() -> None:
        racing = [ours, *(peer for peer in peers if "race" in peer.kinds)]
        report.race = run_race(report.about["race"], report.about["seeds"], images, racing, conditions)

    yield from ((row.name, partial(add, row)) for row in plan if row.kind == "step")
    if report.about["race"]:
        yield "the race", race_them
    yield from ((row.name, partial(add, row)) for row in plan if row.kind == "epoch")


@click.command()
@click.option("--backend", default="cupy", show_default=True, help="Another one tries out this program.")
@click.option("--rows", default="*", help="Names or patterns of rows, comma separated.  [default: all]")
@click.option("--peers", default="torch,torch-graph,jax", show_default=True, help="Or torch-compile, too.")
@click.option("--rounds", default=10, show_default=True, help="Clean rounds wanted of a row.")
@click.option("--seconds", default=0.3, show_default=True, help="How long a turn should take.")
@click.option("--lost", default=0.2, show_default=True, help="Discard rounds that lost more to others.")
@click.option("--minutes", default=8.5, show_default=True, help="Begin nothing after so long.")
@click.option("--threads", "count", type=int, help="Threads of each contender.  [default: all]")
@click.option("--tests/--no-tests", default=True, show_default=True, help="Run the tests on the backend.")
@click.option("--race", "name", default="race", show_default=True, help="Recipe of the race; '' for none.")
@click.option("--goal", default=99.0, show_default=True, help="Test accuracy (%) to reach in the race.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Of the race.")
@click.option("--dataset", default="auto", show_default=True, help="mnist, sample, or auto.")
@click.option(
    "--environments", type=Path, envvar="TINYNET_PEERS", default=".peers", help="The peers' folder."
)
@click.option("--install", "installs", is_flag=True, help="Set up CuPy and the peers first.")
@click.option("--out", type=Path, default=HERE / "results", help="Folder for gpu.json and gpu.md.")
@click.option("--date", default=str(datetime.date.today()), help="The date to write down.  [default: today]")
def main(
    backend: str,
    rows: str,
    peers: str,
    rounds: int,
    seconds: float,
    lost: float,
    minutes: float,
    count: int | None,
    tests: bool,
    name: str,
    goal: float,
    seeds: int,
    dataset: str,
    environments: Path,
    installs: bool,
    out: Path,
    date: str,
) -> None:
    """Check tinynet on the GPU of this machine, and measure it. Exits with 1 where a check does not hold."""
    until = time.monotonic() + 60 * minutes - ROW_SECONDS
    plan = chosen(rows)
    if installs:
        install(environments)
    try:
        ops = backends.get(backend)
    except TinynetError as error:
        raise click.ClickException(str(error)) from error
    contenders = contenders_for(ops, peers, environments)
    images = data.load(dataset)
    with tempfile.TemporaryDirectory() as folder:
        conditions = Conditions(Path(folder), rounds, seconds, lost, count or threads.budget())
        write_data(conditions.folder, images.train.images, images.train.labels)
        nets = list(dict.fromkeys(row.net for row in plan))
        for net in nets:
            write_net(conditions.folder, net, recipe.load(net, reference=True))
        asked = {"date": date, "backend": backend, "race": name, "goal": goal, "seeds": seeds}
        versions = versions_of(contenders, nets[0], conditions)
        here = {
            "device": backends.status(backend).detail,
            "machine": machine.summary(),
            "threads": conditions.threads,
            "dataset": images.name,
            "samples": len(images.train),
            "versions": versions,
        }
        report = Report(out, asked | here)
        for check in checks(ops, nets, conditions, tests):
            console.print(f"{'holds' if check.passed else 'does not hold'}  {check.what}: {check.found}")
            report.checks.append(check)
            report.write()
        report.roofs = measure_roofs(ops, seconds)
        contenders = [each for each in contenders if each.name in versions]
        for part, run in parts(report, plan, contenders, images, conditions):
            if time.monotonic() > until:
                report.left_out.append(part)
            else:
                try:
                    run()
                except TinynetError as error:
                    report.checks.append(GpuCheck(part, False, str(error)))
            report.write()
    console.print(f"written to {out / 'gpu.md'}")
    if not all(check.passed for check in report.checks):
        sys.exit(1)


if __name__ == "__main__":
    main()
