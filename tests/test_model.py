"""Sequential: a stack forward and backward, prediction, the L2 penalty, summary and configuration."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nets import counted

import tinynet as tn
from tinynet import layers as L
from tinynet.checkpoint import weights_sha256
from tinynet.errors import ConfigError, DTypeError, ShapeError
from tinynet.layers.base import Layer
from tinynet.model import Sequential
from tinynet.rng import Key, uniform
from tinynet.types import Array


def cnn(backend: str, dtype: str = "float32", seed: int = 0) -> Sequential:
    layers: list[Layer] = [
        L.Rescale(),
        L.Conv2D(4, 3, padding="same", init="he_normal"),
        L.BatchNorm(),
        L.ReLU(),
        L.MaxPool2D(),
        L.Dropout(0.5),
        L.Flatten(),
        L.Dense(5, l2=0.1),
    ]
    return Sequential(layers, (6, 6, 1), backend=backend, dtype=dtype, seed=seed)


def pixels(n: int) -> Array:
    return (uniform(Key(5, 0), (n, 6, 6, 1)) * 256).astype(np.uint8)


def test_forward_and_backward_by_hand(backend: str) -> None:
    model = counted(backend)
    host = model.backend.to_host
    x = model.backend.asarray(np.array([[1.0, 2.0]]))
    y, tape = model.forward(x, train=True)
    np.testing.assert_allclose(host(y), [[7]])  # hidden 3 and -1, so 2 · 3 + 1
    dx = model.backward(model.backend.asarray(np.array([[1.0]])), tape, input_gradient=True)
    assert dx is not None
    np.testing.assert_allclose(host(dx), [[2, 2]])
    expected: Any
    for name, expected in {
        "dense_2.W": [[3], [0]],
        "dense_2.b": [1],
        "dense_1.W": [[2, 0], [4, 0]],
        "dense_1.b": [2, 0],
    }.items():
        np.testing.assert_allclose(host(model.store.grads.views[name]), expected, err_msg=name)


def test_gradients_are_written_not_added(backend: str) -> None:
    model = counted(backend)
    x, dy = (model.backend.asarray(np.array(a)) for a in ([[1.0, 2.0]], [[1.0]]))
    for _ in range(2):
        model.backward(dy, model.forward(x, train=True)[1])
    np.testing.assert_allclose(model.backend.to_host(model.store.grads.views["dense_1.b"]), [2, 0])


def test_outputs_and_gradients_can_be_watched(backend: str) -> None:
    """With hidden units 3 and -1; a fused ReLU may show the second as 0 before it is due."""
    model = counted(backend)
    seen: dict[str, list[Any]] = {"outputs": [], "gradients": []}

    def note(key: str) -> Any:
        return lambda position, array: seen[key].append((position, model.backend.to_host(array).tolist()))

    x, dy = (model.backend.asarray(np.array(a)) for a in ([[1.0, 2.0]], [[1.0]]))
    _, tape = model.forward(x, train=True, watch=note("outputs"))
    assert seen["outputs"][0] in [(0, [[3, -1]]), (0, [[3, 0]])]
    assert seen["outputs"][1:] == [(1, [[3, 0]]), (2, [[7]])]
    model.backward(dy, tape, watch=note("gradients"))
    assert seen["gradients"] == [(2, [[1]]), (1, [[2, 5]]), (0, [[2, 0]])]


def test_a_tape_cut_short_takes_a_backward_from_within(backend: str) -> None:
    model = counted(backend)
    x, hidden = (model.backend.asarray(np.array(a)) for a in ([[1.0, 2.0]], [[1.0, 1.0]]))
    _, tape = model.forward(x, train=True)
    before = model.backend.to_host(model.store.grads.views["dense_2.W"]).copy()
    dx = model.backward(hidden, tape.until(2), input_gradient=True)
    assert dx is not None
    np.testing.assert_allclose(model.backend.to_host(dx), [[1, 1]])  # the second hidden unit is off
    np.testing.assert_array_equal(model.backend.to_host(model.store.grads.views["dense_2.W"]), before)
    np.testing.assert_allclose(model.backend.to_host(model.store.grads.views["dense_1.b"]), [1, 0])


def test_backward_stops_at_the_first_layer_that_learns(backend: str) -> None:
    model = cnn(backend)

    def must_not_run(dy: Array, cache: Any) -> Array:
        raise AssertionError("backward went past the first layer that learns")

    y, tape = model.forward(model.backend.asarray(pixels(3)), train=True)
    model.layers[0].backward = must_not_run  # type: ignore[method-assign]
    assert model.backward(model.backend.xp.ones_like(y), tape) is None
    assert not model.layers[1].needs_dx
    assert model.store.grads.views["conv2d_1.W"].any()
    with pytest.raises(AssertionError, match="went past"):
        model.backward(model.backend.xp.ones_like(y), tape, input_gradient=True)


def test_the_input_gradient_reaches_the_input_and_changes_no_other(backend: str) -> None:
    model = cnn(backend, "float64")
    x = model.backend.asarray(pixels(3).astype(float))
    y, tape = model.forward(x, train=True)
    dy = model.backend.xp.ones_like(y)
    model.backward(dy, tape)
    grads = np.array(model.backend.to_host(model.store.grads.flat))
    y, tape = model.forward(x, train=True)
    dx = model.backward(dy, tape, input_gradient=True)
    assert dx is not None
    assert dx.shape == x.shape
    np.testing.assert_allclose(model.backend.to_host(model.store.grads.flat), grads, rtol=1e-12)


def test_a_model_that_learns_nothing_still_has_an_input_gradient(backend: str) -> None:
    model = Sequential([L.Tanh()], (2,), backend=backend, dtype="float64")
    _, tape = model.forward(model.backend.asarray(np.zeros((1, 2))), train=True)
    dy = model.backend.asarray(np.array([[3.0, 4.0]]))
    assert model.backward(dy, tape) is None
    dx = model.backward(dy, tape, input_gradient=True)
    np.testing.assert_allclose(model.backend.to_host(dx), [[3, 4]])  # type: ignore[arg-type]


def test_evaluating_between_forward_and_backward_changes_nothing(backend: str) -> None:
    x, other = pixels(4), pixels(9)[::-1].copy()
    grads = []
    for interrupted in (False, True):
        model = cnn(backend)
        y, tape = model.forward(model.backend.asarray(x), train=True)
        dy = model.backend.asarray(np.array(model.backend.to_host(y)))
        if interrupted:
            model.predict(other, batch_size=4)
        model.backward(dy, tape)
        grads.append(np.array(model.backend.to_host(model.store.grads.flat)))
    np.testing.assert_array_equal(grads[0], grads[1])


# --- predict ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("batch_size", [1, 7, 20, 1000])
def test_batches_predict_what_one_batch_does(batch_size: int, backend: str) -> None:
    model = cnn(backend)
    x = pixels(20)
    whole = np.array(model.backend.to_host(model.forward(model.backend.asarray(x))[0]))
    y = model.predict(x, batch_size=batch_size)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, whole, rtol=1e-5, atol=1e-6)


def test_a_prediction_is_not_overwritten_by_the_next(backend: str) -> None:
    model = cnn(backend)
    first = model.predict(pixels(4))
    copy = first.copy()
    model.predict(255 - pixels(4))
    np.testing.assert_array_equal(first, copy)


def test_predicting_nothing_gives_nothing() -> None:
    assert cnn("numpy").predict(pixels(0)).shape == (0, 5)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_nothing_is_refused(batch_size: int) -> None:
    with pytest.raises(ConfigError, match=rf"at least 1\n  received: batch_size={batch_size}"):
        cnn("numpy").predict(pixels(2), batch_size=batch_size)


def test_prediction_neither_drops_nor_updates(backend: str) -> None:
    model = cnn(backend)
    before = np.array(model.backend.to_host(model.store.state.flat))
    np.testing.assert_array_equal(model.predict(pixels(5)), model.predict(pixels(5)))
    np.testing.assert_array_equal(model.backend.to_host(model.store.state.flat), before)


def test_floats_of_another_width_are_cast(backend: str) -> None:
    model = counted(backend)
    for dtype in ("float16", "float32", "float64"):
        assert model.predict(np.array([[1, 2]], dtype)).tolist() == [[7.0]]


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x.astype(">i2"),
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=0)[::2],
        lambda x: np.concatenate([x, x], axis=2)[:, :, :6],
        lambda x: x[::-1].copy()[::-1],
    ],
    ids=[
        "other byte order",
        "column-major",
        "every other one",
        "columns of more",
        "backwards",
    ],
)
def test_samples_may_lie_in_memory_in_any_way(form: Callable[[Array], Array], backend: str) -> None:
    model, x = cnn(backend), pixels(8)
    np.testing.assert_allclose(model.predict(form(x)), model.predict(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("copy_of", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])  # noqa: S301
def test_a_copy_is_a_model_of_its_own(copy_of: Callable[[Sequential], Sequential], backend: str) -> None:
    model, x = cnn(backend, seed=3), pixels(12)
    run = tn.Trainer(model, (x, np.arange(12) % 5), epochs=1, batch_size=5)
    run.run()
    twin = copy_of(model)
    before = model.predict(x)
    np.testing.assert_array_equal(twin.predict(x), before)
    assert weights_sha256(twin) == weights_sha256(model)
    runs = [tn.Trainer(each, (x, np.arange(12) % 5), epochs=2, batch_size=5).run() for each in (model, twin)]
    assert [r["loss"] for r in runs[0]] == [r["loss"] for r in runs[1]]
    model.store.values.flat[...] = 0
    assert twin.predict(x).any()


def test_a_copy_keeps_what_is_frozen() -> None:
    model = Sequential([L.Dense(3), L.Dense(2)], (4,), freeze="dense_1", backend="numpy")
    assert copy.deepcopy(model).store.frozen == model.store.frozen == {"dense_1.W", "dense_1.b"}


# --- L2 -----------------------------------------------------------------------------------------------------
def test_the_penalty_and_its_gradient_by_hand(backend: str) -> None:
    layers = [L.Dense(2, l2=0.5), L.Dense(1), L.Dense(1, l2=0.25)]
    model = Sequential(layers, (1,), backend=backend, dtype="float64")
    views, grads, host = model.store.values.views, model.store.grads.views, model.backend.to_host
    views["dense_1.W"][...] = model.backend.asarray(np.array([[1.0, -3.0]]))
    views["dense_1.b"][...] = 100.0
    views["dense_3.W"][...] = 2.0
    assert float(model.penalty()) == pytest.approx(0.5 * 10 + 0.25 * 4)
    model.store.grads.flat[...] = 7.0
    assert float(model.regularize()) == pytest.approx(6)
    np.testing.assert_allclose(host(grads["dense_1.W"]), [[7 + 1, 7 - 3]])
    np.testing.assert_allclose(host(grads["dense_3.W"]), [[7 + 1]])
    for untouched in ("dense_1.b", "dense_2.W", "dense_3.b"):
        np.testing.assert_array_equal(host(grads[untouched]), 7)


def test_without_l2_there_is_no_penalty(backend: str) -> None:
    model = counted(backend)
    assert model.penalty() == 0
    assert model.regularize() == 0


# --- configuration and summary ------------------------------------------------------------------------------
def test_a_configuration_builds_the_same_model_again(backend: str) -> None:
    model = cnn(backend, seed=3)
    table = json.loads(json.dumps(model.config()))
    again = Sequential.from_config(table, backend=backend, seed=3)
    assert again.config() == model.config()
    assert again.summary() == model.summary()
    np.testing.assert_array_equal(again.predict(pixels(3)), model.predict(pixels(3)))


def test_a_configuration_says_what_is_wrong_with_it() -> None:
    with pytest.raises(ConfigError, match="unknown layer"):
        Sequential.from_config({"input_shape": [4], "layers": [{"type": "Linear", "units": 3}]})


def test_names_count_within_a_kind_and_labels_carry_them() -> None:
    model = Sequential([L.Dense(2), L.ReLU(), L.Dense(2), L.ReLU()], (2,), backend="numpy")
    assert [layer.name for layer in model.layers] == ["dense_1", "relu_1", "dense_2", "relu_2"]
    assert model.layers[2].label == "Dense 'dense_2'"


# --- what is refused ----------------------------------------------------------------------------------------
def test_a_layer_has_one_place() -> None:
    shared = L.Dense(2)
    with pytest.raises(ConfigError, match=r"Dense already belongs to a model\n  fix: make a new"):
        Sequential([shared, L.ReLU(), shared], (2,), backend="numpy")
    taken = Sequential([L.Dense(2)], (2,), backend="numpy").layers[0]
    with pytest.raises(ConfigError, match="already belongs"):
        Sequential([taken], (2,), backend="numpy")


def test_the_layers_of_a_model_that_could_not_be_built_are_free_again() -> None:
    layers = [L.Dense(2), L.Conv2D(3)]
    with pytest.raises(ShapeError):
        Sequential(layers, (2,), backend="numpy")
    assert Sequential(layers[:1], (2,), backend="numpy").store.count == 6


@pytest.mark.parametrize(
    ("layers", "shape", "says"),
    [
        ([L.Dense], (2,), "a model is made of layers"),
        ([L.Dense(1), "ReLU"], (2,), "a model is made of layers.*\n.*\n  received: 'ReLU'"),
        ([L.Dense(1)], 2, "a tuple, such as"),
    ],
)
def test_what_is_no_layer_or_no_shape_is_refused(layers: Any, shape: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Sequential(layers, shape, backend="numpy")
    Sequential([L.Dense(1)], (2,), backend="numpy")  # and nothing is left behind


def test_an_unknown_dtype_or_backend_and_no_layers_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown dtype\n  expected: float32 or float64\n.*'float16'"):
        Sequential([L.ReLU()], (2,), dtype="float16")
    with pytest.raises(
        ConfigError, match=r"unknown backend\n  expected: auto, numpy, numba, cupy\n.*'torch'"
    ):
        Sequential([L.ReLU()], (2,), backend="torch")
    with pytest.raises(ConfigError, match="at least one layer"):
        Sequential([], (2,))


@pytest.mark.parametrize("shape", [(0,), (28, 0, 1), (-1, 3)])
def test_samples_without_values_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"no values\n  expected: sizes of at least 1\n") as caught:
        Sequential([L.Flatten(), L.Dense(3)], shape)
    assert f"received: {shape}" in str(caught.value)


@pytest.mark.parametrize("dtype", ["complex64", "U1", "datetime64[s]"])
def test_samples_that_are_not_real_numbers_are_refused(dtype: str) -> None:
    with pytest.raises(DTypeError, match=r"real numbers\n  expected: float or integer samples\n  received:"):
        counted("numpy").predict(np.zeros((1, 2), dtype))


def test_integers_need_a_rescale_layer_first() -> None:
    with pytest.raises(DTypeError, match=r"Dense 'dense_1' .* wrong dtype\n.*\n  received: uint8\n.*Rescale"):
        counted("numpy").predict(np.zeros((1, 2), np.uint8))


def test_samples_of_another_shape_are_refused_by_the_first_layer() -> None:
    with pytest.raises(ShapeError, match=r"Dense 'dense_1' .*\n  expected: \(N, 2\)\n  received: \(4, 3\)"):
        counted("numpy").predict(np.zeros((4, 3)))
