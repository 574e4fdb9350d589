"""What the C code in 8 bits gives, bit for bit: the same steps in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from tinynet.export.quantize import Quantized
from tinynet.export.steps import Step, Value
from tinynet.types import Array

BATCH = 100


def outputs(net: Quantized, samples: Array) -> Array:
    """int32 (M, K): the scores of samples (M, *shape), as the net takes them."""
    batches = [samples[start : start + BATCH] for start in range(0, len(samples), BATCH)]
    return np.concatenate([_outputs(net, batch) for batch in batches])


def _outputs(net: Quantized, batch: Array) -> Array:
    values: dict[Value, Array] = {net.input: batch}
    for step in net.steps:
        taken = [values[each].reshape(len(batch), *step.input_shape) for each in step.inputs]
        values[step.output] = STEPS[step.kind](step, *taken)
    return values[net.output].reshape(len(batch), -1)


def scaled(sums: Array, multiplier: Array | float, shift: Array | float) -> Array:
    """`net_scaled` of templates/int8/requantize.h on integer sums, int64."""
    sums, places = sums.astype(np.int64), np.asarray(shift, np.int64)
    steps = np.abs(sums)
    steps *= np.asarray(multiplier, np.int64)  # below 2^62
    steps += np.int64(1) << (places - 1)
    steps >>= places
    np.minimum(steps, 2**31 - 1, out=steps)
    steps *= np.sign(sums)
    return steps


def requantized(sums: Array, multiplier: Array | float, shift: Array | float, zero: float) -> Array:
    """`net_requantize` of the same file, int8."""
    steps = scaled(sums, multiplier, shift)
    steps += int(zero)
    return np.clip(steps, -128, 127, out=steps).astype(np.int8)


def _requantized_rows(step: Step, sums: Array) -> Array:
    t = step.tensors
    return requantized(sums.astype(np.int64) + t["b"], t["multiplier"], t["shift"], step.settings["y_zero"])


def _as_floats(step: Step, x: Array, outputs_axis: int) -> tuple[Array, Array]:
    """x - zero, and W, in the shortest floats that hold every sum of their products exactly."""
    W = step.tensors["W"].astype(np.float32)
    rest = tuple(axis for axis in range(W.ndim) if axis != outputs_axis)
    dtype = np.float32 if np.abs(W).sum(axis=rest, dtype=np.float64).max() * 255 < 2**24 else np.float64
    return x.astype(dtype) - int(step.settings["x_zero"]), W.astype(dtype)


def _dense(step: Step, x: Array) -> Array:
    x, W = _as_floats(step, x, 0)
    return _requantized_rows(step, x @ W.T)


def _dense_scores(step: Step, x: Array) -> Array:
    t = step.tensors
    x, W = _as_floats(step, x, 0)
    return scaled((x @ W.T).astype(np.int64) + t["b"], t["multiplier"], t["shift"]).astype(np.int32)


def _scores(step: Step, x: Array) -> Array:
    return x.astype(np.int32) - int(step.settings["zero"])


def _conv2d(step: Step, x: Array) -> Array:
    x, W = _as_floats(step, x, 0)
    pixels = _under_each_weight(step, x, 0.0)
    rows = np.concatenate([pixel for _, _, pixel in pixels], axis=-1)
    return _requantized_rows(step, rows.reshape(-1, rows.shape[-1]) @ W.reshape(len(W), -1).T)


def _depthwise(step: Step, x: Array) -> Array:
    x, W = _as_floats(step, x, 3)
    pixels = _under_each_weight(step, x, 0.0)
    times = W.shape[-1] // step.input_shape[-1]
    return _requantized_rows(step, sum(pixel.repeat(times, axis=-1) * W[u, v, 0] for u, v, pixel in pixels))


def _under_each_weight(step: Step, x: Array, padding: float) -> list[tuple[int, int, Array]]:
    """(u, v, the pixels (M, OH, OW, C) that lie under place u, v of the window)."""
    g = step.window
    assert g is not None
    wide = np.pad(x, ((0, 0), *g.padding, (0, 0)), constant_values=padding)
    height, width = g.output(step.input_shape)
    down, right = g.stride
    return [
        (u, v, wide[:, u : u + (height - 1) * down + 1 : down, v : v + (width - 1) * right + 1 : right])
        for u, v in np.ndindex(*g.size)
    ]


def _max_pool(step: Step, x: Array) -> Array:
    pixels = _under_each_weight(step, x.astype(np.int64), -129)
    return np.max([pixel for _, _, pixel in pixels], axis=0).astype(np.int8)


def _average_pool(step: Step, x: Array) -> Array:
    sums = sum(pixel for _, _, pixel in _under_each_weight(step, x.astype(np.int64), 0))
    counts = sum(pixel for _, _, pixel in _under_each_weight(step, np.ones_like(x, np.int64), 0))
    return _divided(np.asarray(sums), np.asarray(counts))


def _divided(sums: Array, counts: Array) -> Array:
    """To the nearest whole number, halves away from 0."""
    size = (np.abs(sums) + counts // 2) // counts
    return np.where(sums < 0, -size, size).astype(np.int8)


def _global_average_pool(step: Step, x: Array) -> Array:
    s = step.settings
    sums = (x.astype(np.int64) - int(s["x_zero"])).sum(axis=(1, 2))
    return requantized(sums, s["multiplier"], s["shift"], s["y_zero"])


def _add(step: Step, a: Array, b: Array) -> Array:
    s = step.settings
    sums = (a.astype(np.int64) - int(s["a_zero"])) * int(s["a_factor"])
    sums += (b.astype(np.int64) - int(s["b_zero"])) * int(s["b_factor"])
    return requantized(sums, 1, s["shift"], s["y_zero"])


def _bytes(step: Step, x: Array) -> Array:
    return step.tensors["table"][x.astype(np.uint8)]


def _lookup(step: Step, x: Array) -> Array:
    return step.tensors["table"][x.astype(np.int64) + 128]


def _quantize(step: Step, x: Array) -> Array:
    q = np.clip(np.float32(step.settings["per_unit"]) * x.astype(np.float32), -256, 256).astype(np.float32)
    half = np.where(q < 0, np.float32(-0.5), np.float32(0.5))
    rounded = np.trunc(q + half).astype(np.int64) + int(step.settings["zero"])
    return np.clip(rounded, -128, 127).astype(np.int8)


Compute: TypeAlias = Callable[..., Array]
STEPS: dict[str, Compute] = {
    "dense": _dense,
    "dense_scores": _dense_scores,
    "conv2d": _conv2d,
    "depthwiseconv2d": _depthwise,
    "maxpool2d": _max_pool,
    "avgpool2d": _average_pool,
    "globalaveragepool": _global_average_pool,
    "add": _add,
    "bytes": _bytes,
    "lookup": _lookup,
    "quantize": _quantize,
    "scores": _scores,
}
