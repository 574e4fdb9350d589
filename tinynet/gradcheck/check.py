"""The gradient check of a layer, a loss or a whole model; `tinynet.gradcheck` says how it works."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet import backends
from tinynet.backends.base import Backend
from tinynet.errors import DTypeError, ShapeError
from tinynet.layers.base import Layer
from tinynet.losses import Loss
from tinynet.model import Sequential
from tinynet.rng import Key, Stream, normal, permutation
from tinynet.types import Array, Shape

TOLERANCE = 1e-6
STEPS = (1e-5, 1e-6)
"""The values of h, tried in turn until one agrees."""
ELEMENTWISE_UP_TO = 300
"""Tensors with more elements are checked along random directions."""
DIRECTIONS = 12
NOISE_FLOOR = 1e-4
"""Gradients are compared relative to their size, but to no less than this: below it central differences of an
f of size 1 are rounding noise (a bias before BatchNorm has gradient exactly 0)."""


@dataclass(frozen=True)
class Check:
    """One gradient compared. `error`: the largest |analytic - numeric| / size of the gradient."""

    subject: str
    quantity: str
    error: float
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance  # False for NaN

    def __str__(self) -> str:
        verdict = "ok" if self.passed else "WRONG"
        return f"{self.subject:32} ∂L/∂{self.quantity:24} {self.error:9.1e}  {verdict}"


def check_layer(
    layer: Layer,
    input_shape: Shape,
    *,
    batch: int = 3,
    train: bool = True,
    backend: str | Backend | None = None,
    seed: int = 0,
    subject: str | None = None,
    tolerance: float = TOLERANCE,
) -> list[Check]:
    """Check ∂L/∂x and ∂L/∂θ for every parameter θ of a new (unbuilt) layer on samples of `input_shape`."""
    name = subject or type(layer).__name__
    return _check_stack([layer], input_shape, None, batch, train, backend, seed, name, tolerance)


def check_model(
    layers: Sequence[Layer],
    input_shape: Shape,
    loss: Loss | None = None,
    *,
    batch: int = 3,
    train: bool = True,
    backend: str | Backend | None = None,
    seed: int = 0,
    subject: str = "model",
    tolerance: float = TOLERANCE,
) -> list[Check]:
    """Check a stack of new layers with their L2 penalties, and through `loss` (random labels) if given."""
    return _check_stack(layers, input_shape, loss, batch, train, backend, seed, subject, tolerance)


def check_loss(
    loss: Loss,
    outputs: Array,
    targets: Array,
    *,
    backend: str | Backend | None = None,
    seed: int = 0,
    subject: str | None = None,
    tolerance: float = TOLERANCE,
) -> list[Check]:
    """Check ∂loss/∂outputs at float64 outputs (N, K)."""
    ops = backend if isinstance(backend, Backend) else backends.get(backend)
    loss.ops = ops
    z, t = ops.asarray(outputs.astype("float64")), ops.asarray(targets)

    def f() -> float:
        return float(loss.forward(z, t)[0])

    analytic = _checked(loss, loss.backward(loss.forward(z, t)[1]), z).copy()
    error = gradient_error(f, z, analytic, ops, seed)
    return [Check(subject or type(loss).__name__, "outputs", error, tolerance)]


def gradient_error(f: Callable[[], float], tensor: Array, analytic: Array, ops: Backend, seed: int) -> float:
    """The largest relative error of `analytic`, ∂f/∂tensor, against central differences.

    f depends on `tensor`, which is moved in place and put back. Both are float64 of one shape.
    """
    flat, gradient = tensor.reshape(-1), ops.to_host(analytic).reshape(-1)
    if flat.size <= ELEMENTWISE_UP_TO:
        directions: list[Array | int] = list(range(flat.size))
        scale = float(np.abs(gradient).max(initial=0.0))
    else:
        key = Key(seed, Stream.CHECK, layer=3)
        directions = [_unit(normal(key._replace(step=i), flat.shape)) for i in range(DIRECTIONS)]
        scale = float(np.linalg.norm(gradient)) / math.sqrt(flat.size)
    errors = [_direction_error(f, flat, d, gradient, scale, ops) for d in directions]
    return float(np.max(errors, initial=0.0))  # unlike max(), lets no NaN pass


def _direction_error(
    f: Callable[[], float], flat: Array, direction: Array | int, gradient: Array, scale: float, ops: Backend
) -> float:
    expected = float(gradient[direction] if isinstance(direction, int) else gradient @ direction)
    best = math.inf
    for h in STEPS:
        numeric = _central_difference(f, flat, direction, h, ops)
        size = max(scale, abs(expected), abs(numeric), NOISE_FLOOR)
        error = abs(expected - numeric) / size
        if math.isnan(error):
            return math.nan
        best = min(best, error)
        if best <= TOLERANCE:
            break
    return best


def _central_difference(
    f: Callable[[], float], flat: Array, direction: Array | int, h: float, ops: Backend
) -> float:
    here = flat.copy()
    values = []
    for sign in (1.0, -1.0):
        if isinstance(direction, int):
            flat[direction] = here[direction] + sign * h
        else:
            flat[...] = here + ops.asarray(sign * h * direction)
        values.append(f())
        flat[...] = here
    return (values[0] - values[1]) / (2.0 * h)


def _check_stack(
    layers: Sequence[Layer],
    input_shape: Shape,
    loss: Loss | None,
    batch: int,
    train: bool,
    backend: str | Backend | None,
    seed: int,
    subject: str,
    tolerance: float,
) -> list[Check]:
    model = Sequential(layers, input_shape, backend=backend, dtype="float64", seed=seed)
    ops = model.backend
    _roughen(model, seed)
    x = ops.asarray(tie_free((batch, *model.input_shape), seed))
    outputs, _ = model.forward(x, train=train)
    if loss:
        loss.start(model)
        labels = ops.asarray(permutation(Key(seed, Stream.CHECK, layer=2), batch) % model.output_shape[-1])
    else:
        cotangent = ops.asarray(normal(Key(seed, Stream.CHECK, layer=1), outputs.shape))

    def f() -> float:
        y, _ = model.forward(x, train=train)
        value = loss.forward(y, labels)[0] if loss else (y * cotangent).sum()
        return float(value + model.penalty())

    y, tape = model.forward(x, train=train)
    dy = _checked(loss, loss.backward(loss.forward(y, labels)[1]), y) if loss else cotangent
    model.store.grads.flat[...] = math.nan  # a gradient that is added to, or left out, shows
    dx = model.backward(dy, tape, input_gradient=True)
    assert dx is not None  # it was asked for
    model.regularize()
    analytic = {"x": dx.copy()}
    analytic |= {name: gradient.copy() for name, gradient in model.store.grads.views.items()}
    tensors = {"x": x, **model.store.values.views}
    short = len(layers) == 1
    return [
        Check(
            subject,
            name.split(".")[-1] if short else name,
            gradient_error(f, tensors[name], gradient, ops, seed),
            tolerance,
        )
        for name, gradient in analytic.items()
    ]


def _checked(loss: Loss, gradient: Any, outputs: Array) -> Array:
    """What the backward of `loss` has returned; an error unless it is ∂loss/∂outputs."""
    shape, dtype = getattr(gradient, "shape", None), getattr(gradient, "dtype", None)
    if shape != outputs.shape or dtype != outputs.dtype:
        raise (DTypeError if shape is None or dtype != outputs.dtype else ShapeError)(
            f"{type(loss).__name__}: backward returned no ∂loss/∂outputs",
            expected=f"an array {outputs.shape} of {outputs.dtype}",
            received=type(gradient).__name__ if shape is None else f"an array {shape} of {dtype}",
            fix="end backward with: return gradient",
        )
    return gradient


def tie_free(shape: Shape, seed: int) -> Array:
    """Values in (-1, 1), shuffled, no two equal and none within 1/size of 0: float64 of `shape`."""
    count = math.prod(shape)
    order = permutation(Key(seed, Stream.CHECK), count)
    values = (order + 0.5) / count * 2.0 - 1.0
    return (values + np.where(np.abs(values) < 0.4 / count, 1.0 / count, 0.0)).reshape(shape)


def _roughen(model: Sequential, seed: int) -> None:
    """Move parameters and running statistics off the special values 0 and 1 they start at."""
    for layer, flat in enumerate((model.store.values.flat, model.store.state.flat)):
        noise = normal(Key(seed, Stream.CHECK, layer=4 + layer), flat.shape)
        flat[...] = flat + model.backend.asarray(0.2 * np.tanh(noise))


def _unit(vector: Array) -> Array:
    unit: Array = vector / np.linalg.norm(vector)
    return unit
