"""The race of `tinynet race` beside PyTorch, eager.

Both get the same net, initial weights, Adam, batch size, epochs and learning rate at each step. The order of
the images and the dropout masks are each one's own.

    python bench/race.py                               # bench/results/race.md and race.json
    python bench/race.py --seeds 3 --threads 1

The two take turns, seed by seed, each time in a new process that has compiled and loaded what it needs before
it is timed. Seconds are those of training, first step to last; accuracy is that on the test images then.
"""

from __future__ import annotations

import datetime
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from compare import LOSS_TOLERANCES, chosen_peers, first_losses, limit_cores, ours_in  # noqa: E402
from pairs import Comparison, compare, disagreement  # noqa: E402

from tinynet import data, machine, threads  # noqa: E402
from tinynet.benchmark.harness import Conditions, Contender, Process, about, write_data, write_net  # noqa: E402
from tinynet.benchmark.turns import CpuTimes, Turn, figure  # noqa: E402
from tinynet.experiments.race import mean  # noqa: E402
from tinynet.io import tables  # noqa: E402
from tinynet.runs import recipe  # noqa: E402

console = Console(highlight=False)


class Heat(NamedTuple):
    """One seed of one contender; seconds."""

    accuracy: float
    train: float
    evaluate: float
    lost: float
    """The share of the processors that went to others meanwhile."""
    compile: float = 0.0
    """A step and a test with each size of batch, which compiles what is to be compiled."""
    load: float = 0.0
    """Bringing all images to where they are computed with."""


def check_comparable(training: recipe.Training) -> None:
    """Refuse a recipe with what `bench/peers` does not know."""
    adam = tables.to_table(training.optimizer)
    adam.pop("learning_rate", None)
    if adam != {"type": "Adam"} or tables.to_table(training.loss) != {"type": "SoftmaxCrossEntropy"}:
        raise click.UsageError("only Adam as it comes and SoftmaxCrossEntropy without smoothing are compared")


