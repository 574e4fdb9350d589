"""A plan in 8 bits: integers instead of floats, a quarter of the memory, and no floating point needed.

A number r is kept as q = r / scale + zero in -128 … 127. Weights are symmetric (zero = 0) with a scale for
each output channel; each value between steps has one scale and one zero, from the range that it had for some
training images. Sums have 32 bits. A factor between scales is an integer and a shift, not a float: the
smallest processors have no unit for floats, and integers give the same bits on every one.

(Jacob et al.: "Quantization and training of neural networks for efficient integer-arithmetic-only
inference", 2018, section 2; scales for each channel: Krishnamoorthi: "Quantizing deep convolutional networks
for efficient inference", 2018, section 3.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np

from tinynet.errors import ConfigError
from tinynet.export.steps import Plan, Step, Value
from tinynet.types import Array

LARGEST = 2**31 - 1
"""Of what the sums hold."""
SCORE_STEPS = 2**15
"""Steps from 0 to the largest score in the calibration."""
ENDINGS = ("softmax", "sigmoid", "tanh")
FUSES_RELU = {"dense", "conv2d", "depthwiseconv2d", "add", "globalaveragepool"}
"""Steps that cut off at the ends of their range, as ReLU does at 0."""


class Scale(NamedTuple):
    """How numbers are kept: r = scale (q - zero)."""

    scale: float
    zero: int

    @classmethod
    def of(cls, low: float, high: float) -> Scale:
        """For numbers from `low` to `high`; 0 is one of those that are kept exactly."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / 255 or 1.0
        return cls(scale, round(min(max(-128 - low / scale, -128), 127)))

    def quantized(self, values: Array) -> Array:
        """int8 for real numbers."""
        steps = np.rint(np.asarray(values, np.float64) / self.scale) + self.zero
        return np.clip(steps, -128, 127).astype(np.int8)

    def real(self, q: Array) -> Array:
        """The numbers for which q stands, float32."""
        return ((q.astype(np.float64) - self.zero) * self.scale).astype(np.float32)


EVERY = np.arange(-128, 128).astype(np.int8)


class Quantized:
    """The steps of `plan` in 8 bits, which they were calibrated for; `output` is what the last one gives.

    A Softmax, Sigmoid or Tanh at the end is left out, and is `ending`: no other score gets the largest by it,
    and behind 8 bits it would make many alike.

    Raises ConfigError with the name of a layer that cannot be computed so.
    """

    def __init__(self, plan: Plan) -> None:
        self.takes_bytes, self.input, self.output = plan.takes_bytes, plan.input, plan.output
        self.scales: dict[Value, Scale] = {}
        self.steps: list[Step] = []
        steps = _without_relus(plan.steps)
        last = steps[-1]
        self.ending = last if last.kind in ENDINGS and len(steps) > 1 else None
        if self.ending:
            steps.pop()
            self.output = last.inputs[0]
        if not self.takes_bytes:
            steps = self._quantize_input(steps)
        for step in steps:
            self.steps.append(self._in_integers(step))
        self._end_in_scores(steps[-1])

    def _end_in_scores(self, last: Step) -> None:
        """Let the last dense layer give scores of 32 bits; the values of any other are widened."""
        kept = self.steps[-1]
        if kept.kind == "dense":
            size = max(abs(self.output.low), abs(self.output.high)) or 1.0
            self.scales[self.output] = Scale(size / SCORE_STEPS, 0)
            self.steps[-1] = replace(self._in_integers(last), kind="dense_scores")
            return
        x, self.output = self.output, Value(self.output.size, self.output.low, self.output.high)
        self.scales[self.output] = Scale(self.scale_of(x).scale, 0)
        shape = kept.output_shape
        zero: dict[str, float] = {"zero": self.scale_of(x).zero}
        self.steps.append(Step("scores", ["scores"], (x,), self.output, shape, shape, {}, zero))

    def scale_of(self, value: Value) -> Scale:
        """How a value is kept: by its range, unless a step has decided otherwise."""
        if value not in self.scales:
            self.scales[value] = Scale.of(value.low, value.high)
        return self.scales[value]

    def _quantize_input(self, steps: list[Step]) -> list[Step]:
        """The steps behind one that makes integers of the floats that the net is given."""
        first = Value(self.input.size, self.input.low, self.input.high)
        scale = self.scale_of(first)
        shape = steps[0].input_shape
        settings = {"per_unit": float(np.float32(1 / scale.scale)), "zero": scale.zero}
        self.steps.append(Step("quantize", ["input"], (self.input,), first, shape, shape, {}, settings))
        for step in steps:
            step.inputs = tuple(first if each is self.input else each for each in step.inputs)
        return steps

    def _in_integers(self, step: Step) -> Step:
        if step.kind == "rescale" and step.inputs[0] is self.input:
            return self._of_bytes(step)
        if step.kind not in KINDS and step.function is None:
            raise ConfigError(
                f"int8 cannot say what layer {step.layers[0]} computes",
                expected="softmax at the end of a net alone" if step.kind == "softmax" else "another layer",
                received=step.kind,
                fix="export without --int8",
            )
        return KINDS.get(step.kind, _table)(self, step)

    def _of_bytes(self, step: Step) -> Step:
        pixels = np.arange(256).astype(np.float32)
        values = _called(step, pixels)
        self.scales[step.output] = Scale.of(float(values.min()), float(values.max()))
        return _changed(step, "bytes", {"table": self.scales[step.output].quantized(values)})


