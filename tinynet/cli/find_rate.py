"""tinynet find-rate: which learning rate to begin with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinynet.cli import options
from tinynet.cli.command import Command, given_options
from tinynet.cli.out import Out

if TYPE_CHECKING:
    from tinynet.rates import RateCurve


@click.command(cls=Command, short_help="Which learning rate to begin with.")
@click.argument("architecture", default="cnn")
@click.option(
    "--low",
    type=options.Finite(min=0, min_open=True),
    default=1e-6,
    show_default=True,
    help="The first, smallest learning rate.",
)
@click.option(
    "--high",
    type=options.Finite(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="The last, largest one.",
)
@click.option(
    "--steps",
    type=click.IntRange(20, 100_000),
    default=100,
    show_default=True,
    help="Batches to learn. More of them show more of a noisy loss, and suggest smaller rates.",
)
@options.together(
    options.variant,
    options.batch_size,
    options.optimizer,
    options.class_weight,
    options.mixup,
    options.cutmix,
    options.sources_and_backend,
    options.threads,
)
@options.dtype
@click.option(
    "--out",
    type=Out(dir_okay=False, in_folder=True, is_picture=True),
    default=Path("rates.png"),
    show_default=True,
    help="Draw the losses here, .png or .svg.",
)
def command(
    architecture: str,
    low: float,
    high: float,
    steps: int,
    variant: str,
    batch_size: int | None,
    optimizer: str | None,
    class_weight: str | None,
    mixup: float | None,
    cutmix: float | None,
    dataset: str,
    data_dir: Path | None,
    size: tuple[int, ...] | None,
    test: float | None,
    skip_broken: bool,
    seed: int,
    backend: str,
    convolution: str,
    precision: str,
    dtype: str,
    out: Path,
) -> None:
    """Suggest a learning rate for ARCHITECTURE: a name or a TOML file, as for `tinynet train`.

    Trains for a moment while the learning rate grows from step to step, until the loss explodes. Suggests the
    rate at which the loss falls most steeply, and draws all losses. No net is kept.

    Where the loss never falls clear of its noise, nothing is suggested.

    A suggestion goes with the batch size, the optimiser and the number of steps: more steps suggest smaller
    rates, as the net learns while the rate is still small. For a schedule it is the largest rate.

    \b
    Examples:
      tinynet find-rate
      tinynet find-rate mlp --batch 256 --optimizer SGD
      tinynet find-rate my.toml --dataset fashion-mnist --out clothes.png
      tinynet find-rate cnn --low 1e-4 --high 1 --steps 200
    """
    from tinynet import backends, plots, rates
    from tinynet.cli.plan import changed
    from tinynet.cli.progress import RateProgress
    from tinynet.cli.screen import console
    from tinynet.cli.sources import load_for
    from tinynet.data.datasets import Choices
    from tinynet.runs import recipe
    from tinynet.runs.trainers import split_train_validation

    ops = backends.get(backend, convolution=convolution, precision=precision)
    plan = recipe.load(architecture, reference=variant == "reference")
    plan = changed(
        plan,
        batch_size=batch_size,
        optimizer=optimizer,
        class_weight=class_weight,
        mixup=mixup,
        cutmix=cutmix,
    )
    plan, data = load_for(plan, dataset, data_dir, Choices(size, test=test, skip_broken=skip_broken))
    train, training = split_train_validation(plan.training, data.train)[0], plan.training
    model = plan.build_model(backend=ops, dtype=dtype, seed=seed)
    name = type(training.optimizer).__name__
    console.print(
        f"{Path(architecture).stem}: {steps} steps on batches of {training.batch_size}, {name}, "
        f"learning rates from {low:g} to {high:g}, {ops.name} backend"
    )
    progress = RateProgress(steps)
    try:
        found = rates.find_rate(
            model,
            train.images,
            train.labels,
            low=low,
            high=high,
            steps=steps,
            batch_size=training.batch_size,
            class_weight=training.class_weight,
            loss=dataclasses.replace(training.loss),
            optimizer=training.optimizer,
            augmentation=training.augmentation,
            callbacks=[progress],
        )
    finally:
        progress.close()
    _say(found, None if optimizer else training.optimizer.learning_rate, architecture)
    plots.rate_curve(found.rates, found.losses, found.smoothed, out, suggestion=found.suggestion)
    console.print(f"Plot: {out}", soft_wrap=True)


def _say(found: RateCurve, known: float | None, architecture: str) -> None:
    """The suggestion, beside the learning rate of the recipe if its optimiser is the same."""
    from tinynet.cli.screen import console
    from tinynet.printable import quoted

    if found.exploded:
        console.print(f"The loss exploded at a learning rate of {found.rates[-1]:.2g}.")
    if found.suggestion is None:
        console.print(
            "No suggestion: the loss falls clear of its noise at none of these rates. Try others (--low, "
            "--high) or more --steps.",
            style="yellow",
        )
        return
    rate = f"{found.suggestion:.2g}"
    beside = "" if known is None else f" (the recipe's: {known:g})"
    console.print(f"Suggested learning rate: {rate}{beside}", style="bold green")
    given = given_options(click.get_current_context(), without=("low", "high", "steps", "out"))
    words = " ".join(map(quoted, [architecture, *given]))
    console.print(f"To train with it: tinynet train {words} --lr {rate}", soft_wrap=True)
    if found.falls_to_the_end:
        console.print("The loss still fell at the last rate: a larger --high may show more.", style="yellow")
