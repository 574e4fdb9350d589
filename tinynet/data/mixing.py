"""Mixing: training images that are two at once, with targets to match.

    mixup:   x = λ xₐ + (1 - λ) x_b                             t = λ tₐ + (1 - λ) t_b
    cutmix:  x = x_b in a rectangle, xₐ around it               the same, λ being the share of xₐ's pixels

with λ ~ Beta(α, α), drawn for each image. (mixup: Zhang et al., "mixup: beyond empirical risk minimization",
2018, equations 1 and 2. cutmix: Yun et al., "CutMix: regularization strategy to train strong classifiers with
localizable features", 2019, equations 1 and 2.)

As mixup's paper says, both images are drawn at random from the training set: whatever the batch, and however
many processes share it, an image has the same partner. The authors' programs take it from the same batch.
cutmix's rectangle has the sides H √(1 - λ) and W √(1 - λ), to whole pixels, and lies within the image; that
of the authors' program is cut off at the edges. λ is then counted anew from its pixels. In mixup λ is a whole
number of 256ths, so uint8 pixels are the same bit for bit on every backend.
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np

from tinynet.backends.base import Backend
from tinynet.distortions import WHOLE, rectangles
from tinynet.rng import Key, uniform
from tinynet.types import Array

KNOTS = 4097
"""Places at which a Beta distribution is tabulated: its quantiles are right to 1e-4."""


class Mixtures(NamedTuple):
    """How each of N images is mixed with its partner."""

    inside: Array
    """int64 (N,): the weight of the image itself within the rectangle, in 256ths."""
    outside: Array
    """int64 (N,): the same around it."""
    rectangle: Array
    """int64 (N, 4): [top, bottom) × [left, right)."""
    share: Array
    """float64 (N,): λ, the share of the image's own target."""

    def rows(self, first: int, stop: int) -> Mixtures:
        """Those of the images [first, stop)."""
        return Mixtures(*(array[first:stop] for array in self))

    def on(self, backend: Backend) -> Mixtures:
        """The same on the backend's device."""
        return Mixtures(*map(backend.asarray, self))


def draw(mixup: float, cutmix: float, key: Key, count: int, size: tuple[int, int]) -> Mixtures:
    """How `count` images of `size` (H, W) are mixed, on the host.

    mixup, cutmix: the α of each; 0 is not at all. Where neither is 0 each image has one of them, at random.
    """
    u = uniform(key, (count, 4)).T
    is_cut = u[0] < (0.5 if mixup and cutmix else float(cutmix > 0))
    share = np.where(is_cut, beta(cutmix, u[1]), beta(mixup, u[1]))
    weight = np.rint(WHOLE * share).astype(np.int64)
    cut = rectangles(size, np.where(is_cut, 1 - share, 0), np.asarray(size[0] / size[1]), u[2], u[3])
    area = (cut[:, 1] - cut[:, 0]) * (cut[:, 3] - cut[:, 2]) / (size[0] * size[1])
    return Mixtures(
        np.where(is_cut, 0, weight),
        np.where(is_cut, WHOLE, weight),
        cut,
        np.where(is_cut, 1 - area, weight / WHOLE),
    )


def beta(alpha: float, u: Array) -> Array:
    """Quantiles of Beta(α, α) at u in [0, 1), float64 (N,); 1 for α = 0, where nothing is to be mixed.

    The density is xᵅ⁻¹ (1 - x)ᵅ⁻¹ but for a factor, the same to both sides of ½. Below that it is added up
    over t with 2x = t for α ≥ 1, or t^(1/α) for less: the density over t, tᵅ⁻¹ (2 - 2x)ᵅ⁻¹ or (2 - 2x)ᵅ⁻¹, is
    then finite.
    """
    if not alpha:
        return np.ones_like(u)
    t = np.linspace(0, 1, KNOTS)
    x = t ** max(1, 1 / alpha) / 2
    density = t ** (max(1, alpha) - 1) * (2 - 2 * x) ** (alpha - 1)
    below = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    lower = np.interp(1 - np.abs(2 * u - 1), below / below[-1], x)
    return np.where(u < 0.5, lower, 1 - lower)


def mix(images: Array, partners: Array, drawn: Mixtures, xp: ModuleType) -> Array:
    """`images` (N, H, W, C) mixed with their partners of that shape and dtype, as drawn; all on one device.

    Of uint8 the result is rounded, a half upwards.
    """
    i, j = (xp.arange(length) for length in images.shape[1:3])
    top, bottom, left, right = (drawn.rectangle[:, k, None] for k in range(4))
    is_inside = ((top <= i) & (i < bottom))[:, :, None] & ((left <= j) & (j < right))[:, None, :]
    is_whole = images.dtype == "uint8"
    number = "uint16" if is_whole else images.dtype  # all sums of whole ones are below 2¹⁶
    inside, outside = (each.astype(number)[:, None, None] for each in (drawn.inside, drawn.outside))
    weight = xp.where(is_inside, inside, outside)[..., None]
    if not is_whole:
        return (weight * images + (WHOLE - weight) * partners) / WHOLE
    sums = weight * images + (WHOLE - weight) * partners + WHOLE // 2
    return (sums >> 8).astype("uint8")


def mix_targets(
    own: Array, others: Array, share: Array, weights: tuple[Array, Array] | None, xp: ModuleType
) -> tuple[Array, ...]:
    """Targets (N, K) of mixed images, from their own and their partners' (N, K), and λ, `share` (N,).

    With the `weights` v of the images and of their partners, (N,) each, the loss of a mixture is
    λ v L(t) + (1 - λ) v' L(t'): the second array has its weight, λ v + (1 - λ) v'.
    """
    parts = (share, 1 - share) if weights is None else (share * weights[0], (1 - share) * weights[1])
    total = parts[0] + parts[1]
    mixed = parts[0][:, None] * own + parts[1][:, None] * others
    if weights is None:
        return (mixed,)
    return mixed / xp.where(total > 0, total, 1)[:, None], total
