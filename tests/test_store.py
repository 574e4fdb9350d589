"""The flat buffers: order, alignment, views, counts, and what they hold at first."""

from __future__ import annotations

import numpy as np
import pytest

from tinynet import layers as L
from tinynet.model import Sequential
from tinynet.params import Spec


def small_model(backend: str = "numpy", dtype: str = "float32", seed: int = 0) -> Sequential:
    layers = [L.Conv2D(3, 3), L.BatchNorm(), L.ReLU(), L.Flatten(), L.Dense(5, l2=0.1), L.Dense(2)]
    return Sequential(layers, (6, 6, 1), backend=backend, dtype=dtype, seed=seed)


def test_kernels_come_first_and_the_rest_in_the_order_of_the_layers() -> None:
    store = small_model().store
    assert list(store.specs) == [
        "conv2d_1.W",
        "dense_1.W",
        "dense_2.W",
        "conv2d_1.b",
        "batchnorm_1.gamma",
        "batchnorm_1.beta",
        "dense_1.b",
        "dense_2.b",
    ]
    assert list(store.state_specs) == ["batchnorm_1.mean", "batchnorm_1.variance"]


def test_the_decayed_prefix_holds_the_kernels_and_nothing_else() -> None:
    store = small_model().store
    store.values.flat[...] = 0
    store.values.flat[: store.decayed] = 1
    for name, view in store.values.views.items():
        np.testing.assert_array_equal(view, 1 if name.endswith(".W") else 0)


def test_without_kernels_nothing_is_decayed_and_without_others_everything() -> None:
    assert Sequential([L.BatchNorm()], (3,), backend="numpy").store.decayed == 0
    empty = Sequential([L.ReLU()], (3,), backend="numpy").store
    assert (empty.decayed, empty.count, empty.values.size) == (0, 0, 0)


@pytest.mark.parametrize(("dtype", "unit"), [("float32", 16), ("float64", 8)])
def test_every_tensor_starts_on_a_cache_line(backend: str, dtype: str, unit: int) -> None:
    store = small_model(backend, dtype).store
    for buffer in (store.values, store.grads, store.state):
        assert buffer.flat.dtype == dtype
        assert all(offset % unit == 0 for offset in buffer.offsets.values())
        assert buffer.size % unit == 0
    # conv 9·3 = 27 numbers, dense 48·5 = 240 and 5·2 = 10, each rounded up to whole lines
    expected = {16: [0, 32, 272], 8: [0, 32, 272]}[unit]
    assert list(store.values.offsets.values())[:3] == expected


@pytest.mark.parametrize("which", ["values", "grads", "state"])
def test_views_share_the_memory_of_the_flat_buffer(backend: str, which: str) -> None:
    model = small_model(backend)
    buffer = getattr(model.store, which)
    buffer.flat[...] = model.backend.asarray(np.arange(buffer.size))
    for name, view in buffer.views.items():
        assert model.backend.xp.shares_memory(view, buffer.flat)
        assert view.ravel()[0] == buffer.offsets[name]
        view[...] = -1
    assert (buffer.flat == -1).sum() == sum(view.size for view in buffer.views.values())


def test_counts_leave_padding_out() -> None:
    store = small_model().store
    assert store.count == (9 * 3 + 3) + (3 + 3) + (48 * 5 + 5) + (5 * 2 + 2)
    assert store.state_count == 3 + 3
    assert Spec("W", (3, 3, 2, 4), "zeros").size == 72


def test_gradients_start_at_0_and_values_at_their_initialiser() -> None:
    store = small_model().store
    assert not store.grads.flat.any()
    for name, view in store.values.views.items():
        kind = name.split(".")[1]
        if kind == "W":
            assert view.std() > 0
        else:
            np.testing.assert_array_equal(view, 1 if kind == "gamma" else 0)
    np.testing.assert_array_equal(store.state.views["batchnorm_1.mean"], 0)
    np.testing.assert_array_equal(store.state.views["batchnorm_1.variance"], 1)


def test_the_seed_fixes_the_weights_on_every_backend(backend: str) -> None:
    first, model = small_model("numpy").store.values.flat, small_model(backend)
    np.testing.assert_array_equal(model.backend.to_host(model.store.values.flat), first)
    other = small_model(backend, seed=1).store.values.views
    assert (other["dense_1.W"] != small_model(backend).store.values.views["dense_1.W"]).mean() > 0.99


def test_layers_of_one_shape_start_apart() -> None:
    model = Sequential([L.Dense(4), L.Dense(4)], (4,), backend="numpy")
    assert (model.layers[0].params.W != model.layers[1].params.W).all()
