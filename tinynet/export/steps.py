"""A net as a small machine computes it: one step after another, and no step for what needs no computing.

Dropout is gone, and so are Flatten and Reshape, as values lie channels last here and there. A batch-norm is
folded into the weights of the layer before it, or is a convolution of one weight a channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from tinynet import layers
from tinynet.errors import ConfigError, NonFiniteError
from tinynet.geometry import Window
from tinynet.layers import Layer
from tinynet.layers.stack import walk
from tinynet.model import Sequential
from tinynet.rng import Key
from tinynet.types import Array, Shape


@dataclass(eq=False)
class Value:
    """The numbers that a step gives for one sample, and the range that they had for some samples."""

    size: int
    low: float = 0.0
    high: float = 0.0

    def observe(self, seen: Array | None) -> None:
        """Take the range from these numbers, in place of any known before."""
        if seen is not None:
            self.low, self.high = float(seen.min()), float(seen.max())


@dataclass(eq=False)
class Step:
    """One call: `kind` names the function, `layers` whose work it does."""

    kind: str
    layers: list[str]
    inputs: tuple[Value, ...]
    output: Value
    input_shape: Shape
    """Of one sample, as are all shapes here."""
    output_shape: Shape
    tensors: dict[str, Array] = field(default_factory=dict)
    settings: dict[str, float] = field(default_factory=dict)
    window: Window | None = None
    function: Callable[[Array], Array] | None = None
    """What an activation does to each number by itself."""

    @property
    def name(self) -> str:
        """The first layer's, as part of a name in C."""
        return self.layers[0].replace(".", "_")


class Plan:
    """The steps of a model, which is only read; with samples (M, *input_shape), the range of each value.

    Raises ConfigError with the name of a layer that is none of tinynet's own, NonFiniteError for weights
    that are no numbers.
    """

    def __init__(self, model: Sequential, samples: Array | None = None) -> None:
        self.model = _on_numpy(model)
        self.steps: list[Step] = []
        self.kept: set[Value] = set()
        """Values that are needed once more than by the next step."""
        self.seen: Array | None = None
        """What the samples have where the next step begins."""
        self.input = Value(math.prod(model.input_shape))
        seen = None if samples is None else self.model.as_input(samples)
        self.input.observe(seen)
        self.output, _ = self.through(self.model.layers, self.input, seen)
        if self.output is self.input:
            self.output = self._copied(self.input)
        self.takes_bytes = len(model.input_shape) == 3 and isinstance(
            model.layers[0], layers.Rescale
        )  # a net of images that begins with Rescale was trained on pixels from 0 to 255

    def _copied(self, x: Value) -> Value:
        """Of a net that computes nothing: what it is given, in memory of its own."""
        y, shape = Value(x.size, x.low, x.high), self.model.input_shape
        settings = {"scale": 1.0, "offset": 0.0}
        self.steps.append(
            Step("rescale", ["input"], (x,), y, shape, shape, {}, settings, function=lambda values: values)
        )
        return y

    @property
    def multiply_adds(self) -> int:
        """Of one sample, as `tinynet summary` counts them."""
        return sum(layer.multiply_adds() for layer in walk(self.model.layers))

    def through(self, each: Sequence[Layer], x: Value, seen: Array | None) -> tuple[Value, Array | None]:
        """What layers make of a value, and of the samples' own."""
        for layer in each:
            self.seen = seen
            x = KINDS[type(layer)](self, layer, x)
            if seen is not None:
                seen = np.array(layer.forward(seen, train=False, key=Key(0, 0))[0])
                x.observe(seen)
        return x, seen

    def add(self, kind: str, layer: Layer, *inputs: Value, **more: Any) -> Value:
        """One step more; the value that it gives."""
        y = Value(math.prod(layer.output_shape))
        shapes = (layer.input_shape, layer.output_shape)
        self.steps.append(Step(kind, [layer.name], inputs, y, *shapes, **more))
        return y


def check_layers(model: Sequential) -> None:
    """Raise ConfigError, with its name, for a layer of which there is no C here."""
    for layer in walk(model.layers):
        if type(layer) not in KINDS:
            raise ConfigError(
                f"there is no C for what layer {layer.name} computes",
                expected=f"layers of tinynet: {', '.join(kind.__name__ for kind in KINDS)}",
                received=type(layer).__name__,
                fix="export a net without it",
            )


def _on_numpy(model: Sequential) -> Sequential:
    """The model in float32 on the reference backend, where each layer's forward can be called alone."""
    check_layers(model)
    twin = Sequential.from_config(model.config(), backend="numpy", dtype="float32")
    for own, other in ((twin.store.values, model.store.values), (twin.store.state, model.store.state)):
        for name, view in own.views.items():
            view[...] = model.backend.to_host(other.views[name])
            if not np.isfinite(view).all():
                raise NonFiniteError(
                    f"{name} cannot be written as numbers of C",
                    expected="finite weights",
                    received="NaN or infinity",
                    fix="use another checkpoint, or train again",
                )
    return twin


def _nothing(plan: Plan, layer: Any, x: Value) -> Value:
    return x


