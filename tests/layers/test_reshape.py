"""Flatten, Reshape and Rescale: values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from one_layer import DTYPES, built, forward

from tinynet import layers as L


def test_flatten_and_reshape_keep_the_order(backend: str) -> None:
    x = np.arange(12.0).reshape(1, 2, 3, 2)
    np.testing.assert_array_equal(forward(built(L.Flatten(), (2, 3, 2), backend), x), [np.arange(12)])
    y = forward(built(L.Reshape((4, 3)), (2, 3, 2), backend), x)
    np.testing.assert_array_equal(y, np.arange(12).reshape(1, 4, 3))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rescale_takes_raw_pixels_to_the_dtype_of_the_model(dtype: str, backend: str) -> None:
    pixels = np.array([[0, 51, 255]], np.uint8)
    y = forward(built(L.Rescale(), (3,), backend, dtype), pixels)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, [[0, 0.2, 1]], rtol=1e-6)
    y = forward(built(L.Rescale(2.0, -1.0), (3,), backend, dtype), np.array([[0.0, 0.5, 1.0]], np.float64))
    assert y.dtype == dtype
    np.testing.assert_allclose(y, [[-1, 0, 1]])


@pytest.mark.parametrize("given", [np.int64, np.uint8, np.bool_, np.float16, np.float32])
def test_rescale_takes_any_real_dtype(given: type, backend: str) -> None:
    y = forward(built(L.Rescale(3.0, 1.0), (2,), backend, "float32"), np.array([[0, 1]], given))
    np.testing.assert_array_equal(y, np.array([[1, 4]], np.float32))
