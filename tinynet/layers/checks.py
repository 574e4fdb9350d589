"""What is checked for every layer before each call: its input and its gradient."""

from __future__ import annotations

from typing import Any

from tinynet.backends.base import kind_of
from tinynet.errors import DeviceError, DTypeError, ShapeError
from tinynet.layers.base import Layer
from tinynet.types import Array, Shape


def check_input(layer: Layer, x: Array) -> None:
    """Raise ShapeError, DTypeError or DeviceError unless `layer` can take x (N, *input_shape)."""
    if not layer.ops.holds(x):
        raise DeviceError(
            f"{layer.label} got an array that the {layer.ops.name} backend cannot compute with",
            expected=kind_of(layer.ops.xp.ndarray),
            received=kind_of(type(x)),
            fix="model.backend.asarray(x)",
        )
    if x.shape[1:] != layer.input_shape or x.ndim == 0:
        raise ShapeError(
            f"{layer.label} got an input of the wrong shape",
            expected=_batch_of(layer.input_shape),
            received=x.shape,
            fix="reshape the data, or build the model for this input shape",
        )
    if x.dtype != layer.dtype and not layer.takes_any_dtype:
        raise DTypeError(
            f"{layer.label} got an input of the wrong dtype",
            expected=layer.dtype,
            received=x.dtype,
            fix=f'x.astype("{layer.dtype}"), or put Rescale() first, which accepts any dtype',
        )


def check_gradient(layer: Layer, dy: Array) -> None:
    """Raise ShapeError or DTypeError unless dy is (N, *output_shape) of the model's dtype."""
    if dy.shape[1:] != layer.output_shape or dy.dtype != layer.dtype:
        raise (DTypeError if dy.dtype != layer.dtype else ShapeError)(
            f"{layer.label} got an output gradient that does not match its output",
            expected=f"{_batch_of(layer.output_shape)} of {layer.dtype}",
            received=f"{dy.shape} of {dy.dtype}",
            fix="backward takes ∂L/∂y, of the shape that forward returned",
        )


def checked_output(layer: Layer, returned: Any, samples: int) -> tuple[Array, Any]:
    """What `forward` has returned; an error unless it is (y, cache) with y (N, *output_shape), N samples."""
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise DTypeError(
            f"{layer.label}: forward returned no pair",
            expected="(y, cache): the output, and what backward needs (it may be None)",
            received=type(returned).__name__,
            fix="end forward with: return y, cache",
        )
    _check_returned(layer, returned[0], (samples, *layer.output_shape), "forward returned as its output y")
    return returned


def check_returned_gradient(layer: Layer, dx: object, samples: int) -> None:
    """Raise ShapeError or DTypeError unless what `backward` has returned is ∂L/∂x (N, *input_shape)."""
    _check_returned(layer, dx, (samples, *layer.input_shape), "backward returned as ∂L/∂x")


def _check_returned(layer: Layer, array: Any, shape: Shape, what: str) -> None:
    expected = f"an array {shape} of {layer.dtype}"
    if not layer.ops.holds(array):
        fix = "return it" if array is None else f"an array of {kind_of(layer.ops.xp.ndarray)}"
        raise DTypeError(
            f"{layer.label}: {what} no array of its backend",
            expected=expected,
            received="nothing (None)" if array is None else kind_of(type(array)),
            fix=fix,
        )
    if array.shape != shape or array.dtype != layer.dtype:
        raise (ShapeError if array.shape != shape else DTypeError)(
            f"{layer.label}: {what} another array than it must",
            expected=expected,
            received=f"an array {array.shape} of {array.dtype}",
        )


def _batch_of(shape: Shape) -> str:
    return f"(N, {', '.join(map(str, shape))})" if shape else "(N,)"
