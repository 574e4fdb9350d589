"""tinynet summary: the layers of an architecture or a trained model, with the cost of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinynet.cli import options
from tinynet.cli.command import Command
from tinynet.cli.out import Out

if TYPE_CHECKING:
    from tinynet.model import Sequential
    from tinynet.plots.architecture import DrawnBlock
    from tinynet.summary import Summary

KINDS = {
    "Conv2D": "convolution",
    "DepthwiseConv2D": "convolution",
    "MaxPool2D": "pooling",
    "AvgPool2D": "pooling",
    "GlobalAveragePool": "pooling",
    "Dense": "dense",
}
"""What the picture calls a block, by its first layer that is one of these."""


@click.command(cls=Command, short_help="The layers of a net, and the cost of each.")
@click.argument("what", default="cnn")
@click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Images in a batch.")
@click.option(
    "--out",
    type=Out(dir_okay=False, in_folder=True, is_picture=True),
    help="Draw the net here, .png or .svg.",
)
@click.option("--show-recipe", is_flag=True, help="Print the net and its training as a TOML file, and stop.")
@options.together(options.backend, options.convolution, options.layers)
def command(
    what: str, batch: int, out: Path | None, show_recipe: bool, backend: str, convolution: str
) -> None:
    """Show the layers of WHAT: an architecture's name, a TOML file, a run's folder or a safetensors file.

    Multiply-adds and activation memory are for the forward pass of one image. "computed" is the backend's
    algorithm for a batch: the kind of convolution, or fused with the layer before.

    \b
    Examples:
      tinynet summary kaggle-cnn
      tinynet summary runs/cnn-1 --out net.png
      tinynet summary lenet --batch 1 --conv direct
      tinynet summary best --show-recipe > mine.toml
    """
    from rich.table import Table

    from tinynet import backends, checkpoint, persistent, plots
    from tinynet.cli.screen import console
    from tinynet.runs import recipe
    from tinynet.runs.settings import read_settings

    named = what in recipe.names() or what.endswith(".toml")
    if show_recipe:
        plan = recipe.load(what) if named else read_settings(Path(what)).recipe
        click.echo(recipe.to_toml(plan), nl=False)
        return
    ops = backends.get(backend, convolution=convolution)
    if named:
        plan = recipe.load(what)
        model, training = plan.build_model(backend=ops), plan.training
    else:
        model, training = checkpoint.load_model(Path(what), backend=ops).model, recipe.Training()
        training = replace(training, loss=model.loss or training.loss)
    table = Table(title=f"{what}: input {model.input_shape}")
    for column in ("layer", "output"):
        table.add_column(column)
    for column in ("parameters", "multiply-adds", "memory"):
        table.add_column(column, justify="right")
    table.add_column("computed")
    rows = model.summary(batch)
    for row in rows:
        *inside, name = row.name.split(".")
        table.add_row(
            "  " * len(inside) + name,
            "×".join(map(str, row.output_shape)),
            f"{row.parameters + row.state:,}",
            f"{row.multiply_adds:,}",
            f"{row.activation_bytes / 1024:,.1f} KiB",
            row.algorithm,
        )
    console.print(table)
    trainable, tracked = model.store.count, model.store.state_count
    multiply_adds = f"{sum(row.multiply_adds for row in rows):,} multiply-adds"
    console.print(
        f"{trainable + tracked:,} parameters ({trainable:,} trainable), {multiply_adds} and "
        f"{sum(row.activation_bytes for row in rows) / 1024:,.0f} KiB of activations an image"
    )
    trained = training.loss, training.optimizer, training.ema_decay
    if said := persistent.who_trains(model, *trained, batch):
        console.print(said)
    if out:
        title = f"{what}: {trainable + tracked:,} parameters, {multiply_adds} an image"
        plots.architecture(_blocks(model, rows), out, title=title)
        console.print(f"Drawn in {out}")


def _blocks(model: Sequential, rows: Summary) -> list[DrawnBlock]:
    """The input and the blocks of `model`, as they are drawn; `rows`: of its layers."""
    from tinynet.blocks import blocks
    from tinynet.plots.architecture import DrawnBlock

    drawn = [DrawnBlock(["input"], "other", model.input_shape, 0)]
    for block in blocks(model):
        layers = model.layers[block.start : block.stop]
        names = [layer.name for layer in layers]
        own = [row for row in rows if row.name.split(".")[0] in names]
        kind = next((KINDS[row.kind] for row in own if row.kind in KINDS), "other")
        parameters = sum(row.parameters + row.state for row in own)
        drawn.append(DrawnBlock(names, kind, layers[-1].output_shape, parameters))
    return drawn
