"""Winograd's convolution against the reference and against its own error bound."""

from __future__ import annotations

import numpy as np
import pytest
from convolutions import assert_like_reference, assert_same_bits_on_any_number_of_threads, normal
from hypothesis import given, settings
from hypothesis import strategies as st

from tinynet.backends.cpu_convolution import winograd as driver
from tinynet.backends.numba_ import NumbaBackend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.geometry import Window
from tinynet.kernels.cpu import winograd

SAME, VALID = Window((3, 3), padding=((1, 1), (1, 1))), Window((3, 3))


def assert_like_reference_by_tiles(x: np.ndarray, W: np.ndarray, window: Window) -> None:
    assert_like_reference(NumbaBackend("winograd"), x, W, window, tolerance=1e-4)


def test_the_matrices_convolve() -> None:
    """y = Aᵀ ((G g) ⊙ (Bᵀ d)) is the convolution, for each of the inputs and weights that span all others."""
    for i in range(winograd.SIDE):
        for k in range(winograd.KERNEL):
            d, g = np.eye(winograd.SIDE)[i], np.eye(winograd.KERNEL)[k]
            y = winograd.AT @ ((winograd.G @ g) * (winograd.BT @ d))
            np.testing.assert_allclose(y, np.correlate(d, g, "valid"), atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [(16, 48), (48, 16)])
def test_every_vector_width(vector_bits: int, dtype: str, channels: tuple[int, int]) -> None:
    x, W = normal((3, 7, 6, channels[0]), 0, dtype), normal((3, 3, *channels), 1, dtype)
    assert_like_reference_by_tiles(x, W, SAME)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_size_and_padding(data: st.DataObject) -> None:
    pad = st.integers(0, 4)  # more than the kernel, too
    padding = data.draw(st.tuples(st.tuples(pad, pad), st.tuples(pad, pad)))
    height, width = (data.draw(st.integers(max(1, 3 - sum(pads)), 12)) for pads in padding)
    C, F = data.draw(st.sampled_from((16, 32))), data.draw(st.sampled_from((16, 32, 48)))
    dtype = data.draw(st.sampled_from(("float32", "float64")))
    images = data.draw(st.integers(1, 9))
    assert_like_reference_by_tiles(
        normal((images, height, width, C), 0, dtype),
        normal((3, 3, C, F), 1, dtype),
        Window((3, 3), padding=padding),
    )


def test_a_batch_of_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of images that do not divide the batch: sums go on from block to block."""
    monkeypatch.setattr(driver, "TRANSFORMED_PER_SUM", 1 << 14)
    monkeypatch.setattr(driver, "TRANSFORMED_PER_THREAD", 1 << 14)
    monkeypatch.setattr(driver, "MIN_TILES", 12)
    assert_like_reference_by_tiles(normal((11, 8, 7, 16), 0), normal((3, 3, 16, 32), 1), VALID)


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    x, W = normal((21, 12, 13, 32), 0, "float32"), normal((3, 3, 32, 48), 1, "float32")
    assert_same_bits_on_any_number_of_threads(NumbaBackend("winograd"), x, W, SAME)


@pytest.mark.parametrize("C", [16, 64, 256])
def test_float32_errors_are_within_the_bound(C: int) -> None:
    """The bound that the kernel's text states, and the errors it quotes for normally distributed values."""
    x, W = normal((2, 8, 8, C), 0, "float32"), normal((3, 3, C, 32), 1, "float32")
    zeros = np.zeros(32, "float32")
    y, _ = NumbaBackend("winograd").conv2d(x, W, zeros, SAME)
    exact, _ = NumpyBackend().conv2d(x.astype("float64"), W.astype("float64"), zeros, SAME)
    error, epsilon = np.abs(y - exact), np.finfo("float32").eps

    AT, BT, G = np.abs(winograd.AT), np.abs(winograd.BT), np.abs(winograd.G)
    U = np.einsum("iu,uvcf,jv->ijcf", G, np.abs(W), G)
    padded = np.pad(np.abs(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    bound = np.empty_like(exact)
    for top in (0, 4):
        for left in (0, 4):
            V = np.einsum("ia,nabc,jb->nijc", BT, padded[:, top : top + 6, left : left + 6], BT)
            M = np.einsum("nijc,ijcf->nijf", V, U)
            bound[:, top : top + 4, left : left + 4] = np.einsum("ai,nijf,bj->nabf", AT, M, AT)
    assert (error <= (C + winograd.ROUNDINGS) * epsilon * bound).all()
    assert error.max() <= 250 * epsilon * np.abs(exact).max()


def test_nan_stays_where_it_is_seen() -> None:
    """As in the reference, but for whole tiles: a NaN shows in every output whose window holds it."""
    x, W = np.ones((2, 8, 8, 16), "float32"), np.ones((3, 3, 16, 16), "float32")
    x[1, 4, 4, 3] = np.nan
    zeros = np.zeros(16, "float32")
    y, _ = NumbaBackend("winograd").conv2d(x, W, zeros, SAME)
    reference, _ = NumpyBackend().conv2d(x, W, zeros, SAME)
    assert np.isnan(y[np.isnan(reference)]).all()
    assert np.isfinite(y[0]).all()


def test_what_it_does_not_apply_to_is_done_directly() -> None:
    ops, x = NumbaBackend("winograd"), (8, 8, 8, 16)
    assert ops.algorithm_for(x, (3, 3, 16, 16), SAME) == "winograd"
    fives = Window((5, 5), padding=((2, 2), (2, 2)))
    apart = Window((3, 3), (2, 1), SAME.padding)
    for W, window in (((5, 5, 16, 16), fives), ((3, 3, 16, 16), apart), ((3, 3, 15, 16), SAME)):
        assert ops.algorithm_for(x, W, window) == "direct"
        assert NumbaBackend().algorithm_for(x, W, window) == "direct"
    chosen = {
        ((32, 14, 14, 128), 128): "winograd",
        ((1, 7, 7, 128), 128): "direct",
        ((64, 32, 32, 32), 32): "winograd",
        ((64, 10, 10, 32), 32): "direct",
        ((64, 32, 32, 16), 32): "direct",
    }
    for (x, filters), algorithm in chosen.items():
        assert NumbaBackend().algorithm_for(x, (3, 3, x[-1], filters), SAME) == algorithm
