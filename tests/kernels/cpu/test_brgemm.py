"""The product tile at every vector width, and the convolutions made of it, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from convolutions import assert_like_reference, assert_same_bits_on_any_number_of_threads, both_ways, normal
from hypothesis import given, settings
from hypothesis import strategies as st

from tinynet.backends.cpu_convolution.direct import Direct
from tinynet.backends.numba_ import ALGORITHMS, MAX_CONVOLUTIONS, NumbaBackend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.geometry import Window
from tinynet.kernels.cpu import brgemm

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
REFERENCE = NumpyBackend()


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    size = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[str(expected.dtype)] * size)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("N", "I", "O"), [(1, 1, 1), (3, 7, 5), (13, 40, 33), (29, 31, 70), (66, 65, 1024)])
def test_dense_at_every_width(vector_bits: int, dtype: str, N: int, I: int, O: int) -> None:
    x, W, b = normal((N, I), 0, dtype), normal((I, O), 1, dtype), normal((O,), 2, dtype)
    dy = normal((N, O), 3, dtype)
    results = []
    for ops in (NumbaBackend(), REFERENCE):
        dW, db = np.empty_like(W), np.empty_like(b)
        dx = ops.dense_backward(dy, x, W, dW, db, True)
        results.append([ops.dense(x, W, b), dx, dW, db])
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("C", [1, 3, 20])
@pytest.mark.parametrize(
    ("stride", "padding"),
    [
        ((1, 1), ((0, 0), (0, 0))),
        ((1, 1), ((1, 1), (1, 1))),
        ((1, 1), ((0, 2), (1, 0))),
        ((2, 2), ((0, 0), (0, 0))),
    ],
)
def test_convolution_at_every_width(vector_bits: int, dtype: str, C: int, stride: Any, padding: Any) -> None:
    x, W = normal((3, 9, 11, C), 0, dtype), normal((3, 3, C, 37), 1, dtype)
    assert_like_reference(NumbaBackend(), x, W, Window((3, 3), stride, padding))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_all_algorithms_agree_with_the_reference(algorithm: str, data: st.DataObject) -> None:
    extent = st.integers(1, 4)
    size, stride = data.draw(st.tuples(extent, extent)), data.draw(st.tuples(extent, extent))
    pad = st.integers(0, 4)  # more than the window, too
    padding = data.draw(st.tuples(st.tuples(pad, pad), st.tuples(pad, pad)))
    sizes = [
        data.draw(st.integers(max(1, extent - sum(pads)), 9))
        for extent, pads in zip(size, padding, strict=True)
    ]
    C, F = data.draw(st.sampled_from((1, 4, 17))), data.draw(st.sampled_from((1, 5, 33)))
    dtype = data.draw(st.sampled_from(("float32", "float64")))
    x = normal((data.draw(st.sampled_from((1, 2, 3, 4, 5, 8, 14))), *sizes, C), 0, dtype)
    W = normal((*size, C, F), 1, dtype)
    assert_like_reference(NumbaBackend(algorithm), x, W, Window(size, stride, padding))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_bits_do_not_depend_on_the_number_of_threads(algorithm: str, stride: int) -> None:
    x, W = normal((37, 12, 13, 16), 0, "float32"), normal((3, 3, 16, 40), 1, "float32")
    window = Window((3, 3), (stride, stride), ((1, 1), (1, 1)))
    assert_same_bits_on_any_number_of_threads(NumbaBackend(algorithm), x, W, window)


@given(
    rows=st.integers(1, 3000), columns=st.integers(1, 600), itemsize=st.sampled_from((4, 8))
)  # fmt: skip
def test_a_tile_fits_the_rows_and_the_registers(rows: int, columns: int, itemsize: int) -> None:
    tile = brgemm.tile_for(rows, columns, itemsize)
    height, vectors, lanes = map(len, tile)
    registers = 32 if brgemm.vector_bits() == 512 else 16
    assert 1 <= height <= rows
    assert height * vectors + vectors + 1 <= max(registers, 32 if brgemm.is_arm() else 0)
    assert lanes * itemsize * 8 == brgemm.vector_bits()


def test_nan_goes_through() -> None:
    x, W = np.ones((2, 5), "float32"), np.ones((5, 3), "float32")
    x[1, 2] = np.nan
    y = NumbaBackend().dense(x, W, np.zeros(3, "float32"))
    assert np.isfinite(y[0]).all()
    assert np.isnan(y[1]).all()


def test_a_convolution_is_made_once_for_each_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, ...]] = []

    class Counted(Direct):
        def __init__(self, x: tuple[int, ...], *rest: Any) -> None:
            made.append(x)
            super().__init__(x, *rest)

    monkeypatch.setitem(ALGORITHMS, "direct", Counted)
    ops, W, window = NumbaBackend("direct"), normal((3, 3, 4, 5), 0, "float32"), Window((3, 3))
    for images in (2, 3, 2, 3):
        both_ways(ops, normal((images, 6, 6, 4), 0, "float32"), W, window)
    assert made == [(2, 6, 6, 4), (3, 6, 6, 4)]
    for images in range(1, MAX_CONVOLUTIONS + 2):  # no more are kept
        both_ways(ops, normal((images, 3, 3, 4), 0, "float32"), W, window)
    assert len(ops.convolutions) <= MAX_CONVOLUTIONS
