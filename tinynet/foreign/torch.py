"""The weights of a PyTorch net, saved as safetensors, for a recipe of the same layers.

    safetensors.torch.save_file(net.state_dict(), "net.safetensors")

A state dict has tensors by the names of modules, and says nothing of what they compute: the recipe does.
PyTorch flattens images with channels first; the rows of the dense layer behind are put in tinynet's order.
A BatchNorm's momentum is no tensor: PyTorch's m is 1 - m here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tinynet.errors import CheckpointError
from tinynet.io.tensors import read_tensors
from tinynet.layers import BatchNorm, Conv2D, Dense, DepthwiseConv2D, Flatten, Layer
from tinynet.layers.stack import walk
from tinynet.model import Sequential
from tinynet.types import Array

NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "mean": "running_mean",
    "variance": "running_var",
    "W": "weight",
    "b": "bias",
}
"""What PyTorch calls a parameter or statistic of ours."""
COUNTED = "num_batches_tracked"
"""A tensor of PyTorch's batch-norm of which nothing here depends."""


def fill_from_torch(model: Sequential, path: Path, order: Sequence[str] = ()) -> None:
    """Give the model the weights in a safetensors file of a state dict.

    `order` names the modules with tensors in the order of the model's layers; by default it is that of their
    names, with numbers by their value. Raises CheckpointError for a file that is none, a tensor too many or
    too few, and one of another shape, with its name; the model then has its own weights still.
    """
    _, tensors = read_tensors(path)
    tensors = {name: values for name, values in tensors.items() if not name.endswith(COUNTED)}
    modules = list(order) or sorted({name.rpartition(".")[0] for name in tensors}, key=_natural)
    layers = [layer for layer in walk(model.layers) if layer.param_specs and not layer.branches]
    if len(modules) != len(layers):
        raise CheckpointError(
            f"{path} has other modules than the recipe has layers",
            expected=f"{len(layers)} with weights: {', '.join(layer.name for layer in layers)}",
            received=f"{len(modules)}: {', '.join(modules)}",
            fix="name the recipe of this net by --recipe",
        )
    rows = _rows_after_flatten(model)
    taken: dict[str, Array] = {}
    for layer, module in zip(layers, modules, strict=True):
        for name in ("gamma", "beta", "mean", "variance") if isinstance(layer, BatchNorm) else ("W", "b"):
            key = f"{module}.{NAMES[name]}" if module else NAMES[name]
            taken[f"{layer.name}.{name}"] = _taken(path, layer, name, key, tensors, rows.get(layer.name))
    used = {f"{module}.{end}" if module else end for module in modules for end in set(NAMES.values())}
    if more := sorted(tensors.keys() - used):
        raise CheckpointError(
            f"{path} has a tensor that the recipe has no place for: {more[0]}",
            expected=", ".join(sorted(used & tensors.keys())),
            received=", ".join(more),
        )
    views = {**model.store.values.views, **model.store.state.views}
    for name, values in taken.items():
        views[name][...] = values


def _natural(name: str) -> list[tuple[int, str]]:
    """So that layer 2 comes before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _rows_after_flatten(model: Sequential) -> dict[str, Array]:
    """By the names of layers behind a Flatten of images: where our values stand among PyTorch's."""
    found: dict[str, Array] = {}
    rows: Array | None = None
    for layer in model.layers:
        if isinstance(layer, Flatten) and len(layer.input_shape) == 3:
            height, width, channels = layer.input_shape
            places = np.arange(height * width * channels).reshape(channels, height, width)
            rows = places.transpose(1, 2, 0).reshape(-1)
        elif rows is not None and isinstance(layer, Dense | BatchNorm):
            found[layer.name] = rows
            rows = None if isinstance(layer, Dense) else rows
    return found


def _taken(
    path: Path, layer: Layer, name: str, key: str, tensors: Mapping[str, Array], rows: Array | None
) -> Array:
    """The tensor of that key as the layer has it."""
    own = getattr(layer.params if name in layer.params else layer.state, name)
    if name == "b" and key not in tensors:  # PyTorch's layers may do without
        return np.zeros(own.shape)
    values = tensors.get(key)
    if values is not None and name == "W":
        images = isinstance(layer, Conv2D | DepthwiseConv2D) and values.ndim == 4
        values = values.transpose(2, 3, 1, 0) if images else values.T if values.ndim == 2 else values
    if values is None or values.shape != own.shape:
        raise CheckpointError(
            f"{path} does not fit {layer.name}.{name}",
            expected=f"{key}, which is {own.shape} as tinynet has it",
            received="no such tensor" if values is None else f"{values.shape}",
            fix="name the modules in the order of the layers: --order conv1,bn1,fc",
        )
    if not np.isfinite(values).all():
        raise CheckpointError(
            f"{path}: {key} is not finite", expected="numbers", received="a NaN or an infinity"
        )
    return values if rows is None or name == "b" else values[rows]
