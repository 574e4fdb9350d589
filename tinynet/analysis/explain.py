"""The explanation of a prediction: gradients, Grad-CAM, filters and activations, as a page with pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinynet import plots
from tinynet.analysis.card import NOT_SURE
from tinynet.analysis.grad_cam import cam_position, grad_cam, place
from tinynet.analysis.gradients import NOISE, SAMPLES, logits, margin_gradients, saliency, smooth_grad
from tinynet.analysis.meaning import MEANINGS, described, limits, words
from tinynet.blocks import blocks
from tinynet.errors import ShapeError
from tinynet.io.lock import one_at_a_time
from tinynet.io.markdown import markdown_table, percent, write_json, write_page
from tinynet.layers import BatchNorm, Conv2D, Dense, DepthwiseConv2D, Dropout, Rescale
from tinynet.layers.activation import Activation
from tinynet.layers.reshape import Rearrangement
from tinynet.losses import Loss
from tinynet.model import Sequential
from tinynet.types import Array

CHANNELS = 8
"""Of an activation, so many channels are drawn: the strongest."""
FILTERS = 64
"""At most so many filters are drawn: the first."""


def first_filters(model: Sequential) -> tuple[str, Array] | None:
    """The name of the first layer with weights, and these as signed pictures (F, h, w).

    Of a convolution its kernels; of a dense layer on the image's own values, the weights of each unit, laid
    out as the image; averaged over channels. None where the first weights see something else.
    """
    for layer in model.layers:
        if isinstance(layer, Conv2D | DepthwiseConv2D):
            return layer.name, model.backend.to_host(layer.params.W).mean(axis=2).transpose(2, 0, 1)
        if isinstance(layer, Dense):
            W = model.backend.to_host(layer.params.W)
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
    margin_times_image: Array
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
    if len(model.input_shape) != 3 or len(model.output_shape) != 1 or loss.classes(model.output_shape[0]) < 2:
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
    margins = margin_gradients(model, image, first, second)
    return Explanation(
        image,
        z[0],
        model.backend.to_host(loss.probabilities(scores))[0],
        first,
        second,
        saliency(model, image, first),
        smooth_grad(model, image, first, seed=seed, samples=samples, noise=noise),
        margins.sum(axis=-1),
        (margins * image).sum(axis=-1) / 255,
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


def conclusions(found: Explanation, classes: Sequence[str], warning: str | None = None) -> list[str]:
    """The findings, a sentence each. classes: K names   warning: what speaks against the picture"""
    first, second = classes[found.first], classes[found.second]
    is_sure = warning is None and found.probabilities[found.first] >= NOT_SURE
    answer = first if is_sure else f"not sure: {first}?"
    lead = float(found.logits[found.first] - found.logits[found.second])
    row, column = divmod(int(np.abs(found.margin).argmax()), found.margin.shape[1])
    steepest = float(found.margin[row, column])
    return [
        f"Predicted: {answer} ({percent(float(found.probabilities[found.first]))}), then {second}"
        f" ({percent(float(found.probabilities[found.second]))}); the logit of {first} leads by {lead:.2f}.",
        f"The pixel that moves this lead most is in row {row + 1}, column {column + 1}, counted from 1:"
        f" {words(found.image.shape)['level_of_all']} changes it by {steepest:+.4f}.",
        "There is no Grad-CAM: this net has no convolution."
        if found.cam is None
        else f"Grad-CAM is of {found.cam_name}, of {' × '.join(map(str, found.cam.shape))} places.",
        "There are no filters to draw: the first weights are not applied to pixels."
        if found.filters is None
        else f"The filters are the weights of {found.filters[0]}. The pictures number filters and channels"
        " from 0.",
    ]


@one_at_a_time
def write_explanation(
    folder: Path, found: Explanation, classes: Sequence[str], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Write explanation.md, explanation.json and the pictures into `folder`, made where it is missing.

    classes: K names   about: `model`, `image`, `fitted`, `warning` and `leakage`, in words (None: not known)

    Returns what explanation.json holds. Each file is written atomically, the page last. Pictures there that
    this net has not, such as Grad-CAM of one without convolutions, are deleted. Raises RunError if the folder
    cannot be made.
    """
    draw = _pictures(found, classes)
    for file, picture in draw.items():
        picture(folder / file)
    for file in MEANINGS.keys() - draw.keys():
        (folder / file).unlink(missing_ok=True)
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
    best = (written["first"], written["second"])
    page = [
        f"# Why {about['model']} predicts {written['first']} for {about['image']}",
        *([f"The picture was {about['fitted']}."] if about["fitted"] else []),
        *conclusions(found, classes, about.get("warning")),
        *([about["leakage"]] if about.get("leakage") else []),
        markdown_table(
            ("class", "logit", "probability"),
            [(c["name"], f"{c['logit']:.3f}", percent(c["probability"])) for c in written["classes"]],
        ),
        *(block for file in draw for block in described(file, *best, found.image.shape)),
        *limits(),
    ]
    write_page(folder / "explanation.md", page)
    return written


def _pictures(found: Explanation, classes: Sequence[str]) -> dict[str, Callable[[Path], None]]:
    """The file name of each picture, and what draws it into a path."""
    first, second = classes[found.first], classes[found.second]
    caption = f"predicted {first} ({percent(float(found.probabilities[found.first]))})"
    said = words(found.image.shape)
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
                f"times the {said['there']}": found.margin_times_image,
            },
            title=f"Purple: {said['more']} here favours {first}; orange with dots: {second}",
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
        title = f"Weights of {name}: purple is positive, orange negative, with dots where far below 0"
        if len(weights) > FILTERS:
            title += f"; the first {FILTERS} of {len(weights)}"
        draw["filters.png"] = partial(plots.filters, weights[:FILTERS], title=title)
    draw["activations.png"] = partial(plots.activations, found.activations, CHANNELS)
    return draw
