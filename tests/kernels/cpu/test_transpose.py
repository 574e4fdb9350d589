"""Squares transposed in registers, at every vector width, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tinynet.kernels.cpu import transpose


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lanes", [2, 4, 8, 16])
@pytest.mark.parametrize("vectors", [1, 2])
@pytest.mark.parametrize(("N", "M"), [(1, 1), (16, 16), (33, 47), (64, 5), (5, 64), (70, 130)])
def test_panels_of_the_transpose(dtype: str, lanes: int, vectors: int, N: int, M: int) -> None:
    width = lanes * vectors
    b = np.random.default_rng(0).standard_normal((N, M)).astype(dtype)
    expected = np.zeros((-(-N // width) * width, M), dtype)
    expected[:N] = b
    panels = np.full((len(expected) // width, M, width), np.nan, dtype)
    transpose.pack_transposed(0, len(panels), b, panels, (None,) * lanes)
    assert np.array_equal(panels, expected.reshape(len(panels), width, M).transpose(0, 2, 1))
