"""Neighbouring pixels computed as one, against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from convolutions import assert_like_reference, assert_same_bits_on_any_number_of_threads, normal

import tinynet as tn
from tinynet.backends.cpu_convolution.neighbours import DirectNeighbours
from tinynet.backends.numba_ import NumbaBackend
from tinynet.backends.workspace import Memory
from tinynet.geometry import Window
from tinynet.kernels.cpu import brgemm, neighbours

SAME = Window((5, 5), padding=((2, 2), (2, 2)))


@pytest.fixture(params=[2, 3, 12])
def count(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """So many neighbours, whatever is the fastest."""
    monkeypatch.setattr(DirectNeighbours, "fastest", lambda *_: request.param)
    number: int = request.param
    return number


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("width", "window"),
    [(12, SAME), (14, Window((3, 3))), (25, Window((2, 3), (1, 2))), (36, Window((3, 2), (2, 3)))],
)
@pytest.mark.parametrize("channels", [(1, 6), (5, 17)])
def test_any_number_of_neighbours(
    count: int, dtype: str, width: int, window: Window, channels: tuple[int, int]
) -> None:
    C, F = channels
    x, W = normal((3, 7, width, C), 0, dtype), normal((*window.size, C, F), 1, dtype)
    assert_like_reference(NumbaBackend("direct"), x, W, window)


def test_every_vector_width(vector_bits: int) -> None:
    x, W = normal((3, 9, 24, 1), 0, "float32"), normal((5, 5, 1, 3), 1, "float32")
    assert_like_reference(NumbaBackend("direct"), x, W, SAME)


def test_bits_do_not_depend_on_the_number_of_threads(count: int) -> None:
    x, W = normal((37, 12, 12, 1), 0, "float32"), normal((5, 5, 1, 6), 1, "float32")
    assert_same_bits_on_any_number_of_threads(NumbaBackend("direct"), x, W, SAME)


def test_spread_and_gather_undo_each_other() -> None:
    W, b = normal((2, 3, 2, 5), 0), normal((5,), 1)
    V, biases = np.full((2, 9, 2, 20), np.nan), np.full(20, np.nan)
    neighbours.spread(0, 2, W, b, 2, V, biases)
    assert np.array_equal(biases, np.tile(b, 4))
    assert np.count_nonzero(V) == 4 * W.size
    found = np.empty_like(W)
    neighbours.gather(0, 2, V, 2, found)
    np.testing.assert_allclose(found, 4 * W, rtol=1e-15)


def test_what_is_kept_of_the_weights_follows_them() -> None:
    def net(backend: str) -> tn.Sequential:
        layers = [tn.Conv2D(6, 5, padding="same"), tn.Flatten(), tn.Dense(2)]
        return tn.Sequential(layers, (12, 12, 1), backend=backend, seed=1)

    model, reference, x = net("numba"), net("numpy"), normal((4, 12, 12, 1))
    for _ in range(2):
        np.testing.assert_allclose(model.predict(x), reference.predict(x), rtol=1e-4, atol=1e-5)
        for each in (model, reference):
            each.fit(x, np.array([0, 1, 0, 1]), epochs=1)


@pytest.mark.skipif(brgemm.vector_bits() != 512, reason="by the lanes of this width")
@pytest.mark.parametrize(
    ("filters", "width", "forward", "gradient"),
    [(6, 28, 2, 4), (8, 28, 2, 4), (32, 28, 1, 1), (6, 29, 1, 1)],
)
def test_how_many(filters: int, width: int, forward: int, gradient: int) -> None:
    made = DirectNeighbours(
        (64, 28, width, 1), (3, 3, 1, filters), Window((3, 3), padding=((1, 1), (1, 1))), Memory()
    )
    counts = [made.fastest(4, time) for time in (made.forward_time, made.gradient_time)]
    assert counts == [forward, gradient]
