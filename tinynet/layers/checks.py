"""What is checked for every layer: its settings when it is built, its input and gradient before each call."""

from __future__ import annotations

from tinynet.backends.base import kind_of
from tinynet.errors import ConfigError, DeviceError, DTypeError, ShapeError
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


def check_setting(condition: bool, layer: Layer, setting: str, expected: str) -> None:
    """Raise ConfigError unless `condition` holds for the layer's field `setting`."""
    if not condition:
        raise ConfigError(
            f"{type(layer).__name__} cannot use this {setting}",
            expected=expected,
            received=f"{setting}={getattr(layer, setting)!r}",
        )


def check_count(layer: Layer, setting: str) -> None:
    """Raise ConfigError unless the layer's field `setting` is a whole number of at least 1."""
    count = getattr(layer, setting)
    check_setting(isinstance(count, int) and count > 0, layer, setting, "a whole number of at least 1")


def _batch_of(shape: Shape) -> str:
    return f"(N, {', '.join(map(str, shape))})" if shape else "(N,)"
