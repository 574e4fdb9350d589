"""Rung 3, a layer of your own: a layer without parameters, a chain of layers, and a layer with parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinynet.gradcheck import check_layer, tie_free
from tinynet.layers.base import Layer
from tinynet.learn.exercise import Exercise, Wrong
from tinynet.learn.grading import agree, answer, checked
from tinynet.model import Sequential
from tinynet.rng import Key, Stream, normal
from tinynet.types import Array, Shape


def _random(number: int, shape: Shape) -> Array:
    return normal(Key(number, Stream.CHECK), shape)


def _grade_relu_backward(relu_backward: Callable[..., Any]) -> None:
    x, dy = tie_free((3, 5), seed=3), _random(1, (3, 5))
    gate = x > 0
    agree(
        answer(relu_backward, dy, x, shape=x.shape),
        np.where(gate, dy, 0.0),
        "dx",
        {
            "this is the slope of ReLU; the chain rule multiplies it by dy": gate.astype("float64"),
            "the gate is open where x is positive, whatever the sign of dy": np.maximum(dy, 0.0),
            "the gate is open everywhere; where x is negative nothing comes through": dy,
            "the gate is the wrong way round: it is open where x is positive": np.where(gate, 0.0, dy),
            "this is the forward, max(x, 0)": np.maximum(x, 0.0),
            "the slope of ReLU is 1 where x is positive, not x": dy * np.maximum(x, 0.0),
        },
    )


def _array(x: Any) -> Array:
    """x, where it is an array. Raises Wrong where a layer's forward is given something else."""
    if not isinstance(x, np.ndarray):
        raise Wrong(
            f"a layer's forward was called with a {type(x).__name__}\n  expected: an array\n"
            "  likely slip: forward returns two values: y, cache = layer.forward(x)"
        )
    return x


class _Product:
    """y = x A"""

    def __init__(self, A: Array) -> None:
        self.A = A

    def forward(self, x: Array) -> tuple[Array, Array]:
        return _array(x) @ self.A, x

    def backward(self, dy: Array, cache: Array) -> Array:
        return dy @ self.A.T


class _Square:
    """y = x²"""

    def forward(self, x: Array) -> tuple[Array, Array]:
        return _array(x) ** 2, x

    def backward(self, dy: Array, cache: Array) -> Array:
        return 2.0 * cache * dy


def _grade_chain(chain: Callable[..., Any]) -> None:
    A, B, x, dy = (_random(number, shape) for number, shape in enumerate([(4, 4), (4, 4), (3, 4), (3, 4)]))
    layers = [_Product(A), _Square(), _Product(B), _Square()]
    z = x @ A
    u = z**2 @ B
    dz = 2.0 * z * (2.0 * u * dy @ B.T)
    agree(
        answer(chain, layers, x, dy, shape=x.shape),
        dz @ A.T,
        "dx",
        {
            "backward goes from the last layer to the first: reversed(…)": (
                2.0 * u * ((2.0 * z * (dy @ A.T)) @ B.T)
            ),
            "each layer's backward takes what the layer after it gave back, not the first dy": dy @ A.T,
            "the loop stopped before the first layer": dz,
            "the loop stopped after the last layer; is `return` inside it?": 2.0 * u * dy,
            "this is the output of the forward; the backward is still to come": u**2,
            "the forward stopped after the first layer: `return` stands in its loop": z,
            "each layer's forward takes the output of the one before, not x": (
                (2.0 * x * (2.0 * x * dy @ B.T)) @ A.T
            ),
            "each layer needs its own cache: go through the caches from the last to the first, too": (
                (2.0 * z**2 * (2.0 * x * dy @ B.T)) @ A.T
            ),
            "one cache for all layers, that of the last one: keep a list of them": (
                (2.0 * u * (2.0 * u * dy @ B.T)) @ A.T
            ),
        },
    )


class _Run(NamedTuple):
    """What a student's Scale did with a batch."""

    y: Any
    dx: Any
    ds: Array


