"""How much memory a training step needs, and what to say where there is less."""

from __future__ import annotations

import math

import numpy as np

from tinynet.errors import OutOfMemoryError
from tinynet.layers import Conv2D, DepthwiseConv2D
from tinynet.layers.stack import walk
from tinynet.model import Sequential
from tinynet.printable import counted

MIB = 1 << 20


def of_a_sample(model: Sequential) -> int:
    """Bytes that a training step needs for each sample of its batch, at most.

    Each layer's output is kept for the backward, and its gradient comes beside it. A convolution by im2col
    also keeps its windows as rows, and has as many again in its backward.
    """
    outputs = sum(math.prod(layer.output_shape) for layer in walk(model.layers))
    windows = [
        math.prod(layer.output_shape[:2]) * math.prod(layer.geometry.size) * layer.input_shape[2]
        for layer in walk(model.layers)
        if isinstance(layer, DepthwiseConv2D)
        or (isinstance(layer, Conv2D) and layer.algorithm(1) == "im2col")
    ]
    return (2 * outputs + sum(windows) + max(windows, default=0)) * np.dtype(model.dtype).itemsize


def shortage(model: Sequential, batch: int, step: int, error: MemoryError) -> OutOfMemoryError:
    """What to tell a person whose training step number `step`, on a `batch` of samples, ended in `error`.

    What that step had taken has been let go of.
    """
    each, free = of_a_sample(model), model.backend.free_bytes()
    fits = batch - 1
    if free is not None:
        fits = min(fits, free // each)
    fits = 1 << (fits.bit_length() - 1) if fits else 0  # a power of two
    return OutOfMemoryError(
        f"training ran out of memory in step {step}, with {counted(batch, 'sample')} in a batch",
        expected=f"up to {batch * each / MIB:,.0f} MiB for such a step, besides data and parameters",
        received=(str(error) or "a MemoryError")
        + ("" if free is None else f"; {free / MIB:,.0f} MiB are free"),
        fix=f"a batch of {fits} fits: --batch {fits}, or batch_size = {fits} in the recipe"
        if fits
        else "not even one sample fits: a smaller net, or a machine with more memory",
    )
