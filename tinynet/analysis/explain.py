"""Why does a net predict this class? Gradients of its logits, and the activations of its layers.

A logit is the score zₖ of class k before softmax or sigmoid: those squash, and their gradients vanish where
the net is sure. All gradients are the engine's own, by `Sequential.backward`; that also writes the gradients
of the parameters, which nothing here reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import plots
from tinynet.errors import ConfigError, ShapeError
from tinynet.io.markdown import markdown_table, percent, write_json, write_page
from tinynet.layers import BatchNorm, Conv2D, Dense, Dropout, Rescale, Sigmoid, Softmax
from tinynet.layers.activation import Activation
from tinynet.layers.pool import Pool2D
from tinynet.layers.reshape import Rearrangement
from tinynet.losses import Loss
from tinynet.model import Sequential
from tinynet.rng import Key, Stream, normal
from tinynet.types import Array

SAMPLES, NOISE = 50, 0.15
"""Of SmoothGrad: its authors report little gain beyond 50 samples, and good maps with 10 to 20 % of noise."""
ABSORBED = (Activation, BatchNorm, Dropout)
"""Layers that finish what the one before began; shown with it, as one block."""
CHANNELS = 8
"""Of an activation, so many channels are drawn: the strongest."""
FILTERS = 64
"""At most so many filters are drawn: the first."""


@dataclass(frozen=True)
class Block:
    """The layers from `start` to before `stop`: one that computes, and the followers behind it.

    A backend may compute such neighbours in one step, so only the output of the whole is the same on all.
    """

    start: int
    stop: int
    name: str


@dataclass(frozen=True)
class Probe:
    """The result of `probe` for N images: logits (N, K), ∂s/∂x (N, *input_shape), and by position the outputs
    and ∂s/∂output (N, …) of the layers to keep; all on the host."""

    logits: Array
    input_gradient: Array
    outputs: dict[int, Array]
    gradients: dict[int, Array]


def blocks(model: Sequential) -> list[Block]:
    """The layers of `model`, each with its followers."""
    starts = [i for i, layer in enumerate(model.layers) if i == 0 or not isinstance(layer, ABSORBED)]
    return [
        Block(start, stop, " + ".join(layer.name for layer in model.layers[start:stop]))
        for start, stop in pairwise([*starts, len(model.layers)])
    ]


def logits(model: Sequential, images: Array, keep: Collection[int] = ()) -> tuple[Array, dict[int, Array]]:
    """Logits (N, K) of images (N, *input_shape), and the outputs of the layers at the positions `keep`."""
    end = _logits_end(model)
    kept: dict[int, Array] = {}

    def watch(position: int, output: Array) -> None:
        if position in keep or position == end - 1:
            kept[position] = model.backend.to_host(output).copy()

    model.forward(_on_device(model, images), watch=watch)
    return kept[end - 1], kept


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
    return np.abs(probe(model, image[None], _one(model, k)).input_gradient[0]).max(axis=-1)


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
        total += probe(model, (x + epsilon)[None], _one(model, k)).input_gradient[0]
    return np.abs(total / samples).max(axis=-1)


def grad_cam(model: Sequential, image: Array, k: int, position: int) -> Array:
    """Where the layer at `position`, of output A (h, w, F), finds evidence for a class: (h, w).

        α_f = (1/hw) Σᵢⱼ ∂zₖ/∂A[i, j, f]        M = ReLU( Σ_f α_f A[:, :, f] )

    (Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: "Grad-CAM: visual explanations from deep networks via
    gradient-based localization", 2017, equations 1 and 2.)
    """
    found = probe(model, image[None], _one(model, k), keep=(position,))
    alpha = found.gradients[position][0].mean(axis=(0, 1))
    return np.maximum(found.outputs[position][0] @ alpha, 0)


def margin_gradient(model: Sequential, image: Array, first: int, second: int) -> Array:
    """∂(z_first − z_second)/∂x, summed over channels: (H, W), signed, per grey level.

    Above 0 where more ink favours the first class over the second, below 0 where the second.
    """
    weights = _one(model, first) - _one(model, second)
    return probe(model, image[None], weights).input_gradient[0].sum(axis=-1)


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
        convolutions = [layer.name for layer in model.layers if isinstance(layer, Conv2D)]
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
    that rearranges values (Reshape) no place is known: then the map covers the whole image.
    """
    starts, steps = np.zeros(2), np.ones(2)
    for layer in model.layers[: position + 1]:
        if isinstance(layer, Conv2D | Pool2D):
            window = layer.geometry
            starts += steps * ((np.array(window.size) - 1) / 2 - window.corner)
            steps *= window.stride
        elif layer.output_shape[:2] != layer.input_shape[:2]:
            height, width, _ = model.input_shape
            return -0.5, width - 0.5, height - 0.5, -0.5
    sizes = np.array(model.layers[position].output_shape[:2])
    (top, left), (bottom, right) = starts - steps / 2, starts + steps * (sizes - 0.5)
    return float(left), float(right), float(bottom), float(top)


def first_filters(model: Sequential) -> tuple[str, Array] | None:
    """The name of the first layer with weights, and these as signed pictures (F, h, w).

    Of a convolution its kernels; of a dense layer on the image's own values, the weights of each unit, laid
    out as the image; averaged over channels. None where the first weights see something else.
    """
    for layer in model.layers:
        if isinstance(layer, Conv2D):
            return layer.name, _host(model, layer.params.W).mean(axis=2).transpose(2, 0, 1)
        if isinstance(layer, Dense):
            W = _host(model, layer.params.W)
            return layer.name, W.T.reshape(-1, *model.input_shape).mean(axis=-1)
        if not isinstance(layer, Rescale | Rearrangement | Dropout | BatchNorm | Activation):
            return None
    return None


@dataclass(frozen=True)
class Explanation:
    """All that is drawn and said of one image (H, W, C). Maps are (H, W), but `cam`: (h, w) of its layer."""

    image: Array
    logits: Array
    probabilities: Array
    first: int
    second: int
    saliency: Array
    smooth: Array
    margin: Array
    cam: Array | None
    cam_name: str | None
    cam_place: tuple[float, float, float, float] | None
    filters: tuple[str, Array] | None
    activations: list[tuple[str, Array]]
    settings: dict[str, Any]


def explain(
    model: Sequential,
    loss: Loss,
    image: Array,
    *,
    layer: str | None = None,
    seed: int = 0,
    samples: int = SAMPLES,
    noise: float = NOISE,
) -> Explanation:
    """Explain the prediction of `model`, trained with `loss`, for `image` (H, W, C).

    `layer` is where Grad-CAM looks, by default the last convolution; `seed`, `samples` and `noise` are
    SmoothGrad's. Raises ShapeError for a model of no images or an image that does not fit it, ConfigError as
    `cam_position` and `smooth_grad` do.
    """
    if len(model.input_shape) != 3 or len(model.output_shape) != 1 or model.output_shape[0] < 2:
        raise ShapeError(
            "this model cannot be explained",
            expected="one that tells two or more classes of images (H, W, C)",
            received=f"inputs {model.input_shape}, outputs {model.output_shape}",
        )
    if image.shape != model.input_shape:
        raise ShapeError("the image does not fit", expected=model.input_shape, received=image.shape)
    cam_at = cam_position(model, layer)
    ends = {block.stop - 1: block for block in blocks(model)}
    z, outputs = logits(model, image[None], keep=ends)
    scores = model.backend.asarray(outputs[len(model.layers) - 1])
    second, first = np.argsort(z[0], kind="stable")[-2:].tolist()
    return Explanation(
        image,
        z[0],
        _host(model, loss.probabilities(scores))[0],
        first,
        second,
        saliency(model, image, first),
        smooth_grad(model, image, first, seed=seed, samples=samples, noise=noise),
        margin_gradient(model, image, first, second),
        None if cam_at is None else grad_cam(model, image, first, cam_at),
        None if cam_at is None else ends[cam_at].name,
        None if cam_at is None else place(model, cam_at),
        first_filters(model),
        [
            (block.name, outputs[end][0])
            for end, block in ends.items()
            if not isinstance(model.layers[block.start], Rescale | Rearrangement)
        ],
        {"seed": seed, "samples": samples, "noise": noise},
    )


def conclusions(found: Explanation, classes: Sequence[str]) -> list[str]:
    """The findings, a sentence each. classes: K names."""
    first, second = classes[found.first], classes[found.second]
    lead = float(found.logits[found.first] - found.logits[found.second])
    row, column = divmod(int(np.abs(found.margin).argmax()), found.margin.shape[1])
    steepest = float(found.margin[row, column])
    return [
        f"Predicted: {first} ({percent(float(found.probabilities[found.first]))}), then {second}"
        f" ({percent(float(found.probabilities[found.second]))}); the logit of {first} leads by {lead:.2f}.",
        f"The pixel that moves this lead most is in row {row + 1}, column {column + 1}: one grey level more"
        f" changes it by {steepest:+.4f}.",
        "There is no Grad-CAM: this net has no convolution."
        if found.cam is None
        else f"Grad-CAM is of {found.cam_name}, of {' × '.join(map(str, found.cam.shape))} places.",
        "There are no filters to draw: the first weights are not applied to pixels."
        if found.filters is None
        else f"The filters are those of {found.filters[0]}.",
    ]


def write_explanation(
    folder: Path, found: Explanation, classes: Sequence[str], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Write explanation.md, explanation.json and the pictures into `folder`, made where it is missing.

    classes: K names   about: `model`, `image` and `fitted`, in words (None: not known). Returns what
    explanation.json holds. Each file is written atomically, the page last. Raises OSError if the folder
    cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = _pictures(found, classes)
    for file, picture in draw.items():
        picture(folder / file)
    figures = {
        **about,
        "first": classes[found.first],
        "second": classes[found.second],
        "lead": found.logits[found.first] - found.logits[found.second],
        "classes": [
            {"name": name, "logit": z, "probability": p}
            for name, z, p in zip(classes, found.logits, found.probabilities, strict=True)
        ],
        "grad_cam_layer": found.cam_name,
        "smooth_grad": found.settings,
    }
    written: dict[str, Any] = write_json(folder / "explanation.json", figures)
    page = [
        f"# Why {about['model']} predicts {written['first']} for {about['image']}",
        *([f"The picture was {about['fitted']}."] if about["fitted"] else []),
        *conclusions(found, classes),
        markdown_table(
            ("class", "logit", "probability"),
            [(c["name"], f"{c['logit']:.3f}", percent(c["probability"])) for c in written["classes"]],
        ),
        *(f"![{file.removesuffix('.png')}]({file})" for file in draw),
    ]
    write_page(folder / "explanation.md", page)
    return written


def _pictures(found: Explanation, classes: Sequence[str]) -> dict[str, Callable[[Path], None]]:
    """The file name of each picture, and what draws it into a path."""
    first, second = classes[found.first], classes[found.second]
    caption = f"predicted {first} ({percent(float(found.probabilities[found.first]))})"
    on_image = partial(plots.maps, found.image, caption=caption)
    draw: dict[str, Callable[[Path], None]] = {
        "saliency.png": partial(
            on_image,
            {"gradient": found.saliency, f"SmoothGrad, {found.settings['samples']} samples": found.smooth},
            title=f"Saliency: where a change of a pixel changes the score of {first} most",
        ),
        "top-two.png": partial(
            on_image,
            {
                f"gradient of {first} minus {second}": found.margin,
                "times the ink": found.margin * found.image.mean(axis=-1) / 255,
            },
            title=f"Purple: more ink here favours {first}; orange: {second}",
            signed=True,
        ),
    }
    if found.cam is not None:
        title = f"Grad-CAM: where {found.cam_name} finds evidence for {first}"
        draw["grad-cam.png"] = partial(
            on_image,
            {"strength (grey: no unit centred there)": found.cam},
            title=title,
            place=found.cam_place,
        )
    if found.filters is not None:
        name, weights = found.filters
        title = f"Weights of {name}: purple is positive, orange negative"
        draw["filters.png"] = partial(plots.filters, weights[:FILTERS], title=title)
    draw["activations.png"] = partial(plots.activations, found.activations, CHANNELS)
    return draw


def _logits_end(model: Sequential) -> int:
    """How many layers make the logits: all, or all but a softmax or sigmoid at the end."""
    return len(model.layers) - isinstance(model.layers[-1], Softmax | Sigmoid)


def _on_device(model: Sequential, images: Array) -> Array:
    return model.backend.asarray(images.astype(model.dtype))


def _host(model: Sequential, array: Array) -> Array:
    return model.backend.to_host(array)


def _one(model: Sequential, k: int) -> Array:
    return np.eye(model.output_shape[-1])[k]
