"""dx by windows added into the image, against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from convolutions import assert_like_reference, assert_same_bits_on_any_number_of_threads, normal
from hypothesis import given, settings
from hypothesis import strategies as st

from tinynet.backends.cpu_convolution.scatter import MIN_HEIGHT, Scatter
from tinynet.backends.numba_ import NumbaBackend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.backends.workspace import Memory
from tinynet.geometry import Window
from tinynet.kernels.cpu import brgemm

WINDOW = Window((5, 5))


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used wherever it can be."""
    monkeypatch.setattr(
        Scatter, "is_faster", lambda self, itemsize: len(self.tile(itemsize)[0]) >= MIN_HEIGHT
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("C", [1, 20])
@pytest.mark.parametrize(
    "window",
    [WINDOW, Window((3, 3), (2, 1), ((1, 0), (2, 1))), Window((2, 5), (3, 2)), Window((1, 1), (2, 2))],
)
def test_every_vector_width(always: None, vector_bits: int, dtype: str, C: int, window: Window) -> None:
    x, W = normal((14, 9, 11, C), 0, dtype), normal((*window.size, C, 7), 1, dtype)
    assert_like_reference(NumbaBackend("direct"), x, W, window)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_size_stride_and_padding(data: st.DataObject) -> None:
    small = st.integers(1, 4)
    size, stride = data.draw(st.tuples(small, small)), data.draw(st.tuples(small, small))
    padding = data.draw(st.tuples(*[st.tuples(small, small)] * 2))
    N, C = data.draw(st.sampled_from((1, 4, 7, 14, 30))), data.draw(st.sampled_from((1, 5, 17)))
    x, W = normal((N, 6, 5, C), 0, "float32"), normal((*size, C, 9), 1, "float32")
    window, ops = Window(size, stride, padding), NumpyBackend()
    y, saved = ops.conv2d(x, W, np.zeros(9, "float32"), window)
    dy, found = normal(y.shape, 2, "float32"), np.full_like(x, np.nan)
    expected = ops.conv2d_backward(dy, saved, W, np.empty_like(W), np.empty(9, "float32"), window, True)
    Scatter(x.shape, W.shape, window, Memory())(dy, W, found)
    assert expected is not None
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_bits_do_not_depend_on_the_number_of_threads(always: None) -> None:
    x, W = normal((28, 10, 12, 6), 0, "float32"), normal((5, 5, 6, 16), 1, "float32")
    assert_same_bits_on_any_number_of_threads(NumbaBackend("direct"), x, W, WINDOW)


@pytest.mark.skipif(brgemm.vector_bits() != 512, reason="by the lanes of this width")
def test_where_it_is_used() -> None:
    def is_faster(x: tuple[int, ...], W: tuple[int, ...], window: Window) -> bool:
        return Scatter(x, W, window, Memory()).is_faster(4)

    assert is_faster((64, 14, 14, 6), (5, 5, 6, 16), WINDOW)
    assert is_faster((64, 28, 28, 1), (5, 5, 1, 6), WINDOW)
    assert not is_faster((61, 14, 14, 6), (5, 5, 6, 16), WINDOW)  # 61 images fill no tile
    same = Window((3, 3), padding=((1, 1), (1, 1)))
    assert not is_faster((64, 28, 28, 32), (3, 3, 32, 32), same)  # full vectors, few zeros around dy
