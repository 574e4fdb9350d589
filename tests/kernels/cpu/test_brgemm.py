"""The product tile at every vector width, and the convolutions made of it, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinynet import threads
from tinynet.backends.cpu_convolution.direct import Direct
from tinynet.backends.numba_ import ALGORITHMS, MAX_CONVOLUTIONS, NumbaBackend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.geometry import Window
from tinynet.kernels.cpu import brgemm

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
REFERENCE = NumpyBackend()


@pytest.fixture(params=[512, 256, 128])
def vector_bits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Forces a vector width. Widths the processor lacks are split by the compiler: slow there, but right."""
    monkeypatch.setenv(brgemm.VARIABLE, str(request.param))
    for remembered in (brgemm.vector_bits, brgemm.tile_for):
        remembered.cache_clear()
    yield request.param
    for remembered in (brgemm.vector_bits, brgemm.tile_for):
        remembered.cache_clear()


def numbers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    size = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[str(expected.dtype)] * size)


def both_ways(ops: Any, x: Any, W: Any, window: Window) -> list[np.ndarray]:
    y, saved = ops.conv2d(x, W, numbers(W.shape[3:], str(W.dtype), 3), window)
    dW, db = np.empty_like(W), np.empty_like(W[0, 0, 0])
    dx = ops.conv2d_backward(numbers(y.shape, str(x.dtype), 4), saved, W, dW, db, window, True)
    return [y, dx, dW, db]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("N", "I", "O"), [(1, 1, 1), (3, 7, 5), (13, 40, 33), (29, 31, 70), (66, 65, 1024)])
def test_dense_at_every_width(vector_bits: int, dtype: str, N: int, I: int, O: int) -> None:
    x, W, b = numbers((N, I), dtype), numbers((I, O), dtype, 1), numbers((O,), dtype, 2)
    dy = numbers((N, O), dtype, 3)
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
    x, W = numbers((3, 9, 11, C), dtype), numbers((3, 3, C, 37), dtype, 1)
    window = Window((3, 3), stride, padding)
    results = [both_ways(ops, x, W, window) for ops in (NumbaBackend(), REFERENCE)]
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected)


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
    x = numbers((data.draw(st.integers(1, 5)), *sizes, C), dtype)
    W = numbers((*size, C, F), dtype, 1)
    window = Window(size, stride, padding)
    results = [both_ways(ops, x, W, window) for ops in (NumbaBackend(algorithm), REFERENCE)]
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_bits_do_not_depend_on_the_number_of_threads(algorithm: str, stride: int) -> None:
    x, W = numbers((37, 12, 13, 16), "float32"), numbers((3, 3, 16, 40), "float32", 1)
    window, results = Window((3, 3), (stride, stride), ((1, 1), (1, 1))), []
    for count in (1, 2, 3):
        with threads.limit(count):
            results.append(both_ways(NumbaBackend(algorithm), x, W, window))
    for one, two, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


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
    ops, W, window = NumbaBackend("direct"), numbers((3, 3, 4, 5), "float32"), Window((3, 3))
    for images in (2, 3, 2, 3):
        both_ways(ops, numbers((images, 6, 6, 4), "float32"), W, window)
    assert made == [(2, 6, 6, 4), (3, 6, 6, 4)]
    for images in range(1, MAX_CONVOLUTIONS + 2):  # no more are kept
        both_ways(ops, numbers((images, 3, 3, 4), "float32"), W, window)
    assert len(ops.convolutions) <= MAX_CONVOLUTIONS
