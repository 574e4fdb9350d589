"""Augmentation: every training image is turned, moved and bent a little, each time differently.

What is drawn for an image (`tinynet.distortions`) says by how much its strokes first grow, or shrink: each
pixel goes towards the largest, or the smallest, of itself and its eight neighbours. It then says, for each
new pixel, where in the old image that comes from:

    (row, column) = M⁻¹ (p - centre - shift) + centre + displacement(p)

with M the rotation, shear and scale of the image's content. The old image is read there between its four
nearest pixels, as if zeros lay around it; then the contrast is changed and a rectangle erased. No flips: a
mirrored 2 is no digit.

Places are whole numbers of 65536ths of a pixel, and all random numbers come from a key: an image is the same
on every backend, with any number of threads, and again after a resume. uint8 pixels are so bit for bit;
floating ones differ between backends in their last digits.

What makes one image of two stands in `mixing`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tinynet.backends.base import Backend
from tinynet.checks import Checked, real
from tinynet.distortions import PIXEL, Distortions, Limits
from tinynet.errors import DTypeError, ShapeError
from tinynet.rng import Key
from tinynet.types import Array

TAPS = 256
"""The most that the elastic taps sum to."""
DTYPES = ("uint8", "float32", "float64")
LIMITS: dict[str, tuple[float, float]] = {
    "rotation": (0, 180),
    "shift": (0, 1),
    "scale": (0, 0.9),
    "shear": (0, 60),
    "elastic": (0, 20),
    "smoothness": (0.5, 16),
    "contrast": (0, 1),
    "erase": (0, 0.9),
    "stroke": (0, 4),
    "mixup": (0, 100),
    "cutmix": (0, 100),
}
NO_DISTORTIONS = ("smoothness", "mixup", "cutmix")
"""Settings that distort no image by themselves."""


@dataclass(frozen=True)
class Augmentation(Checked):
    """How far images are distorted, at the most; 0 is not at all. Each image draws evenly within the limits.

    Sources: Simard, Steinkraus, Platt, "Best practices for convolutional neural networks", ICDAR 2003
    (elastic); Zhong et al., "Random erasing data augmentation", AAAI 2020 (erase); Sternberg, "Grayscale
    morphology", Computer Vision, Graphics, and Image Processing 35, 1986 (stroke: dilation and erosion).
    """

    rotation: float = 0.0
    """Degrees to either side, about the centre."""
    shift: float = 0.0
    """Share of the height up or down, and of the width left or right."""
    scale: float = 0.0
    """0.1: the content is drawn 0.9 to 1.1 times as large."""
    shear: float = 0.0
    """Degrees that upright strokes lean to either side."""
    elastic: float = 0.0
    """Pixels by which the image's middle is displaced, root mean square, in each direction. Not a limit.

    Simard's α = 34 at σ = 4 is 1.4 pixels.
    """
    smoothness: float = 4.0
    """Pixels over which neighbours are displaced alike: the σ of the Gaussian over the random field."""
    contrast: float = 0.0
    """0.2: differences from the image's mean are multiplied by 0.8 to 1.2; uint8 pixels stay in 0 … 255."""
    erase: float = 0.0
    """Largest share of the area that is blanked out, one rectangle an image, to whole rows and columns."""
    stroke: float = 0.0
    """Pixels by which bright strokes grow on each side, at the most; they shrink by up to half as many."""
    mixup: float = 0.0
    """The α of Beta(α, α), by which each image is blended with another one, and its target: see `mixing`."""
    cutmix: float = 0.0
    """The same, but a rectangle of the other image replaces this one's. With both, each image has one."""

    def check_settings(self) -> None:
        for name, (low, high) in LIMITS.items():
            self.settle(name, real, least=low, most=high)

    @property
    def distorts(self) -> bool:
        """Whether single images change."""
        return any(getattr(self, name) for name in LIMITS if name not in NO_DISTORTIONS)

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with others."""
        return self.mixup > 0 or self.cutmix > 0

    def check(self, images: Array) -> None:
        """Raise unless these are images (N, H, W, C) of a dtype that can be augmented."""
        if images.ndim != 4:
            raise ShapeError(
                "augmentation distorts images",
                expected="samples (N, height, width, channels)",
                received=images.shape,
                fix="reshape the samples and let the model begin with Flatten, or do without augmentation",
            )
        if images.dtype not in DTYPES:
            expected = ", ".join(DTYPES)
            raise DTypeError(
                "these images cannot be augmented",
                expected=expected,
                received=images.dtype,
                fix="convert them: to uint8 if they hold 0 … 255, else to float32",
            )

    def draw(
        self, key: Key, count: int, size: tuple[int, int], backend: Backend, first: int | Array = 0
    ) -> Distortions:
        """What is done to `count` images of `size` (H, W), from number `first` on; on the backend's device.

        It may be in buffers of the backend's, which are written anew the next time.
        """
        limits = Limits(*(getattr(self, name) for name in Limits._fields))
        return backend.distortions(key, first, count, size, limits)

    def apply(self, images: Array, drawn: Distortions, key: Key, backend: Backend, before: int = 0) -> Array:
        """`images` (N, H, W, C) as `drawn`, all on the backend's device; `key` is for the displacement of a
        batch, in which there are so many images `before` these.

        The result may be in a buffer of the backend's, which is written anew the next time.
        """
        bend, (places, contrast, erased, growth) = None, drawn
        if self.stroke:
            images = backend.grow(images, growth, math.ceil(self.stroke))
        if self.elastic:
            taps, gain = self._blur
            N, H, W = images.shape[:3]
            odd = before % 2  # an image takes 2 H W bytes, two of them whole words
            key = key._replace(first=(before - odd) * H * W // 2)
            bend = backend.displacement(key, (odd + N, H, W), backend.asarray(taps), gain)[odd:]
        return backend.warp(images, places, contrast, erased, bend)

    @cached_property
    def _blur(self) -> tuple[Array, float]:
        taps = gaussian(self.smoothness)
        return taps, self.elastic * PIXEL / spread(taps)


def gaussian(sigma: float) -> Array:
    """The Gaussian's weights at distances 0, 1, …, whole numbers in float32: both sides sum to 256 at most.

    Random numbers below 256 can then be weighted along rows and columns without any sum reaching 2²⁴, where
    float32 begins to round: the same bits whatever the order of summation.
    """
    distance = np.arange(math.ceil(4 * sigma) + 1)
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    taps = np.floor(TAPS * weights / (2 * weights.sum() - weights[0]))
    return taps[taps > 0].astype(np.float32)


def spread(taps: Array) -> float:
    """The deviation of odd random numbers in ±255 after weighting with `taps` along rows and columns."""
    squares = float(2 * (taps**2).sum() - taps[0] ** 2)
    return math.sqrt((256**2 - 1) / 3) * squares
