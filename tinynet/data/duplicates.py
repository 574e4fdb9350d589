"""Which images occur in another set, by a hash of their pixels: a test image seen in training tests nothing.

Kaggle's digits are MNIST's 70,000 under another order, so a net trained on all of MNIST has seen the whole
of Kaggle's test.csv, and its score there says nothing.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np

from tinynet.errors import ShapeError
from tinynet.types import Array


def overlap(images: Array, others: Array) -> Array:
    """Whether each image occurs among the others, pixel for pixel: bool (N,).

    images (N, …)   others (M, …)   both uint8, of one number of pixels: (28, 28, 1) and (784,) agree

    An image that was changed in a single pixel counts as another one. Raises ShapeError for anything else.
    """
    if images.dtype != np.uint8 or others.dtype != np.uint8 or _pixels(images) != _pixels(others):
        raise ShapeError(
            "these images cannot be compared pixel by pixel",
            expected="uint8 images of one size",
            received=f"{images.dtype} {images.shape} and {others.dtype} {others.shape}",
            fix="compare images as they were read, before scaling",
        )
    known = {_digest(image) for image in others}
    return np.array([_digest(image) in known for image in images], dtype=bool)


def _pixels(images: Array) -> int:
    return math.prod(images.shape[1:])


def _digest(image: Array) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()
