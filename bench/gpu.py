"""tinynet on a GPU: checked, timed beside PyTorch and JAX on the same card, beside what a model foresees.

    python bench/gpu.py model              # gpu-model.md: what an H100 should take; needs no GPU
    python bench/gpu.py checks             # gpu-checks.md: is it right?  in less than ten minutes
    python bench/gpu.py timings            # gpu-timings.md: how fast is it?  in less than ten minutes
    python bench/gpu.py timings --backend numba --rows mlp-step-64 --race '' --out OUT    # tries itself out

A machine that has a GPU and no network gets all that is needed from one that has:

    python bench/gpu.py pack FOLDER                      # wheels and MNIST, where there is a network
    python bench/gpu.py install --wheels FOLDER/wheels   # on the other
    export TINYNET_DATA=FOLDER/mnist

A peer computes in its own environment (`bench/peers/setup FOLDER torch-cuda jax-cuda`) or, where that is not
set up, in this one if it has that framework; else it is left out. All compute in float32, without TF32; ours
also with `--precision tf32` or `bf16`. The files are written after each part, and what there was no time for
is named in them. See bench/README.md.
"""

from __future__ import annotations

import datetime
import fnmatch
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import gpu_checks  # noqa: E402
import gpu_model  # noqa: E402
import gpu_precision  # noqa: E402
import gpu_setup  # noqa: E402
import gpu_timings  # noqa: E402
from gpu_launches import make_trainer, of_a_step, of_a_stretch, on_paper  # noqa: E402
from gpu_report import GpuCheck, Report  # noqa: E402

from tinynet import backends, data, machine, threads  # noqa: E402
from tinynet.backends.base import Backend  # noqa: E402
from tinynet.benchmark import nets  # noqa: E402
from tinynet.benchmark.harness import Conditions, Contender, write_data, write_net  # noqa: E402
from tinynet.benchmark.rows import Row  # noqa: E402
from tinynet.errors import TinynetError  # noqa: E402

SIZES = [
    ("mlp", 64),
    ("lenet", 128),
    ("kaggle-cnn", 32),
    ("race", 64),
    ("lenet", 1024),
    ("kaggle-cnn", 256),
    ("linear", 64),
]
"""The most telling first: there may not be time for all."""
ROWS = [
    *(Row(f"{net}-step-{batch}", "step", net, batch) for net, batch in SIZES),
    *(Row(f"{net}-epoch-{batch}", "epoch", net, batch, "s", 3) for net, batch in SIZES),
]
RESERVE = 30
"""Seconds: with less than this nothing is begun."""
console = Console(highlight=False)

backend_option = click.option(
    "--backend", default="cupy", show_default=True, help="Another one tries out this program."
)
precision_option = click.option(
    "--precision",
    type=click.Choice(backends.PRECISIONS),
    default="float32",
    show_default=True,
    help="Of products, ours only: peers compute in float32.",
)
rows_option = click.option(
    "--rows", default="*", help="Names or patterns of rows, comma separated.  [default: all]"
)
minutes_option = click.option(
    "--minutes", default=9.0, show_default=True, help="Begin nothing after so long."
)
dataset_option = click.option("--dataset", default="auto", show_default=True, help="mnist, sample, or auto.")
threads_option = click.option(
    "--threads", "count", type=int, help="Threads of each contender.  [default: all]"
)
out_option = click.option("--out", type=Path, default=HERE / "results", help="Folder for the results.")
date_option = click.option(
    "--date", default=str(datetime.date.today()), help="The date to write down.  [default: today]"
)
environments_option = click.option(
    "--environments", type=Path, envvar="TINYNET_PEERS", default=".peers", help="The peers' folder."
)


@click.group(help=(__doc__ or "").partition("\n")[0])
def main() -> None:
    pass


def chosen(patterns: str) -> list[Row]:
    rows = [row for row in ROWS if any(fnmatch.fnmatch(row.name, p) for p in patterns.split(","))]
    if not rows:
        raise click.BadParameter(
            f"no row is called {patterns!r}; there are: {', '.join(r.name for r in ROWS)}"
        )
    return rows


def found_backend(name: str, precision: str = "float32") -> Backend:
    try:
        return backends.get(name, precision=precision)
    except TinynetError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def conditions_for(
    plan: list[Row], images: data.Dataset, rounds: int, seconds: float, lost: float, count: int | None
) -> Iterator[Conditions]:
    """A folder with what contenders need of these rows."""
    with tempfile.TemporaryDirectory() as folder:
        conditions = Conditions(Path(folder), rounds, seconds, lost, count or threads.budget())
        write_data(conditions.folder, images.train.images, images.train.labels)
        for net in {row.net for row in plan}:
            write_net(conditions.folder, net, nets.load(net))
        yield conditions


def about(ops: Backend, date: str, images: data.Dataset, conditions: Conditions) -> dict[str, Any]:
    return {
        "date": date,
        "backend": ops.name,
        "precision": ops.precision,
        "device": backends.status(ops.name).detail,
        "machine": machine.summary(),
        "threads": conditions.threads,
        "dataset": images.name,
        "samples": len(images.train),
    }


def finish(report: Report) -> None:
    console.print(f"written to {report.out / report.name}.md")
    if not all(check.passed for check in report.checks):
        sys.exit(1)


