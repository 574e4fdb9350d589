from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tinynet.checks import refusal
from tinynet.errors import ShapeError
from tinynet.layers.base import Layer
from tinynet.layers.checks import check_returned_gradient, checked_output
from tinynet.layers.conv import Conv2D
from tinynet.layers.dense import Dense
from tinynet.layers.stack import build_layers
from tinynet.params import Views
from tinynet.rng import Key
from tinynet.types import Array, Shape

KEYS = 4096
"""Layers inside one layer whose random numbers differ; more than a file may have."""


@dataclass(eq=False)
class Residual(Layer):
    """y = f(x) + s(x)        x (N, …)   f(x), s(x) and y (N, …) of one shape

    f is what `layers` compute, one after another; s, the shortcut, is x itself. y moves with both alike, so
    each branch is given dy = ∂L/∂y, and what they make of it is added up:

        ∂L/∂x = ∂f/∂xᵀ dy + ∂s/∂xᵀ dy        with s(x) = x:   ∂f/∂xᵀ dy + dy

    Why: the last term reaches what lies before without passing a weight, so the gradient does not die however
    many blocks follow one another; and f has only to learn by how much y should differ from x. (He, Zhang,
    Ren, Sun: "Deep residual learning for image recognition", 2016, equations 1 and 2.)

    Where f changes the shape, s is a projection: on images a convolution of kernel 1 with the stride of f, on
    vectors a dense layer. `shortcut` names its layers where it should be another.

    The layers are copied, so that one may stand in several blocks. Inside, their names and parameters begin
    with the block's: residual_1.conv2d_1.W.
    """

    layers: Sequence[Layer]
    shortcut: Sequence[Layer] = ()
    skip: tuple[Layer, ...] = field(default=(), init=False, repr=False)
    """The layers that compute s; none where s(x) = x."""

    def check_settings(self) -> None:
        self.settle("layers", _copies, least=1)
        self.settle("shortcut", _copies, least=0)

    @property
    def is_fixed(self) -> bool:  # type: ignore[override]
        return bool(self.name)

    @property
    def branches(self) -> tuple[Sequence[Layer], ...]:
        return self.layers, self.skip

    def build(self, input_shape: Shape) -> Shape:
        used: dict[str, int] = {}
        settings = (self.dtype, self.operations, f"{self.name}.", used)
        shape = build_layers(self.layers, input_shape, *settings)
        self.skip = tuple(self.shortcut) or self._projection(input_shape, shape)
        given = build_layers(self.skip, input_shape, *settings)
        if given != shape:
            raise ShapeError(
                f"{self.label} cannot add its shortcut to what its layers give",
                expected=shape,
                received=given,
                fix='padding = "same" in its layers, or a `shortcut` that gives their shape',
            )
        for layer in (*self.layers, *self.skip):
            inside = layer.name.removeprefix(f"{self.name}.")
            self.param_specs += [replace(spec, name=f"{inside}.{spec.name}") for spec in layer.param_specs]
            self.state_specs += [replace(spec, name=f"{inside}.{spec.name}") for spec in layer.state_specs]
        return shape

    def _projection(self, x: Shape, y: Shape) -> tuple[Layer, ...]:
        """The simplest layers from samples of shape x to y; none where they are alike or there are none."""
        if len(x) == len(y) == 3 and x != y:
            stride = (math.ceil(x[0] / y[0]), math.ceil(x[1] / y[1]))
            return (Conv2D(y[2], 1, stride),)
        return (Dense(y[-1]),) if x != y and x[:-1] == y[:-1] else ()

    def bind(self, params: Views, grads: Views, state: Views, frozen: Collection[str]) -> None:
        super().bind(params, grads, state, frozen)
        for layer in (*self.layers, *self.skip):
            inside = layer.name.removeprefix(f"{self.name}.")
            layer.bind(params.within(inside), grads.within(inside), state.within(inside), frozen)

    def release(self) -> None:
        super().release()
        for layer in (*self.layers, *self.skip):
            layer.release()

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Any]:
        f, of_layers = self._through(self.layers, x, train, key)
        s, of_skip = self._through(self.skip, x, train, key, len(self.layers))
        return self.ops.residual(f, s), (of_layers, of_skip)

    def backward(self, dy: Array, cache: Any) -> Array | None:
        of_layers, of_skip = cache
        df = self._back(self.layers, dy, of_layers)
        ds = self._back(self.skip, dy, of_skip)
        return self.ops.residual_backward(df, ds) if self.needs_dx else None

    def _through(
        self, branch: Sequence[Layer], x: Array, train: bool, key: Key, number: int = 0
    ) -> tuple[Array, list[Any]]:
        """What the layers of a branch make of x, and their caches. `number`: of layers before the branch."""
        caches = []
        for place, layer in enumerate(branch, number):
            first = self.shard.first * math.prod(layer.input_shape)
            own = key._replace(layer=(key.layer + 1) * KEYS + place, first=first)
            layer.shard = self.shard
            x, cache = checked_output(layer, layer.forward(x, train=train, key=own), len(x))
            caches.append(cache)
        return x, caches

    def _back(self, branch: Sequence[Layer], dy: Any, caches: Sequence[Any]) -> Any:
        """∂L/∂(what the branch was given), or None from where on nobody needs it."""
        samples = len(dy)
        learns = [bool(layer.param_specs) and not layer.frozen for layer in branch]
        for place, layer in reversed(list(enumerate(branch))):
            layer.needs_dx = self.needs_dx or any(learns[:place])
            if not (layer.needs_dx or learns[place]):
                return None
            dy = layer.backward(dy, caches[place])
            if layer.needs_dx:
                check_returned_gradient(layer, dy, samples)
        return dy


def _copies(value: Any, owner: str, setting: str, *, least: int) -> tuple[Layer, ...]:
    """New layers of the settings of those in a list; ConfigError for anything else."""
    is_list = isinstance(value, list | tuple) and all(isinstance(each, Layer) for each in value)
    if not is_list or len(value) < least:
        raise refusal(value, owner, setting, "a list of layers, such as [Dense(10), ReLU()]")
    return tuple(replace(layer) for layer in value)
