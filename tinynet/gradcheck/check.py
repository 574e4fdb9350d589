"""The gradient check of a layer, a loss or a whole model; `tinynet.gradcheck` says how it works."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinynet import backends
from tinynet.backends.base import Backend
from tinynet.errors import ConfigError, DTypeError, ShapeError
from tinynet.gradcheck.slips import is_single, likely_slip
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
LAYER_SPREAD = 8.0
"""Inputs of a single layer lie between minus this and this: a layer may bend anywhere, as ReLU6 does at 6."""
NOISE_FLOOR = 1e-4
"""Gradients are compared relative to their size, but to no less than this: below it central differences of an
f of size 1 are rounding noise (a bias before BatchNorm has gradient exactly 0)."""


@dataclass(frozen=True)
class Worst:
    """The element of a wrong gradient that is furthest off."""

    place: tuple[int, ...]
    analytic: float
    numeric: float
    wrong: int
    """How many elements are wrong, of those that were looked at."""
    looked_at: int

    @property
    def ratio(self) -> float:
        """What the analytic value is times the numeric one; NaN where that says nothing."""
        return self.analytic / self.numeric if self.numeric else math.nan

    def __str__(self) -> str:
        place = ", ".join(map(str, self.place))
        ratio = f", ratio {self.ratio:.6g}" if math.isfinite(self.ratio) else ""
        return (
            f"worst at [{place}]: analytic {self.analytic:.6g}, numeric {self.numeric:.6g}{ratio}"
            f" ({self.wrong} of the {self.looked_at} elements looked at are wrong)"
        )


@dataclass(frozen=True)
class Check:
    """One gradient compared. `error`: the largest |analytic - numeric| / size of the gradient."""

    subject: str
    quantity: str
    error: float
    tolerance: float = TOLERANCE
    worst: Worst | None = None
    """Where it is most wrong; None if it is right."""
    slip: str | None = None
    """What was likely done wrong; None where the pattern shows nothing."""
    suspects: tuple[str, ...] = ()
    """Of a model, the layers one of which has the mistake."""

    def __bool__(self) -> bool:
        return self.passed

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance  # False for NaN

    @property
    def explanation(self) -> list[str]:
        """Lines that say what is wrong, and what the likely slip is; none if nothing is."""
        lines = [str(self.worst)] if self.worst else []
        if self.slip:
            lines.append(f"likely slip: {self.slip}")
        if self.suspects:
            lines.append(f"the mistake is in {' or '.join(self.suspects)}")
        return lines

    def __str__(self) -> str:
        verdict = "ok" if self.passed else "WRONG"
        line = f"{self.subject:32} ∂L/∂{self.quantity:24} {self.error:9.1e}  {verdict}"
        return "\n    ".join([line, *self.explanation])


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
    weights: Array | None = None,
) -> list[Check]:
    """Check ∂loss/∂outputs at float64 outputs (N, K), with weights (N,) for the samples if there are any."""
    ops = backend if isinstance(backend, Backend) else backends.get(backend)
    loss.ops = ops
    z, t = ops.asarray(outputs.astype("float64")), ops.asarray(targets.copy())
    known = (t,) if weights is None else (t, ops.asarray(weights))

    def f() -> float:
        return float(loss.forward(z, *known)[0])

    other = ops.asarray(outputs[::-1].astype("float64"))
    loss.backward(loss.forward(other, *known)[1])  # what keeps anything of it is then wrong for z
    analytic = _checked(loss, loss.backward(loss.forward(z, *known)[1]), z).copy()
    if not (ops.to_host(t) == ops.to_host(ops.asarray(targets))).all():
        raise ConfigError(f"{type(loss).__name__} writes to its targets", fix="work on a copy of them")
    judge = _Judge(f, ops, seed, subject or type(loss).__name__, tolerance, _counts(z))
    return [judge(z, analytic, "outputs")]


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
    errors = [_compared(f, flat, d, gradient, scale, ops)[0] for d in directions]
    return float(np.max(errors, initial=0.0))  # unlike max(), lets no NaN pass


def _compared(
    f: Callable[[], float], flat: Array, direction: Array | int, gradient: Array, scale: float, ops: Backend
) -> tuple[float, float]:
    """The relative error along a direction, or in one element, and the numeric value there."""
    expected = float(gradient[direction] if isinstance(direction, int) else gradient @ direction)
    best, found = math.inf, math.nan
    for h in STEPS:
        numeric = _central_difference(f, flat, direction, h, ops)
        size = max(scale, abs(expected), abs(numeric), NOISE_FLOOR)
        error = abs(expected - numeric) / size
        if math.isnan(error):
            return math.nan, numeric
        if error <= best:
            best, found = error, numeric
        if best <= TOLERANCE:
            break
    return best, found


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


@dataclass(frozen=True)
class _Judge:
    """Compares gradients of one f, and explains those that are wrong."""

    f: Callable[[], float]
    ops: Backend
    seed: int
    subject: str
    tolerance: float
    counts: Mapping[str, int]

    def __call__(self, tensor: Array, analytic: Array, quantity: str, slip: str | None = None) -> Check:
        """The verdict on ∂f/∂tensor; `slip`: what is known to be wrong with it already."""
        error = gradient_error(self.f, tensor, analytic, self.ops, self.seed)
        if error <= self.tolerance:
            return Check(self.subject, quantity, error, self.tolerance)
        gradient = self.ops.to_host(analytic)
        errors, numeric = self._elements(tensor, gradient)
        place = np.unravel_index(int(np.nanargmax(errors)), errors.shape)
        worst = Worst(
            tuple(int(i) for i in place),
            float(gradient[place]),
            float(numeric[place]),
            wrong=int((errors > self.tolerance).sum()),
            looked_at=int((~np.isnan(errors)).sum()),
        )
        slip = slip or likely_slip(gradient, numeric, self.counts)
        return Check(self.subject, quantity, error, self.tolerance, worst, slip)

    def _elements(self, tensor: Array, gradient: Array) -> tuple[Array, Array]:
        """Errors and numeric values of all elements, or of a sample with a wrong one in it; else NaN."""
        flat, analytic = tensor.reshape(-1), gradient.reshape(-1)
        places = np.arange(flat.size)
        if flat.size > ELEMENTWISE_UP_TO:
            some = permutation(Key(self.seed, Stream.CHECK, layer=5), flat.size)[:ELEMENTWISE_UP_TO]
            places = np.append(some, self._wrong_element(flat, analytic))
        scale = float(np.abs(analytic[np.isfinite(analytic)]).max(initial=0.0))
        errors, numeric = np.full((2, flat.size), math.nan)
        for place in places:
            error, value = _compared(self.f, flat, int(place), analytic, scale, self.ops)
            errors[place], numeric[place] = math.inf if math.isnan(error) else error, value
        return errors.reshape(gradient.shape), numeric.reshape(gradient.shape)

    def _wrong_element(self, flat: Array, analytic: Array) -> int:
        """An element that is wrong: in the half that is further off, again and again."""
        if not np.isfinite(analytic).all():
            return int(np.argmin(np.isfinite(analytic)))
        places = np.arange(flat.size)
        step = 0
        while len(places) > 1:
            off = []
            for half in np.array_split(places, 2):
                step += 1
                direction = np.zeros(flat.size)
                direction[half] = normal(Key(self.seed, Stream.CHECK, layer=6, step=step), half.shape)
                off.append((_compared(self.f, flat, direction, analytic, 0.0, self.ops)[0], half))
            places = max(off, key=lambda each: each[0])[1]
        return int(places[0])


def _counts(outputs: Array) -> dict[str, int]:
    """How many there are of what a mean could be taken over: outputs (N, …, K)."""
    N, K, positions = outputs.shape[0], outputs.shape[-1], math.prod(outputs.shape[1:-1])
    return {
        "the batch": N,
        "the batch and all positions": N * positions,
        "the batch and the outputs": N * K,
    }


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
    spread = LAYER_SPREAD if len(layers) == 1 else 1.0
    x = ops.asarray(-spread * tie_free((batch, *model.input_shape), seed))
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

    def backward(garbage: Array) -> tuple[Array, dict[str, Array], dict[str, Array]]:
        """∂L/∂x, what of `garbage` backward found in place of each gradient, and what it left there."""
        y, tape = model.forward(x, train=train)
        dy = _checked(loss, loss.backward(loss.forward(y, labels)[1]), y) if loss else cotangent
        grads = model.store.grads
        grads.flat[...] = ops.asarray(garbage)
        found = {name: ops.to_host(view).copy() for name, view in grads.views.items()}
        dx = model.backward(dy, tape, input_gradient=True)
        assert dx is not None  # it was asked for
        return dx.copy(), found, {name: ops.to_host(view).copy() for name, view in grads.views.items()}

    size = model.store.grads.flat.shape
    backward(np.zeros(size))
    x[...] = -x  # what keeps anything of its first batch is wrong for this one, which is checked
    _, *once = backward(normal(Key(seed, Stream.CHECK, layer=7), size))
    _, *again = backward(normal(Key(seed, Stream.CHECK, layer=8), size))
    dx, _, last = backward(np.full(size, math.nan))  # a gradient that is added to, or left out, stays NaN
    slips = {"x": None} | {name: _not_written(*(run[name] for run in (*once, *again, last))) for name in last}
    if is_single(ops.to_host(outputs)) and not is_single(ops.to_host(x)):
        slips = {name: slip or "the forward is computed in float32" for name, slip in slips.items()}
    model.regularize()
    analytic = {"x": dx} | {name: gradient.copy() for name, gradient in model.store.grads.views.items()}
    tensors = {"x": x, **model.store.values.views}
    short = len(layers) == 1
    judge = _Judge(f, ops, seed, subject, tolerance, _counts(outputs))
    checks = [
        judge(tensors[name], gradient, name.partition(".")[2] or name if short else name, slips[name])
        for name, gradient in analytic.items()
    ]
    if short:
        return checks
    zero = {name for name, gradient in analytic.items() if float(abs(gradient).max()) <= NOISE_FLOOR}
    return _with_suspects(checks, zero, model.layers)


def _with_suspects(checks: list[Check], zero: set[str], layers: Sequence[Layer]) -> list[Check]:
    """The checks of a model, the wrong ones with the layers that may have spoiled them.

    A gradient ∂L/∂θ that is 0 for any ∂L/∂y, as that of a bias before BatchNorm, says nothing.
    """
    wrong = {check.quantity for check in checks if not check.passed}
    right = {check.quantity for check in checks if check.passed} - zero
    suspects = tuple(_suspects(layers, wrong, right))
    return [check if check.passed else replace(check, suspects=suspects) for check in checks]


def _suspects(layers: Sequence[Layer], wrong: set[str], right: set[str]) -> list[str]:
    """The names of the layers one of which has the mistake, given the quantities that are wrong and right.

    A gradient ∂L/∂θ of a layer is right only if the ∂L/∂y that came from the layers behind it is. So the
    mistake lies in the last layer with a wrong one, or behind it, up to the next with a right one. If that is
    one layer with others inside it, of which one branch alone has wrong ones, it lies in this branch.
    """

    def has(layer: Layer, quantities: set[str]) -> bool:
        return any(quantity.startswith(f"{layer.name}.") for quantity in quantities)

    last = max((i for i, layer in enumerate(layers) if has(layer, wrong)), default=0)
    end = next((i for i in range(last, len(layers)) if has(layers[i], right)), len(layers) - 1)
    if last == end:
        spoiled = [branch for branch in layers[last].branches if any(has(layer, wrong) for layer in branch)]
        if len(spoiled) == 1:
            return _suspects(spoiled[0], wrong, right)
    return [layer.name for layer in layers[last : end + 1]]


def _not_written(
    found: Array, left: Array, found_again: Array, left_again: Array, left_of_nan: Array
) -> str | None:
    """What is wrong with a gradient that depends on the numbers found in its place; None if it does not.

    Those are random numbers of size 1, others in each of two runs, and NaN in a third.
    """
    moved = np.abs(left - left_again) > 1e-9 * (1.0 + np.abs(left))
    if not moved.any():
        spoiled = np.isnan(left_of_nan) & np.isfinite(left)
        return "times 0 instead of written: a NaN found there stays NaN; [...] =" if spoiled.any() else None
    if (left[moved] == found[moved]).all():
        count = "" if moved.all() else f" in {np.count_nonzero(moved)} of {moved.size} elements"
        return f"never written{count}: backward leaves there what it finds"
    if np.allclose((left - left_again)[moved], (found - found_again)[moved]):
        return "added to instead of written: backward finds the gradients of the step before; [...] =, not +="
    return "it depends on what was there before backward"


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
