"""A convolution of drawn numbers, there and back, beside the reference's."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import threads
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.geometry import Window


def normal(shape: tuple[int, ...], seed: int = 0, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def both_ways(ops: Any, x: Any, W: Any, window: Window) -> list[np.ndarray]:
    """y, dx, dW and db of a convolution whose bias and output gradient are random."""
    dtype = str(x.dtype)
    y, saved = ops.conv2d(x, W, normal(W.shape[3:], 2, dtype), window)
    dW, db = np.empty_like(W), np.empty_like(W[0, 0, 0])
    dx = ops.conv2d_backward(normal(y.shape, 3, dtype), saved, W, dW, db, window, True)
    return [y, dx, dW, db]


def assert_like_reference(
    ops: Any, x: np.ndarray, W: np.ndarray, window: Window, tolerance: float = 1e-5
) -> None:
    """Against the reference in float64: within `tolerance`, or 1e-12, of the largest value of each."""
    exact = both_ways(NumpyBackend(), x.astype("float64"), W.astype("float64"), window)
    tolerance = tolerance if x.dtype == np.float32 else 1e-12
    for found, expected in zip(both_ways(ops, x, W, window), exact, strict=True):
        limit = tolerance * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found, expected, rtol=0, atol=limit)


def assert_same_bits_on_any_number_of_threads(ops: Any, x: np.ndarray, W: np.ndarray, window: Window) -> None:
    results = []
    for count in (1, 2, 3):
        with threads.limit(count):
            results.append(both_ways(ops, x, W, window))
    for one, *others in zip(*results, strict=True):
        for other in others:
            np.testing.assert_array_equal(one, other)
