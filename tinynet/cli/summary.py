"""tinynet summary: the layers of an architecture or a trained model, with what each costs."""

from __future__ import annotations

from pathlib import Path

import click

from tinynet.cli import options


@click.command(short_help="The layers of a net, and what each costs.")
@click.argument("what", default="cnn")
@click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Images in a batch.")
@options.together(options.backend, options.convolution)
def command(what: str, batch: int, backend: str, convolution: str) -> None:
    """Show the layers of WHAT: an architecture's name, a TOML file, a run's folder or a safetensors file.

    Multiply-adds and activation memory are for one image forward. "computed" tells how the backend does it
    for a batch: by which convolution, or fused with the layer before.

    \b
    Examples:
      tinynet summary kaggle-cnn
      tinynet summary runs/cnn-1
      tinynet summary lenet --batch 1 --conv direct
    """
    from rich.table import Table

    from tinynet import backends, recipe, runs
    from tinynet.cli.console import console
    from tinynet.model import Sequential

    ops = backends.get(backend, convolution=convolution)
    if what in recipe.names() or what.endswith(".toml"):
        model = Sequential.from_config(recipe.load(what).as_table(), backend=ops)
    else:
        model = runs.load_model(Path(what), backend=ops).model
    table = Table(title=f"{what}: input {model.input_shape}")
    for column in ("layer", "output"):
        table.add_column(column)
    for column in ("parameters", "multiply-adds", "memory"):
        table.add_column(column, justify="right")
    table.add_column("computed")
    rows = model.summary(batch)
    for row in rows:
        table.add_row(
            row.name,
            "×".join(map(str, row.output_shape)),
            f"{row.parameters + row.state:,}",
            f"{row.multiply_adds:,}",
            f"{row.activation_bytes / 1024:,.1f} KiB",
            row.algorithm,
        )
    console.print(table)
    trainable, tracked = model.store.count, model.store.state_count
    console.print(
        f"{trainable + tracked:,} parameters ({trainable:,} trainable), "
        f"{sum(row.multiply_adds for row in rows):,} multiply-adds and "
        f"{sum(row.activation_bytes for row in rows) / 1024:,.0f} KiB of activations an image"
    )