@main.command()
@backend_option
@precision_option
@rows_option
@minutes_option
@threads_option
@click.option("--tests/--no-tests", default=True, show_default=True, help="Run the tests on the backend.")
@dataset_option
@out_option
@date_option
def checks(
    backend: str,
    precision: str,
    rows: str,
    minutes: float,
    count: int | None,
    tests: bool,
    dataset: str,
    out: Path,
    date: str,
) -> None:
    """Is tinynet right on this GPU? Exits with 1 where a check does not hold."""
    until, plan = time.monotonic() + 60 * minutes, chosen(rows)
    ops = found_backend(backend, precision)
    batches = {row.net: row.batch for row in reversed(plan)}  # the smaller, where there are two
    images, ours = data.load(dataset), gpu_timings.ours_on(ops)
    with conditions_for(plan, images, 1, 0.0, 1.0, count) as conditions:
        here = about(ops, date, images, conditions)
        versions = gpu_timings.versions_of([ours], plan[0].net, conditions)
        report = Report(out, "gpu-checks", here | {"versions": versions})
        make = partial(backends.get, backend, precision=precision)
        for check in gpu_checks.every(make, batches, ours, conditions, until, tests):
            console.print(f"{'holds' if check.passed else 'does not hold'}  {check.what}: {check.found}")
            report.checks.append(check)
            report.write()
    finish(report)


@main.command()
@backend_option
@precision_option
@rows_option
@click.option(
    "--peers", default=",".join(peer[0] for peer in gpu_timings.PEERS), show_default=True, help="Their names."
)
@click.option("--rounds", default=5, show_default=True, help="Clean rounds wanted of a row.")
@click.option("--seconds", default=0.2, show_default=True, help="How long a turn should take.")
@click.option("--lost", default=0.2, show_default=True, help="Discard rounds that lost more to others.")
@minutes_option
@threads_option
@click.option("--race", "name", default="race", show_default=True, help="Recipe of the race; '' for none.")
@click.option("--goal", default=99.0, show_default=True, help="Test accuracy (%) to reach in the race.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Of the race.")
@dataset_option
@environments_option
@out_option
@date_option
def timings(
    backend: str,
    precision: str,
    rows: str,
    peers: str,
    rounds: int,
    seconds: float,
    lost: float,
    minutes: float,
    count: int | None,
    name: str,
    goal: float,
    seeds: int,
    dataset: str,
    environments: Path,
    out: Path,
    date: str,
) -> None:
    """How fast is tinynet on this GPU? Exits with 1 where a part failed."""
    until, plan = time.monotonic() + 60 * minutes - RESERVE, chosen(rows)
    ops, images = found_backend(backend, precision), data.load(dataset)
    with conditions_for(plan, images, rounds, seconds, lost, count) as conditions:
        contenders: list[Contender] = gpu_timings.contenders_for(ops, peers, environments)
        versions = gpu_timings.versions_of(contenders, plan[0].net, conditions)
        here = about(ops, date, images, conditions) | {"versions": versions}
        report = Report(out, "gpu-timings", here | {"race": name, "goal": goal, "seeds": seeds})
        contenders = [each for each in contenders if each.name in versions]
        for part, run in gpu_timings.parts(report, plan, ops, contenders, images, conditions):
            if time.monotonic() > until:
                report.left_out.append(part)
            else:
                console.print(part)
                _attempt(report, part, run)
            report.write()
    finish(report)


def _attempt(report: Report, part: str, run: Any) -> None:
    """What fails is told among the checks, and does not end the rest."""
    try:
        run()
    except Exception as error:
        report.checks.append(GpuCheck(part, False, f"{type(error).__name__}: {error}"))


@main.command()
@rows_option
@out_option
@date_option
def model(rows: str, out: Path, date: str) -> None:
    """What should a step take on an H100? Arithmetic over the kernels it launches; needs no GPU."""
    ops = on_paper()
    steps = {
        (row.net, row.batch): gpu_model.predict(of_a_step(row.net, row.batch, ops))
        for row in chosen(rows)
        if row.kind == "step"
    }
    stretches = {
        key: (gpu_model.H100.predict(whole[0]), whole[1])
        for key in steps
        if (whole := of_a_stretch(*key, ops))
    }
    out.mkdir(parents=True, exist_ok=True)
    lines = [*gpu_model.as_markdown(steps, stretches, gpu_model.H100, date), *gpu_precision.as_markdown()]
    (out / "gpu-model.md").write_text("\n".join(lines) + "\n", "utf-8")
    for (net, batch), found in steps.items():
        console.print(f"{net} {batch}: {len(found)} launches, {1e6 * gpu_model.total(found):.0f} µs")
    for (net, batch), (whole, count) in stretches.items():
        console.print(
            f"{net} {batch}: {count} steps by one launch, {1e6 * whole.seconds / count:.1f} µs each"
        )
    console.print(f"written to {out / 'gpu-model.md'}")


@main.command()
@click.argument("net")
@click.argument("batch", type=click.IntRange(min=1))
@backend_option
def step(net: str, batch: int, backend: str) -> None:
    """Train for two epochs of a batch: a program for a profiler or for compute-sanitizer to watch."""
    ops = found_backend(backend)
    if backend == "cupy":
        ops.xp.cuda.set_allocator(
            None
        )  # an array is a piece of memory of its own, so its ends can be watched
    trainer = make_trainer(net, batch, ops, epochs=2, steps=1)
    trainer.run()
    console.print(f"loss {trainer.state.history[-1]['loss']:.3f}")


@main.command()
@click.argument("folder", type=Path)
@click.argument("names", nargs=-1)
@click.option("--python", default="3.12", show_default=True, help="Python's version there.")
def pack(folder: Path, names: tuple[str, ...], python: str) -> None:
    """Wheels and MNIST into FOLDER, for a machine without a network; of packages called NAMES, or of all."""
    gpu_setup.pack(folder, python, names)


@main.command()
@click.option("--wheels", type=click.Path(exists=True, path_type=Path), help="Take these, and no network.")
@environments_option
def install(wheels: Path | None, environments: Path) -> None:
    """tinynet into this environment, with all that `checks` and `timings` need."""
    gpu_setup.install(wheels, environments)


if __name__ == "__main__":
    main()
