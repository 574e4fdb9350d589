"""How a step is called in C: its function, and what it is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from tinynet.export import literals
from tinynet.export.steps import Step
from tinynet.geometry import Window
from tinynet.types import Shape

Arguments: TypeAlias = Callable[[Step, str], list[str]]


class Function(NamedTuple):
    """A file of templates/, and what stands between the parentheses of a call besides x and y."""

    arguments: Arguments
    needs: tuple[str, ...] = ()
    """Files that must stand before it."""
    weights_behind: tuple[str, ...] = ()
    """Tensors that are given between x and y."""


def _count(step: Step, name: str) -> list[str]:
    """The number of values, and the settings of the step."""
    return [str(math.prod(step.output_shape)), *map(_setting, step.settings.values())]


def _setting(value: float) -> str:
    return str(value) if isinstance(value, int) else literals.number(value)


def _rows(step: Step, name: str) -> list[str]:
    *before, inputs = step.input_shape
    return [str(math.prod(before)), str(inputs), str(step.output_shape[-1])]


def _window(step: Step, name: str) -> list[str]:
    return [f"&{name}_window"]


def _pixels(step: Step, name: str) -> list[str]:
    *image, channels = step.input_shape
    return [str(math.prod(image)), str(channels), *map(_setting, step.settings.values())]


def _softmax(step: Step, name: str) -> list[str]:
    *before, last = step.output_shape
    return [str(math.prod(before)), str(last)]


def _and_weights(arguments: Arguments) -> Arguments:
    return lambda step, name: [*arguments(step, name), f"&{name}"]


def _and_table(step: Step, name: str) -> list[str]:
    return [str(math.prod(step.output_shape)), f"{name}_table"]


PLAIN = Function(_count)
FLOAT = {
    "dense": Function(_rows, ("products",), ("W", "b")),
    "conv2d": Function(_window, ("window", "products"), ("W", "b")),
    "depthwiseconv2d": Function(_window, ("window",), ("W", "b")),
    "maxpool2d": Function(_window, ("window",)),
    "avgpool2d": Function(_window, ("window",)),
    "globalaveragepool": Function(_pixels),
    "rescale": PLAIN,
    "rescale_bytes": PLAIN,
    "relu": PLAIN,
    "leaky_relu": PLAIN,
    "elu": PLAIN,
    "gelu": Function(_count, ("erff",)),
    "gelu_tanh": Function(_count, ("tanhf",)),
    "sigmoid": PLAIN,
    "tanh": Function(_count, ("tanhf",)),
    "softmax": Function(_softmax),
    "add": PLAIN,
}
"""By the kinds of a plan's steps."""
SUMS = ("weights", "requantize")
INT8 = {
    "dense": Function(_and_weights(_rows), (*SUMS, "dot")),
    "dense_scores": Function(_and_weights(_rows), (*SUMS, "dot")),
    "conv2d": Function(_and_weights(_window), ("window", *SUMS, "dot")),
    "depthwiseconv2d": Function(_and_weights(_window), ("window", *SUMS)),
    "maxpool2d": Function(_window, ("window",)),
    "avgpool2d": Function(_window, ("window",)),
    "globalaveragepool": Function(_pixels, ("requantize",)),
    "bytes": Function(_and_table),
    "lookup": Function(_and_table),
    "quantize": PLAIN,
    "scores": PLAIN,
    "add": Function(_count, ("requantize",)),
}
"""By the kinds of quantised steps."""


def call(step: Step, function: Function, prefix: str, places: Sequence[str]) -> str:
    """The call of a step whose values lie at `places`: what it takes, and last what it gives."""
    *taken, given = places
    name = f"{prefix}_{step.name}"
    behind = [f"{name}_{tensor}" for tensor in function.weights_behind]
    return f"{prefix}_{step.kind}({', '.join([*function.arguments(step, name), *taken, *behind, given])});"


def window(prefix: str, name: str, g: Window, x: Shape, y: Shape) -> str:
    """A constant with the members that templates/both/window.h declares."""
    members = {
        "height": x[0],
        "width": x[1],
        "channels": x[2],
        "rows": y[0],
        "columns": y[1],
        "filters": y[2],
        "kernel_height": g.size[0],
        "kernel_width": g.size[1],
        "stride_down": g.stride[0],
        "stride_right": g.stride[1],
        "pad_top": g.corner[0],
        "pad_left": g.corner[1],
    }
    body = literals.filled(f".{member} = {number}" for member, number in members.items())
    return f"static const {prefix}_window {name} = {{\n{body}\n}};\n"
