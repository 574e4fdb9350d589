"""tinynet import: the nets of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tinynet.cli.command import Command
from tinynet.cli.out import Out
from tinynet.printable import counted


@click.command("import", cls=Command, short_help="A net of ONNX, Keras or PyTorch, as a model of tinynet.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=Out(dir_okay=False, in_folder=True),
    default=Path("model.safetensors"),
    show_default=True,
    help="The model to write.",
)
@click.option("--recipe", help="PyTorch: the architecture or TOML file whose layers the weights are for.")
@click.option(
    "--order", default="", help="PyTorch: its modules in the order of the layers, such as conv1,bn1,fc."
)
@click.option("--classes", default="", help="Names of the classes, comma separated.  [default: the file's]")
def command(file: Path, out: Path, recipe: str | None, order: str, classes: str) -> None:
    """Read FILE, a net of another program, and write it as a model that all commands take.

    ONNX (.onnx) and Keras (.keras) say themselves which layers they have. Of PyTorch it is the state dict,
    saved by safetensors; --recipe says which layers it is for. Pictures are given with channels last, as
    everywhere here. Nothing in the file is executed; what tinynet has no layer for is named. Needs the extra
    `onnx` or `keras`.

    \b
    Examples:
      tinynet import net.onnx -o net.safetensors
      tinynet import net.keras --classes cat,dog
      tinynet import net.safetensors --recipe mlp
    """
    from tinynet import checkpoint
    from tinynet.cli.screen import console
    from tinynet.errors import ConfigError
    from tinynet.printable import quoted

    readers = {".onnx": _of_onnx, ".keras": _of_keras, ".safetensors": _of_torch}
    read = readers.get(file.suffix.lower())
    if read is None:
        raise ConfigError(
            f"{file} is of no kind that can be read",
            expected=", ".join(readers),
            received=file.suffix or "a name without an ending",
            fix="tinynet's own models need no import; save a PyTorch net by safetensors",
        )
    if read is not _of_torch and (recipe or order):
        raise click.UsageError("--recipe and --order are for PyTorch's weights.")
    model, loss, found = read(file, recipe, [name for name in order.split(",") if name])
    names = [name.strip() for name in classes.split(",")] if classes else found
    count = loss.classes(model.output_shape[-1])
    if names and len(names) != count:
        raise ConfigError(
            "there are not as many names as the net tells classes apart",
            expected=f"{count} names",
            received=", ".join(names),
        )
    if len({*names} - {""}) < len(names):
        raise ConfigError(
            "the names do not tell the classes apart",
            expected="names that are not empty, each once",
            received=", ".join(map(repr, names)),
        )
    checkpoint.save_model(
        out, model, loss, {"name": file.stem, "classes": names} if names else {"name": file.stem}
    )
    shape = " x ".join(map(str, model.input_shape))
    console.print(
        f"{out}: {counted(len(model.layers), 'layer')}, "
        f"{counted(model.store.count + model.store.state_count, 'parameter')}, inputs {shape}. "
        f"Try: tinynet summary {quoted(out)}"
    )


def _of_onnx(file: Path, recipe: str | None, order: list[str]) -> tuple[Any, Any, list[str]]:
    from tinynet.foreign.onnx import read_onnx

    net, shape = read_onnx(file)
    return *net.build(shape), net.classes


def _of_keras(file: Path, recipe: str | None, order: list[str]) -> tuple[Any, Any, list[str]]:
    from tinynet.foreign.keras import read_keras

    net, shape = read_keras(file)
    return *net.build(shape), net.classes


def _of_torch(file: Path, recipe: str | None, order: list[str]) -> tuple[Any, Any, list[str]]:
    from tinynet.foreign.torch import fill_from_torch
    from tinynet.runs import recipe as recipes

    if recipe is None:
        raise click.UsageError("PyTorch's weights need --recipe: a state dict does not say what it computes.")
    plan = recipes.load(recipe)
    model = plan.build_model(backend="numpy")
    fill_from_torch(model, file, order)
    return model, plan.training.loss, []
