"""What the pictures of an explanation mean, and what they do not: in words, for the page beside them."""

from __future__ import annotations

import re
from typing import NamedTuple

from tinynet.types import Shape

SIMONYAN = (
    "Simonyan, Vedaldi, Zisserman: Deep inside convolutional networks: visualising image classification"
    " models and saliency maps, 2013, arXiv:1312.6034"
)
SMILKOV = (
    "Smilkov, Thorat, Kim, Viégas, Wattenberg: SmoothGrad: removing noise by adding noise, 2017,"
    " arXiv:1706.03825"
)
SELVARAJU = (
    "Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: Grad-CAM: visual explanations from deep networks"
    " via gradient-based localization, 2017, arXiv:1610.02391"
)
ZEILER = "Zeiler, Fergus: Visualizing and understanding convolutional networks, 2013, arXiv:1311.2901"
ADEBAYO = (
    "Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim: Sanity checks for saliency maps, 2018, arXiv:1810.03292"
)


class Meaning(NamedTuple):
    """Of a picture: a heading, what it shows to one who cannot see it, what it means and what it does not."""

    heading: str
    shown: str
    means: str
    does_not_mean: str
    sources: tuple[str, ...]


MEANINGS = {
    "saliency.png": Meaning(
        "Saliency: which pixels the score depends on",
        "The image, and two maps of its pixels: the gradient and SmoothGrad. Bright pixels are those whose"
        " change changes the score of {first} most.",
        "The score (logit) of {first} is a function of all pixels. The map shows the size of its gradient:"
        " how much the score changes with {level}. SmoothGrad is the mean of the"
        " gradients of noisy copies of the image, so it has less speckle.",
        "A bright pixel need not be part of what is drawn, and the map does not say whether {more} raises"
        " the score or lowers it. A gradient tells of small changes only: a dark pixel may matter if it"
        " changes a lot. A smoother map is not a truer one.",
        (SIMONYAN, SMILKOV),
    ),
    "top-two.png": Meaning(
        "The top two: what separates {first} from {second}",
        "The image, and two signed maps of its pixels. Purple: {more} there favours {first}. Orange with"
        " dots: it favours {second}.",
        "The left map is the gradient of the lead, the score of {first} minus that of {second}. The right"
        " map multiplies it by the {there} in the image{each}. If the net were linear, the right map would be"
        " each pixel's share of the lead, but for constants.",
        "The net is not linear, so these shares do not add up to the lead. To know whether {part}"
        " decides, erase it and let the net predict again. The maps say nothing of the other classes.",
        (SIMONYAN,),
    ),
    "grad-cam.png": Meaning(
        "Grad-CAM: where a convolution finds evidence",
        "The image, and a coarse map over it, bright where the layer finds evidence for {first}.",
        "Each channel of the layer gets a weight: how much the score of {first} rises with it, on average"
        " over all places. The map is the weighted sum of the channels, with negative values set to 0.",
        "The map is no finer than the layer's own places, so its edges are not those of what is drawn."
        " Evidence against {first} is not drawn. The same places may be evidence for other classes, too."
        " Another layer (--layer) gives another map.",
        (SELVARAJU,),
    ),
    "filters.png": Meaning(
        "Filters: the weights that see the pixels",
        "The weights of the first layer as small pictures: purple is positive, orange negative, with dots"
        " where they are far below 0.",
        "A unit of the first layer responds most where {under_purple} under its purple weights, and"
        " {under_orange} under its orange ones.{mean}",
        "These are the weights of one layer, the same for every image. They do not say what the net as a"
        " whole looks for, nor whether later layers use a filter at all. In a small net many look like"
        " noise, and the net may still be right.",
        (ZEILER,),
    ),
    "activations.png": Meaning(
        "Activations: what each layer makes of this image",
        "A row for each layer, from input to output: its outputs for this image, bright where they are"
        " strong. Outputs of both signs are purple above 0 and orange below, dark where they are strong.",
        "Of a convolution each picture is one channel: the response of one filter at every place of the"
        " image. Its strongest channels are drawn, in one scale for the layer. The outputs of a dense layer"
        " are one strip.",
        "Strong is not important: later layers may give a strong channel no weight. Rows have scales of"
        " their own, so brightness cannot be compared between layers.",
        (ZEILER,),
    ),
}
"""By the file name of the picture. {first} and {second} stand for the two most probable classes, the other
names for those of `words`."""

GREY = {
    "level": "one grey level more in a pixel",
    "level_of_all": "one grey level more",
    "more": "more ink",
    "there": "ink",
    "each": "",
    "part": "a stroke",
    "under_purple": "ink lies",
    "under_orange": "none",
    "mean": "",
}
COLOURED = {
    "level": "one level more in a channel of a pixel, in that with the largest gradient",
    "level_of_all": "one level more in each of its channels",
    "more": "a brighter pixel",
    "there": "values",
    "each": ", channel by channel",
    "part": "a part of the picture",
    "under_purple": "the image is bright",
    "under_orange": "dark",
    "mean": " Each picture is the mean over the layer's input channels.",
}

SANITY = (
    "A map can look convincing and say little of the net. Adebayo and others compared maps of trained nets"
    " with those of nets whose weights were random. Gradients and Grad-CAM changed with the weights; some"
    " other methods drew nearly the same map, that is, the edges of the image. So make the comparison"
    " yourself: explain the same image by a net of the same recipe whose weights stay random (`tinynet"
    " train RECIPE --epochs 1 --lr 0`). What both maps show is not what the net has learned."
)
LIMITS = (
    "All of this tells of one net and one image. It describes how the net computes, not why the image is"
    " what it is. To test a conclusion, change the image, and predict again."
)


def words(shape: Shape) -> dict[str, str]:
    """What a change of an image of `shape` (H, W, C) is called: of ink, or of light in colours."""
    return COLOURED if shape[-1] == 3 else GREY


def described(file: str, first: str, second: str, shape: Shape) -> list[str]:
    """The blocks of a page for the picture `file`: heading, picture with its description, and what it means.

    first, second: the names of the two most probable classes   shape: the image's, (H, W, C)
    """
    heading, shown, means, does_not_mean = (
        text.format(first=first, second=second, **words(shape)) for text in MEANINGS[file][:4]
    )
    alt = re.sub(r"[][\\\s]+", " ", shown)  # what would end it, if it stands in the name of a class
    return [
        f"## {heading}",
        f"![{alt}]({file})",
        f"**What it means.** {means}",
        f"**What not to conclude.** {does_not_mean}",
        f"Source: {'; '.join(MEANINGS[file].sources)}.",
    ]


def limits() -> list[str]:
    """The blocks at the page's end: what no picture of this kind can say."""
    return ["## Before you believe a map", SANITY, LIMITS, f"Source: {ADEBAYO}."]