def _grade_scale(Scale: Callable[[], Any]) -> None:
    try:
        _grade_scale_by_hand(Scale)
    except ValueError as error:
        if "broadcast" not in str(error):
            raise
        over_features = "shape (3,) into shape (5,)" in str(error)
        slip = (
            "summed over the features; the batch is axis 0"
            if over_features
            else "a missing sum over the batch"
        )
        raise Wrong(f"an array has the wrong shape: {error}\n  likely slip: {slip}") from error
    except AttributeError as error:
        if error.name != "s" or not isinstance(error.obj, Layer):
            raise
        raise Wrong(f"{error}\n  likely slip: the parameter is self.params.s") from error
    wrong = [check for check in check_layer(Scale(), (4,)) if not check.passed]
    if wrong:
        raise Wrong("check_layer found\n  " + "\n  ".join(map(str, wrong)))


def _grade_scale_by_hand(Scale: Callable[[], Any]) -> None:
    layer = Scale()
    if not isinstance(layer, Layer):
        raise Wrong(f"this is no Layer\n  expected: class Scale(Layer)\n  received: {type(layer).__name__}")
    model = Sequential([layer], (5,), backend="numpy", dtype="float64")
    shapes = {name: array.shape for name, array in layer.params.items()}
    if shapes != {"s": (5,)}:
        raise Wrong(
            f"the parameters are not those of Scale\n  expected: s (5,) for 5 features\n  received: {shapes}"
            '\n  likely slip: in build, self.add_param("s", input_shape, "ones")'
        )
    if not (layer.params.s == 1.0).all():
        raise Wrong("s does not start at 1\n  expected: ones, so that a new layer changes nothing")
    layer.params.s[...] = s = 1.0 + _random(1, (5,))
    x, later, dy, garbage = (_random(number, (3, 5)) for number in range(2, 6))
    run = _run(model, x, later, dy, garbage[0])
    agree(checked(run.y, x.shape, what="y"), x * s, "y", {"y = x · s: multiply, do not add": x + s})
    ds = (x * dy).sum(axis=0)
    agree(
        run.ds,
        ds,
        "∂L/∂s",
        {
            "it was never written: self.grads.s[...] = …": garbage[0],
            "one number for all features: sum over the batch alone, axis=0": np.full(5, (x * dy).sum()),
            "y was kept for the backward instead of x": (x * s * dy).sum(axis=0),
            "added to what was there: write with =, not with +=": garbage[0] + ds,
            "the mean over the batch; s moves every row, so its gradient is the sum": ds / len(x),
            "s moves y by x: multiply dy by x before the sum": dy.sum(axis=0),
            "the sum of x alone: multiply by dy before the sum": x.sum(axis=0),
            "x was kept on self, and the next forward has overwritten it: return it as the cache": (
                (later * dy).sum(axis=0)
            ),
            "only the first sample of the batch": x[0] * dy[0],
        },
    )
    agree(
        checked(run.dx, x.shape, what="∂L/∂x"),
        dy * s,
        "∂L/∂x",
        {
            "x moves y by s: multiply dy by s": dy,
            "x moves y by s, not by x": dy * x,
            "divided by s: going back is no inverse, it multiplies by the slope": dy / s,
        },
    )


def _run(model: Sequential, x: Array, later: Array, dy: Array, garbage: Array) -> _Run:
    """Forward x, then another batch, then backward for x, with garbage where the gradient goes."""
    layer = model.layers[0]
    y, tape = model.forward(x, train=True)
    y = y.copy()
    model.forward(later, train=True)
    layer.grads.s[...] = garbage
    dx = model.backward(dy, tape, input_gradient=True)
    return _Run(y, dx, layer.grads.s.copy())


EXERCISES = (
    Exercise(
        "03.relu_backward",
        "relu_backward(dy, x) returns ∂L/∂x of y = max(x, 0), for dy = ∂L/∂y; all have one shape.",
        _grade_relu_backward,
    ),
    Exercise(
        "03.chain",
        "chain(layers, x, dy) runs all layers forward from x, then all back from dy, and returns ∂L/∂x.",
        _grade_chain,
    ),
    Exercise(
        "03.Scale",
        "Scale is a Layer: y = x · s, with one parameter s (features,) that starts at 1.",
        _grade_scale,
    ),
)