def learning_rates(training: recipe.Training, samples: int) -> list[float]:
    """Of each step, first to last."""
    steps, epochs = -(-samples // training.batch_size), training.epochs_on(samples)
    base = training.optimizer.learning_rate
    return [base * training.schedule(step / steps, epochs) for step in range(epochs * steps)]


def check_agreement(contenders: list[Contender], net: str, batch: int, conditions: Conditions) -> None:
    """Raise ClickException unless the losses of the first steps, without dropout, are the same."""
    found = []
    for contender in contenders:
        with Process(contender, net, batch, conditions) as process:
            found.append(first_losses(process))
    for contender, losses in zip(contenders, found, strict=True):
        if problem := disagreement(found[0], losses, LOSS_TOLERANCES):
            raise click.ClickException(f"{contender.name} does not train the same net: {problem}")


def run(contender: Contender, net: str, batch: int, rates: list[float], conditions: Conditions) -> Heat:
    with Process(contender, net, batch, conditions) as process:
        process.ask("about")  # it has started now
        before = CpuTimes.now()
        answer, own = process.timed("race", rates=rates)
        return Heat(**answer, lost=before.lost_until(CpuTimes.now(), own))


def ratio(found: dict[str, list[Heat]], most_lost: float) -> Comparison | None:
    """Of the seconds of training, seed by seed."""
    ours, theirs = ([Turn(heat.train, heat.lost) for heat in heats] for heats in found.values())
    return compare(ours, theirs, most_lost)


def as_markdown(report: dict[str, Any], found: dict[str, list[Heat]]) -> str:
    rows = [
        ("test accuracy, %", "accuracy", 100.0),
        ("training, s", "train", 1.0),
        ("evaluation, s", "evaluate", 1.0),
    ]
    pairs = zip(*found.values(), strict=True)
    lines = [
        "# The race beside PyTorch",
        "",
        f"`python bench/race.py`, {report['date']}, on {report['machine']}; {report['threads']} threads.",
        f"{report['epochs']} epoch(s) of {report['samples']:,} images, batch {report['batch']}; "
        f"{report['test_samples']:,} test images, looked at once, after the last step.",
        "",
        "Mean over the seeds ± half of its 95 % interval (Student's t). The same initial weights, learning",
        "rate at each step and Adam for both; the order of the images and the dropout masks differ.",
        "",
        f"| | {' | '.join(found)} |",
        "|---|---:|---:|",
    ]
    for title, name, scale in rows:
        means = (mean([getattr(heat, name) for heat in heats]).text(scale) for heats in found.values())
        lines.append(f"| {title} | {' | '.join(means)} |")
    lines += [
        "",
        f"Seconds of training, {' / '.join(found)}, seed by seed: {ratio_in_words(report, found)}",
        "",
        f"| seed | {' | '.join(f'{name}, % | s' for name in found)} |",
        "|---:|---:|---:|---:|---:|",
    ]
    for seed, pair in enumerate(pairs):
        cells = (f"{100 * heat.accuracy:.2f} | {heat.train:.2f}" for heat in pair)
        lines.append(f"| {seed} | {' | '.join(cells)} |")
    versions = [f"- {name}: {', '.join(each)}" for name, each in report["versions"].items()]
    return "\n".join([*lines, "", *versions]) + "\n"


def ratio_in_words(report: dict[str, Any], found: dict[str, list[Heat]]) -> str:
    compared = ratio(found, report["most_lost"])
    if not compared:
        return "none, as every seed was disturbed by other programs."
    return (
        f"{figure(compared.ratio)}, median ± half the interquartile range of {compared.kept} seeds "
        f"({compared.discarded} discarded: more than {report['most_lost']:.0%} of the processors' time lost)."
    )


def write(out: Path, report: dict[str, Any], found: dict[str, list[Heat]]) -> None:
    """race.json with every heat, and race.md."""
    out.mkdir(parents=True, exist_ok=True)
    heats = {name: [heat._asdict() for heat in each] for name, each in found.items()}
    (out / "race.json").write_text(json.dumps(report | {"heats": heats}, indent=1) + "\n", "utf-8")
    (out / "race.md").write_text(as_markdown(report, found), "utf-8")


@click.command()
@click.argument("architecture", default="race")
@click.option("--seeds", type=click.IntRange(min=1), default=10, show_default=True, help="Seeds 0, 1, 2, …")
@click.option("--threads", "count", type=int, help="Threads, and cores, of each contender.  [default: all]")
@click.option("--lost", default=0.05, show_default=True, help="Discard seeds that lost more to others.")
@click.option("--dataset", default="mnist", show_default=True, help="mnist or sample.")
@click.option(
    "--environments", type=Path, envvar="TINYNET_PEERS", default=".peers", help="The peers' folder."
)
@click.option("--out", type=Path, default=HERE / "results", help="Folder for race.json and race.md.")
@click.option("--date", default=str(datetime.date.today()), help="The date to write down.  [default: today]")
def main(
    architecture: str,
    seeds: int,
    count: int | None,
    lost: float,
    dataset: str,
    environments: Path,
    out: Path,
    date: str,
) -> None:
    """Train a recipe with tinynet and with PyTorch, seed by seed; the files are written after each seed."""
    plan = recipe.load(architecture)
    training = plan.training
    check_comparable(training)
    contenders = [ours_in(environments), *chosen_peers("torch", environments)]
    if len(contenders) < 2:
        raise click.UsageError("PyTorch is not set up: bench/peers/setup makes its environment")
    count = count or threads.budget()
    limit_cores(count)
    images = data.load(dataset)
    rates = learning_rates(training, len(images.train))
    with tempfile.TemporaryDirectory() as name:
        conditions = Conditions(Path(name), seeds, 0.0, lost, count)
        write_data(conditions.folder, images.train.images, images.train.labels)
        write_data(conditions.folder, images.test.images, images.test.labels, "test-")
        for seed in range(seeds):
            write_net(conditions.folder, f"seed-{seed}", plan, seed)
        check_agreement(contenders, "seed-0", training.batch_size, conditions)
        report = {
            "date": date,
            "machine": machine.summary(),
            "threads": count,
            "recipe": tables.to_arguments(plan),
            "epochs": training.epochs_on(len(images.train)),
            "batch": training.batch_size,
            "samples": len(images.train),
            "test_samples": len(images.test),
            "most_lost": lost,
            "versions": {contender.name: about(contender, "seed-0", conditions) for contender in contenders},
        }
        found: dict[str, list[Heat]] = {contender.name: [] for contender in contenders}
        for seed in range(seeds):
            for contender in contenders:
                heat = run(contender, f"seed-{seed}", training.batch_size, rates, conditions)
                found[contender.name].append(heat)
                console.print(
                    f"seed {seed}  {contender.name:<8} {100 * heat.accuracy:.2f} %  {heat.train:.2f} s"
                )
            write(out, report, found)
    console.print(f"{' / '.join(found)}: {ratio_in_words(report, found)}")
    console.print(f"written to {out}")


if __name__ == "__main__":
    main()
