"""Images of digits made harder, each time in one way: how many does a net still read?

The idea is that of Mu and Gilmer, "MNIST-C: A robustness benchmark for computer vision", 2019; the ways are
ours.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinynet.backends.base import Backend
from tinynet.distortions import WHOLE, affine
from tinynet.types import Array

NOISE = 50.0
"""The standard deviation of noise, in grey levels."""


def corruptions(images: Array, backend: Backend) -> Iterator[tuple[str, Array]]:
    """What is done, in words, and the images (N, H, W, 1) uint8 to which it was done; first, as they are."""
    levels = images.astype(np.float32)
    noise = np.random.default_rng(0).normal(0, NOISE, images.shape)
    striped = images.copy()
    striped[:, ::4] = 0
    yield "as they are", images
    yield "turned left by 20 degrees", _placed(images, backend, rotation=20)
    yield "turned right by 20 degrees", _placed(images, backend, rotation=-20)
    yield "leaning 20 degrees more to the right", _placed(images, backend, shear=20)
    yield "three quarters as large", _placed(images, backend, scale=0.75)
    yield "3 pixels down and to the right", _placed(images, backend, shift=3)
    yield "a third of the contrast", _bytes(levels / 3)
    yield "blurred: the mean of 3 x 3 pixels, twice", _bytes(_mean(_mean(levels)))
    yield f"with noise, standard deviation {NOISE:.0f} levels", _bytes(levels + noise)
    yield "every fourth row blank", striped


def _placed(
    images: Array,
    backend: Backend,
    *,
    rotation: float = 0,
    shear: float = 0,
    scale: float = 1,
    shift: float = 0,
) -> Array:
    """The images turned to the left and sheared to the right (degrees), scaled, and moved (pixels)."""
    N, H, W = images.shape[:3]

    def each(value: float) -> Array:
        return np.full(N, float(value))

    places = affine(
        (H, W),
        rotation=each(np.radians(rotation)),
        down=each(shift),
        right=each(shift),
        scale=each(scale),
        shear=each(np.radians(shear)),
    )
    drawn = (images, places, np.full(N, WHOLE, np.int64), np.zeros((N, 4), np.int64))
    x, places, contrast, erased = map(backend.asarray, drawn)
    return np.array(backend.to_host(backend.warp(x, places, contrast, erased, None)))


def _mean(levels: Array) -> Array:
    """Of each pixel and the eight around it, zeros around the image."""
    H, W = levels.shape[1:3]
    padded = np.pad(levels, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, i : i + H, j : j + W] for i in range(3) for j in range(3)]
    return np.mean(shifted, axis=0)


def _bytes(levels: Array) -> Array:
    return np.asarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))
