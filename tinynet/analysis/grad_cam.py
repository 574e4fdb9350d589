"""Grad-CAM: where a convolution finds evidence for a class, and where that lies on the image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from tinynet.analysis.gradients import one_hot, probe
from tinynet.blocks import blocks
from tinynet.errors import ConfigError
from tinynet.layers import Conv2D, DepthwiseConv2D
from tinynet.layers.base import Layer
from tinynet.layers.pool import Pool2D
from tinynet.layers.stack import walk
from tinynet.model import Sequential
from tinynet.types import Array


def grad_cam(model: Sequential, image: Array, k: int, position: int) -> Array:
    """Where the layer at `position`, of output A (h, w, F), finds evidence for a class: (h, w).

        α_f = (1/hw) Σᵢⱼ ∂zₖ/∂A[i, j, f]        M = ReLU( Σ_f α_f A[:, :, f] )

    (Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: "Grad-CAM: visual explanations from deep networks via
    gradient-based localization", 2017, equations 1 and 2.)
    """
    found = probe(model, image[None], one_hot(model, k), keep=(position,))
    alpha = found.gradients[position][0].mean(axis=(0, 1))
    return np.maximum(found.outputs[position][0] @ alpha, 0)


def cam_position(model: Sequential, name: str | None = None) -> int | None:
    """The position whose output Grad-CAM looks at: the end of the block of the layer `name`, or of the last
    convolution; None where there is no convolution and no name.

    Raises ConfigError for a name of no layer, or of one whose block's output is no image.
    """
    ends = {
        layer.name: block.stop - 1
        for block in blocks(model)
        for layer in model.layers[block.start : block.stop]
    }
    spatial = [n for n, end in ends.items() if len(model.layers[end].output_shape) == 3]
    if name is None:
        convolutions = [layer.name for layer in model.layers if _convolves(layer)]
        return ends[convolutions[-1]] if convolutions else None
    if name not in spatial:
        raise ConfigError(
            f"Grad-CAM cannot look at {name!r}",
            expected="a layer whose output has rows and columns: " + (", ".join(spatial) or "there is none"),
            received="a layer without" if name in ends else "no layer of this model",
            fix="tinynet summary RUN lists the layers",
        )
    return ends[name]


def place(model: Sequential, position: int) -> tuple[float, float, float, float]:
    """Where on the image the output (h, w, F) at `position` lies: (left, right, bottom, top) edge, in pixels
    counted from the middle of the first, as imshow's `extent`.

    Each place of a map lies at the middle of its receptive field. A window of size k and stride s, padded by
    p before, moves the first of them by (k − 1)/2 − p steps and makes the steps s times larger. After a layer
    that rearranges values (Reshape) no place is known: then the map covers the whole image. A Residual lies
    where its layers put it.
    """
    starts, steps = np.zeros(2), np.ones(2)
    for layer in _path(model.layers[: position + 1]):
        if isinstance(layer, Conv2D | DepthwiseConv2D | Pool2D):
            window = layer.geometry
            starts += steps * ((np.array(window.size) - 1) / 2 - window.corner)
            steps *= window.stride
        elif layer.output_shape[:2] != layer.input_shape[:2]:
            height, width, _ = model.input_shape
            return -0.5, width - 0.5, height - 0.5, -0.5
    sizes = np.array(model.layers[position].output_shape[:2])
    (top, left), (bottom, right) = starts - steps / 2, starts + steps * (sizes - 0.5)
    return float(left), float(right), float(bottom), float(top)


def _convolves(layer: Layer) -> bool:
    return any(isinstance(each, Conv2D | DepthwiseConv2D) for each in walk([layer]))


def _path(layers: Iterable[Layer]) -> Iterator[Layer]:
    """The layers one after another, each with others inside it replaced by its first branch."""
    for layer in layers:
        yield from _path(layer.branches[0]) if layer.branches else [layer]
