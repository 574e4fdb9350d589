"""tinynet race: how many seconds of training to 99 %."""

from __future__ import annotations

from pathlib import Path

import click

from tinynet.cli import options
from tinynet.cli.command import Command
from tinynet.printable import counted


@click.command(cls=Command, short_help="Seconds of training to 99 %, over several seeds.")
@click.argument("architecture", default="race")
@click.option(
    "--to",
    "goal",
    type=options.Finite(0, 100),
    default=99.0,
    show_default=True,
    help="Test accuracy (%) that the mean over the seeds must reach.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=10, show_default=True, help="Seeds 0, 1, 2, …")
@click.option("--dataset", default="mnist", show_default=True, help="mnist, fashion-mnist or sample.")
@options.together(options.data_dir, options.backend, options.layers, options.threads)
def command(
    architecture: str,
    goal: float,
    seeds: int,
    dataset: str,
    data_dir: Path | None,
    backend: str,
) -> None:
    """Train a recipe once for each seed and time it: `race`, made to be quick, or one of your own.

    Each seed trains on all training images. The test images are used once, after training. Exits with 1 if
    the mean test accuracy misses the goal.

    \b
    Examples:
      tinynet race
      tinynet race --to 99 --seeds 10
      tinynet race my.toml --seeds 3
    """
    import time

    from tinynet import backends
    from tinynet import threads as thread_budget
    from tinynet.cli.progress import load_dataset
    from tinynet.cli.screen import console
    from tinynet.experiments import race
    from tinynet.runs import recipe

    plan, ops = recipe.load(architecture), backends.get(backend)
    began = time.perf_counter()
    data = load_dataset(dataset, data_dir)
    loading = time.perf_counter() - began
    epochs = plan.training.epochs_on(len(data.train))
    console.print(
        f"{architecture}: {counted(epochs, 'epoch')} of {len(data.train):,} images, "
        f"{ops.name} backend, {counted(thread_budget.size(), 'thread')}"
    )
    compiling = race.rehearse(plan, data, ops)
    found = []
    for heat in race.heats(plan, data, range(seeds), ops):
        console.print(f"seed {heat.seed:<3} {100 * heat.accuracy:6.2f} %  {heat.train:7.2f} s")
        found.append(heat)
    accuracy, train, evaluate = (
        race.mean([getattr(heat, name) for heat in found]) for name in ("accuracy", "train", "evaluate")
    )
    interval = f", 95 % interval of the mean, {seeds} seeds" if seeds > 1 else ", one seed"
    console.print(f"test accuracy  {accuracy.text(100)} %{interval}")
    console.print(f"load           {loading:.2f} s  the data set")
    console.print(f"compile        {compiling:.2f} s  kernels, and a first step; once")
    console.print(f"train          {train.text()} s  a seed, first step to last, without evaluation")
    console.print(f"evaluate       {evaluate.text()} s  a seed, {len(data.test):,} test images")
    race.check_goal([heat.accuracy for heat in found], goal / 100)
    console.print(f"{goal:g} % reached, in {train.value:.2f} s of training", style="bold green")