def _without_relus(steps: list[Step]) -> list[Step]:
    """Each ReLU goes into the step before it, if that one cuts off and nothing else needs what it gives."""
    kept: list[Step] = []
    for step in steps:
        makers = [each for each in kept if each.output is step.inputs[0]]
        users = sum(step.inputs[0] in other.inputs for other in steps)
        fuses = makers and makers[0].kind in FUSES_RELU and users == 1
        if step.kind == "relu" and fuses and step is not steps[-1]:  # the scores are not cut off
            maker = makers[0]
            kept[kept.index(maker)] = replace(maker, output=step.output, layers=[*maker.layers, *step.layers])
        else:
            kept.append(replace(step))
    return kept


def _changed(
    step: Step, kind: str, tensors: dict[str, Array], settings: Mapping[str, float] | None = None
) -> Step:
    return replace(step, kind=kind, tensors=tensors, settings={**(settings or {})})


def _called(step: Step, values: Array) -> Array:
    assert step.function is not None
    return step.function(values)


def _weighted(axes: tuple[int, ...]) -> Callable[[Quantized, Step], Step]:
    """Weights with their axes in the order of C's loops; the last axis is that of the outputs."""

    def change(net: Quantized, step: Step) -> Step:
        x, y = net.scale_of(step.inputs[0]), net.scale_of(step.output)
        W, b = (step.tensors[name].astype(np.float64) for name in ("W", "b"))
        flat = W.reshape(-1, W.shape[-1])
        scales = np.abs(flat).max(axis=0) / 127
        scales = np.maximum(scales, np.abs(b) / (x.scale * 2**29))  # so that b has 30 bits
        scales[scales == 0] = 1.0
        w, bias = np.rint(W / scales).astype(np.int8), np.rint(b / (scales * x.scale)).astype(np.int32)
        _check_sums(step, w, bias)
        multiplier, shift = factors(scales * x.scale / y.scale)
        tensors = {
            "W": np.ascontiguousarray(w.transpose(axes)),
            "b": bias,
            "multiplier": multiplier,
            "shift": shift,
        }
        return _changed(step, step.kind, tensors, {"x_zero": x.zero, "y_zero": y.zero})

    return change


def _check_sums(step: Step, w: Array, b: Array) -> None:
    """Raise ConfigError where a sum could leave 32 bits, whatever is put in."""
    sizes = np.abs(w.astype(np.int64)).reshape(-1, w.shape[-1]).sum(axis=0)
    largest = 255 * sizes + np.abs(b.astype(np.int64))
    if largest.max() > LARGEST:
        raise ConfigError(
            f"the sums of layer {step.layers[0]} may leave 32 bits",
            expected=f"at most {LARGEST:,}",
            received=f"{largest.max():,}",
            fix="fewer inputs for each of its outputs, or export without --int8",
        )


def factors(real: Array) -> tuple[Array, Array]:
    """(multiplier uint32, shift uint8), multiplier / 2^shift nearest to each number from 0 to 2^30."""
    fraction, exponent = np.frexp(np.asarray(real, np.float64))
    multiplier, shift = np.rint(fraction * 2**31), 31 - exponent
    vanishes = shift > 62
    multiplier[vanishes], shift[vanishes] = 0, 1
    return np.minimum(multiplier, LARGEST).astype(np.uint32), np.maximum(shift, 1).astype(np.uint8)


def _pool(net: Quantized, step: Step) -> Step:
    """The largest or the mean of numbers is kept as they are."""
    net.scales[step.output] = net.scale_of(step.inputs[0])
    return step


def _global_average_pool(net: Quantized, step: Step) -> Step:
    x, y = net.scale_of(step.inputs[0]), net.scale_of(step.output)
    pixels = math.prod(step.input_shape[:2])
    multiplier, shift = (int(each[0]) for each in factors(np.array([x.scale / y.scale / pixels])))
    settings = {"multiplier": multiplier, "shift": shift, "x_zero": x.zero, "y_zero": y.zero}
    return _changed(step, step.kind, {}, settings)


def _add(net: Quantized, step: Step) -> Step:
    """Both scales as integers over one power of two, so large that a sum just stays within 31 bits."""
    (a, b), y = (net.scale_of(each) for each in step.inputs), net.scale_of(step.output)
    ratios = (a.scale / y.scale, b.scale / y.scale)
    shift = min(max(21 - math.frexp(max(ratios))[1], 1), 40)
    a_factor, b_factor = (min(round(ratio * 2**shift), 2**21) for ratio in ratios)
    settings = {"a_factor": a_factor, "a_zero": a.zero, "b_factor": b_factor, "b_zero": b.zero}
    return _changed(step, "add", {}, {**settings, "shift": shift, "y_zero": y.zero})


def _table(net: Quantized, step: Step) -> Step:
    """A function of one number has 256 answers."""
    values = _called(step, net.scale_of(step.inputs[0]).real(EVERY))
    return _changed(step, "lookup", {"table": net.scale_of(step.output).quantized(values)})


Change: TypeAlias = Callable[[Quantized, Step], Step]
KINDS: dict[str, Change] = {
    "dense": _weighted((1, 0)),
    "conv2d": _weighted((3, 0, 1, 2)),
    "depthwiseconv2d": _weighted((0, 1, 2, 3)),
    "maxpool2d": _pool,
    "avgpool2d": _pool,
    "globalaveragepool": _global_average_pool,
    "add": _add,
}
