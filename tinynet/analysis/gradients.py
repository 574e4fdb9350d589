"""Gradients of a net's logits with respect to its input: saliency, SmoothGrad and the margin of two classes.

A logit is the score zₖ of class k before softmax or sigmoid: those saturate, and their gradients vanish where
the net is confident. All gradients are the engine's own, by `Sequential.backward`. That also writes the
gradients of the parameters, which nothing here reads.

A net with a single output has the logit z of class 1 against class 0. It counts as the logits -z/2 and z/2 of
the two: these differ by z, and softmax makes σ(z) of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from tinynet.errors import ConfigError
from tinynet.layers import Sigmoid, Softmax
from tinynet.model import Sequential
from tinynet.rng import Key, Stream, normal
from tinynet.types import Array

HALVES = np.array([-0.5, 0.5])
"""Of a single logit z: what the logits of class 0 and of class 1 have of it."""
SAMPLES, NOISE = 50, 0.15
"""Of SmoothGrad: its authors report little gain beyond 50 samples, and good maps with 10 to 20 % of noise."""


@dataclass(frozen=True)
class Probe:
    """The result of `probe` for N images: logits (N, K), ∂s/∂x (N, *input_shape), and by position the outputs
    and ∂s/∂output (N, …) of the layers to keep; all on the host."""

    logits: Array
    input_gradient: Array
    outputs: dict[int, Array]
    gradients: dict[int, Array]


def logits(model: Sequential, images: Array, keep: Collection[int] = ()) -> tuple[Array, dict[int, Array]]:
    """Logits (N, K) of images (N, *input_shape), (N, 2) of a net with a single output, and the outputs of
    the layers at the positions `keep`."""
    end = _logits_end(model)
    kept: dict[int, Array] = {}

    def watch(position: int, output: Array) -> None:
        if position in keep or position == end - 1:
            kept[position] = model.backend.to_host(output).copy()

    model.forward(_on_device(model, images), watch=watch)
    z = kept[end - 1]
    return z * HALVES if z.shape[1] == 1 else z, kept


def probe(model: Sequential, images: Array, weights: Array, keep: Collection[int] = ()) -> Probe:
    """Differentiate s = Σₖ weightsₖ zₖ of each image, in evaluation mode.

    images (N, *input_shape) of any real dtype   weights (K,), e.g. 1 for a class and 0 for the others
    keep: the positions of the layers whose outputs and gradients are wanted

    In evaluation mode images do not see each other, so one backward differentiates all N.
    """
    end, host = _logits_end(model), model.backend.to_host
    outputs: dict[int, Array] = {}
    gradients: dict[int, Array] = {}

    def watch_output(position: int, output: Array) -> None:
        if position in keep or position == end - 1:
            outputs[position] = host(output).copy()

    def watch_gradient(position: int, gradient: Array) -> None:
        if position in keep:
            gradients[position] = host(gradient).copy()

    _, tape = model.forward(_on_device(model, images), watch=watch_output)
    z = outputs[end - 1]
    dz = model.backend.asarray(np.broadcast_to(weights, z.shape).astype(model.dtype))
    dx = model.backward(dz, tape.until(end), input_gradient=True, watch=watch_gradient)
    assert dx is not None, "it was asked for"
    return Probe(z, host(dx).copy(), outputs, gradients)


def saliency(model: Sequential, image: Array, k: int) -> Array:
    """M = |∂zₖ/∂x|, the largest over channels: (H, W) for an image (H, W, C), per grey level.

    Where a small change of a pixel changes the score most. (Simonyan, Vedaldi, Zisserman: "Deep inside
    convolutional networks", 2014, section 3.)
    """
    return np.abs(probe(model, image[None], one_hot(model, k)).input_gradient[0]).max(axis=-1)


def smooth_grad(
    model: Sequential,
    image: Array,
    k: int,
    *,
    seed: int = 0,
    samples: int = SAMPLES,
    noise: float = NOISE,
) -> Array:
    """M = |(1/n) Σᵢ ∂zₖ/∂x at x + εᵢ|, εᵢ ~ N(0, σ²), the largest over channels: (H, W).

    n = `samples`, σ = `noise` · (max x − min x); the noise is drawn from `seed`. The mean over neighbours
    of the image loses what flickers in a single gradient. (Smilkov, Thorat, Kim, Viégas, Wattenberg:
    "SmoothGrad: removing noise by adding noise", 2017.)

    Raises ConfigError unless samples ≥ 1 and noise ≥ 0.
    """
    if samples < 1 or not 0 <= noise < math.inf:
        raise ConfigError(
            "SmoothGrad cannot sample so",
            expected="samples of at least 1, noise of at least 0",
            received=f"samples={samples}, noise={noise}",
        )
    x = image.astype(np.float64)
    sigma = noise * (x.max() - x.min())
    total = np.zeros(image.shape)
    for i in range(samples):
        epsilon = sigma * normal(Key(seed, Stream.EXPLAIN, step=i), image.shape)
        total += probe(model, (x + epsilon)[None], one_hot(model, k)).input_gradient[0]
    return np.abs(total / samples).max(axis=-1)


def margin_gradient(model: Sequential, image: Array, first: int, second: int) -> Array:
    """∂(z_first − z_second)/∂x, summed over channels: (H, W), signed, per level.

    Above 0 where more ink, or in colour more light, favours the first class over the second, below 0 where
    the second.
    """
    return margin_gradients(model, image, first, second).sum(axis=-1)


def margin_gradients(model: Sequential, image: Array, first: int, second: int) -> Array:
    """The same of each channel, (H, W, C)."""
    weights = one_hot(model, first) - one_hot(model, second)
    return probe(model, image[None], weights).input_gradient[0]


def one_hot(model: Sequential, k: int) -> Array:
    """(K,) weights for `probe`: 1 for class k, 0 for the others. Of a single output (1,): -½ or ½."""
    outputs = model.output_shape[-1]
    return HALVES[[k]] if outputs == 1 else np.eye(outputs)[k]


def _logits_end(model: Sequential) -> int:
    """How many layers make the logits: all, or all but a softmax or sigmoid at the end."""
    return len(model.layers) - isinstance(model.layers[-1], Softmax | Sigmoid)


def _on_device(model: Sequential, images: Array) -> Array:
    return model.backend.asarray(images.astype(model.dtype))