def _rescale(plan: Plan, layer: Any, x: Value) -> Value:
    settings = {"scale": layer.scale, "offset": layer.offset}
    scale, offset = np.float32(layer.scale), np.float32(layer.offset)
    return plan.add("rescale", layer, x, settings=settings, function=lambda v: v * scale + offset)


def _dense(plan: Plan, layer: Any, x: Value) -> Value:
    return plan.add("dense", layer, x, tensors=_weights(layer))


def _conv2d(plan: Plan, layer: Any, x: Value) -> Value:
    return plan.add("conv2d", layer, x, tensors=_weights(layer), window=layer.geometry)


def _depthwise(plan: Plan, layer: Any, x: Value) -> Value:
    return plan.add("depthwiseconv2d", layer, x, tensors=_weights(layer), window=layer.geometry)


def _residual(plan: Plan, layer: Any, x: Value) -> Value:
    """Both branches begin with x, which has to stay until the second has it."""
    plan.kept.add(x)
    seen = plan.seen
    f, _ = plan.through(layer.layers, x, seen)
    s, _ = plan.through(layer.skip, x, seen)
    y = plan.add("add", layer, f, s)
    plan.steps[-1].input_shape = layer.output_shape
    return y


def _weights(layer: Any) -> dict[str, Array]:
    return {"W": layer.params.W.copy(), "b": layer.params.b.copy()}


def _pool(kind: str) -> Callable[[Plan, Any, Value], Value]:
    return lambda plan, layer, x: plan.add(kind, layer, x, window=layer.geometry)


def _global_average_pool(plan: Plan, layer: Any, x: Value) -> Value:
    return plan.add("globalaveragepool", layer, x)


def _batch_norm(plan: Plan, layer: Any, x: Value) -> Value:
    """γ (x - μ) / √(σ² + ε) + β = a x + c, with a = γ / √(σ² + ε) and c = β - a μ.

    Behind y = x W + b that is x (a W) + (a b + c): the weights of the layer before it.
    """
    p, running = layer.params, layer.state
    a = p.gamma / np.sqrt(running.variance + np.float32(layer.epsilon))
    c = p.beta - a * running.mean
    before = plan.steps[-1] if plan.steps else None
    if before and before.output is x and x not in plan.kept and _can_hold(before, len(a)):
        before.tensors = {"W": before.tensors["W"] * a, "b": before.tensors["b"] * a + c}
        before.layers.append(layer.name)
        return x
    y = plan.add(
        "depthwiseconv2d",
        layer,
        x,
        tensors={"W": a.reshape(1, 1, 1, -1), "b": c},
        window=Window((1, 1)),
    )
    step = plan.steps[-1]
    step.input_shape = step.output_shape = (1, x.size // len(a), len(a))
    return y


def _can_hold(step: Step, channels: int) -> bool:
    """Whether a step has weights for so many channels: a Reshape may lie between."""
    return step.kind in WEIGHTED and len(step.tensors["b"]) == channels


WEIGHTED = ("dense", "conv2d", "depthwiseconv2d")


def _activation(kind: str, *settings: str) -> Callable[[Plan, Any, Value], Value]:
    def add(plan: Plan, layer: Any, x: Value) -> Value:
        numbers = {name: getattr(layer, name) for name in settings}
        return plan.add(kind, layer, x, settings=numbers, function=_alone(layer))

    return add


def _alone(layer: Layer) -> Callable[[Array], Array]:
    """What an activation makes of each number."""
    return lambda values: np.array(layer.forward(values, train=False, key=Key(0, 0))[0])


def _gelu(plan: Plan, layer: Any, x: Value) -> Value:
    kind = "gelu_tanh" if layer.approximate == "tanh" else "gelu"
    return plan.add(kind, layer, x, function=_alone(layer))


def _softmax(plan: Plan, layer: Any, x: Value) -> Value:
    return plan.add("softmax", layer, x)


Add: TypeAlias = Callable[[Plan, Any, Value], Value]
KINDS: dict[type[Layer], Add] = {
    layers.Dense: _dense,
    layers.Conv2D: _conv2d,
    layers.DepthwiseConv2D: _depthwise,
    layers.Residual: _residual,
    layers.MaxPool2D: _pool("maxpool2d"),
    layers.AvgPool2D: _pool("avgpool2d"),
    layers.GlobalAveragePool: _global_average_pool,
    layers.BatchNorm: _batch_norm,
    layers.Dropout: _nothing,
    layers.Flatten: _nothing,
    layers.Reshape: _nothing,
    layers.Rescale: _rescale,
    layers.ReLU: _activation("relu"),
    layers.LeakyReLU: _activation("leaky_relu", "slope"),
    layers.ELU: _activation("elu", "alpha"),
    layers.GELU: _gelu,
    layers.Sigmoid: _activation("sigmoid"),
    layers.Tanh: _activation("tanh"),
    layers.Softmax: _softmax,
}
"""The step of each kind of layer."""
IN_PLACE = {
    "rescale",
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "gelu_tanh",
    "sigmoid",
    "tanh",
    "softmax",
    "lookup",
    "add",
}
"""Steps that may write over what they read."""
