"""Every operation of the numba backend against the reference, and what it promises beyond that."""

from __future__ import annotations

import inspect
import tracemalloc
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from operations import (
    CASES,
    KEY,
    LARGE,
    TOLERANCE,
    Draw,
    Geometry,
    assert_close,
    copies,
    every_operation,
    geometries,
)

from tinynet import backends, threads
from tinynet.backends.base import Backend
from tinynet.backends.numba_ import SPLIT_DEPTH_FROM, NumbaBackend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.backends.workspace import Workspace
from tinynet.geometry import Window
from tinynet.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    MaxPool2D,
    ReLU,
    Rescale,
    Residual,
)
from tinynet.model import Sequential
from tinynet.runs import recipe
from tinynet.training import StepEnd, Trainer


# --- tests --------------------------------------------------------------------------------------------------
@every_operation
@settings(deadline=None, max_examples=15)
@given(geometry=geometries())
def test_agrees_with_the_reference(case: Any, geometry: Geometry) -> None:
    ours, reference = (case(ops, Draw(geometry)) for ops in (NumbaBackend(), NumpyBackend()))
    assert_close(ours, reference, geometry.dtype)


@every_operation
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_each_backend_agrees_on_its_own_device(case: Any, dtype: str, backend: str) -> None:
    ops = backends.get(backend)
    for geometry in (Geometry(dtype=dtype), LARGE._replace(dtype=dtype)):
        ours = [ops.to_host(array) for array in case(ops, Draw(geometry, ops.asarray))]
        assert_close(ours, case(NumpyBackend(), Draw(geometry)), dtype)


@every_operation
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_agrees_where_the_work_is_split(case: Any, dtype: str) -> None:
    geometry = LARGE._replace(dtype=dtype)
    with threads.limit(2):
        ours = case(NumbaBackend(), Draw(geometry))
    assert_close(ours, case(NumpyBackend(), Draw(geometry)), dtype)


@every_operation
def test_bits_do_not_depend_on_the_number_of_threads(case: Any) -> None:
    results = []
    for count in (1, 2, 3):
        with threads.limit(count):
            results.append(copies(case(NumbaBackend(), Draw(LARGE))))
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@every_operation
def test_buffers_of_a_workspace_change_nothing(case: Any) -> None:
    bound = NumbaBackend().bound_to(Workspace(), "layer")
    expected = copies(case(NumbaBackend(), Draw(LARGE)))
    for _ in range(2):  # the second time into used buffers
        for mine, theirs in zip(case(bound, Draw(LARGE)), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    "name", sorted(CASES.keys() - {"sgd", "adam", "moving_average", "clip_global_norm"})
)  # those take flat buffers
def test_arrays_need_not_be_contiguous(name: str) -> None:
    class Strided(Draw):
        def __call__(self, *shape: int) -> np.ndarray:
            return np.repeat(super().__call__(*shape), 2, axis=-1)[..., ::2]

    case = CASES[name]
    plain, strided = case(NumbaBackend(), Draw(Geometry())), case(NumbaBackend(), Strided(Geometry()))
    assert_close(strided, plain, "float32")


def test_dense_is_cut_by_columns_too() -> None:
    """The three products of a layer with many more units than samples, and of one with many fewer."""
    for N, I, O in ((5, 700, 900), (900, 300, 64), (600, 1, 700)):
        draw = Draw(Geometry())
        x, W, b, dy = draw(N, I), draw(I, O), draw(O), draw(N, O)
        results = []
        for ops in (NumbaBackend(), NumpyBackend()):
            dW, db = np.empty_like(W), np.empty_like(b)
            results.append([ops.dense(x, W, b), ops.dense_backward(dy, x, W, dW, db, True), dW, db])
        assert_close(results[0], results[1], "float32")


def test_convolution_windows_may_lie_wholly_in_the_padding() -> None:
    geometry = Geometry(H=4, W=3, window=Window((2, 3), (1, 2), ((5, 4), (7, 9))))
    conv2d = CASES["conv2d"]
    assert_close(conv2d(NumbaBackend(), Draw(geometry)), conv2d(NumpyBackend(), Draw(geometry)), "float32")


def test_batchnorm_keeps_its_digits_far_from_zero() -> None:
    """Mean 1000, deviation 1, in float32: as exact as the input allows, compared with float64."""
    x = np.random.default_rng(0).normal(1000.0, 1.0, (50_000, 3)).astype(np.float32)
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    _, mean, variance, _ = NumbaBackend().batchnorm(x, ones, zeros, 1e-5)
    np.testing.assert_allclose(mean, x.mean(axis=0, dtype=np.float64), rtol=1e-7)
    np.testing.assert_allclose(variance, x.var(axis=0, dtype=np.float64), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:(invalid value|overflow):RuntimeWarning")  # with the JIT off
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_exponentials_at_their_limits(dtype: str) -> None:
    x = np.array([-np.inf, -800, -740, -87, -30, -1e-12, -0.0, 0, 1e-12, 20, 88, 800, np.inf], dtype=dtype)
    ours, reference = NumbaBackend(), NumpyBackend()
    tolerance = 10 * float(np.finfo(dtype).eps)
    for name in ("sigmoid", "tanh"):
        np.testing.assert_allclose(
            getattr(ours, name)(x), getattr(reference, name)(x), rtol=tolerance, atol=1e-300
        )
    np.testing.assert_allclose(ours.elu(x, 1.0), reference.elu(x, 1.0), rtol=tolerance, atol=1e-16)
    rows = np.array([[0.0, -30.0, -80.0, -1000.0], [900.0, 900.0, -900.0, 0.0]], dtype=dtype)
    np.testing.assert_allclose(ours.softmax(rows), reference.softmax(rows), rtol=tolerance, atol=1e-300)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "gelu", "softmax"])
def test_nan_shows_in_activations(name: str) -> None:
    x = np.arange(40, dtype=np.float32).reshape(4, 10) - 20
    x[1, 3] = np.nan
    ours, reference = getattr(NumbaBackend(), name)(x), getattr(NumpyBackend(), name)(x)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(reference))


def test_nan_shows_in_elu_leaky_relu_and_dropout() -> None:
    x = np.full((4, 10), np.nan, dtype=np.float32)
    ops = NumbaBackend()
    assert np.isnan([ops.elu(x, 1.0), ops.leaky_relu(x, 0.1), ops.dropout(x, 0.5, KEY)[0]]).all()


@pytest.mark.parametrize("place", range(4))
def test_maxpool_takes_the_first_nan(place: int) -> None:
    x = np.array([4.0, 3.0, 2.0, 9.0], dtype=np.float32)
    x[place:] = np.nan
    x[3] = 9.0 if place < 3 else np.nan
    pool = Window((2, 2), (2, 2))
    dx = []
    for ops in (NumbaBackend(), NumpyBackend()):
        y, saved = ops.maxpool(x.reshape(1, 2, 2, 1), pool)
        assert np.isnan(y).all()
        dx.append(ops.maxpool_backward(np.ones_like(y), saved, pool))
    np.testing.assert_array_equal(dx[0], dx[1])


def test_maxpool_ties_go_to_the_first() -> None:
    x = np.zeros((1, 4, 4, 3), dtype=np.float32)
    pool = Window((3, 3), padding=((1, 1), (1, 1)))
    dx = []
    for ops in (NumbaBackend(), NumpyBackend()):
        x[...] = np.random.default_rng(0).integers(0, 2, x.shape)
        y, saved = ops.maxpool(x, pool)
        dx.append(ops.maxpool_backward(np.arange(y.size, dtype=np.float32).reshape(y.shape), saved, pool))
    np.testing.assert_array_equal(dx[0], dx[1])


def test_maxpool_with_a_window_of_more_than_256() -> None:
    geometry = Geometry(H=20, W=19, window=Window((17, 17), (1, 2), ((0, 0), (2, 0))))
    maxpool = CASES["maxpool"]
    assert_close(maxpool(NumbaBackend(), Draw(geometry)), maxpool(NumpyBackend(), Draw(geometry)), "float32")


def test_nan_gradients_survive_clipping() -> None:
    grads = np.array([1.0, np.nan, 2.0], dtype=np.float32)
    NumbaBackend().clip_global_norm(grads, 1.0)
    assert np.isnan(grads).all()


def test_a_label_out_of_range_gives_nan_not_a_crash() -> None:
    loss, _ = NumbaBackend().softmax_cross_entropy(np.zeros((2, 3), np.float32), np.array([1, 10**9]), 0.0)
    assert np.isnan(loss)


@pytest.mark.parametrize("kind", [NumpyBackend, NumbaBackend])
def test_signatures_are_those_of_the_protocol(kind: type[Backend]) -> None:
    for name, declared in inspect.getmembers(Backend, inspect.isfunction):
        if not name.startswith("_"):
            ours, protocol = inspect.signature(getattr(kind, name)), inspect.signature(declared)
            assert list(ours.parameters.values()) == list(protocol.parameters.values()), name
            assert name == "bound_to" or ours.return_annotation == protocol.return_annotation, name


def small_network(backend: Backend) -> Sequential:
    layers = [
        Conv2D(6, padding="same"),
        BatchNorm(),
        ReLU(),
        MaxPool2D(),
        Dropout(0.25),
        Flatten(),
        Dense(10),
    ]
    return Sequential(layers, (12, 12, 2), backend=backend, seed=3)


def test_evaluating_between_forward_and_backward_changes_no_gradient() -> None:
    rng = np.random.default_rng(0)
    x, other = (rng.standard_normal((8, 12, 12, 2)).astype(np.float32) for _ in range(2))
    dy = rng.standard_normal((8, 10)).astype(np.float32)
    gradients = []
    for interrupted in (False, True):
        model = small_network(NumbaBackend())
        _, tape = model.forward(x, train=True, step=1)
        if interrupted:
            model.forward(other)
            model.predict(np.concatenate([other, other]))
        dx = model.backward(dy, tape, input_gradient=True)
        gradients.append([model.store.grads.flat.copy(), np.array(dx)])
    for mine, theirs in zip(*gradients, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_network_has_the_gradients_of_the_reference() -> None:
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal(shape).astype(np.float32) for shape in ((8, 12, 12, 2), (8, 10)))
    gradients = []
    for backend in (NumbaBackend(), NumpyBackend()):
        model = small_network(backend)
        _, tape = model.forward(x, train=True, step=1)
        model.backward(dy, tape)
        gradients.append([model.store.grads.flat])
    assert_close(gradients[0], gradients[1], "float32")


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("algorithm", ["im2col", "direct", "winograd"])
def test_a_relu_fused_with_what_is_before_it_changes_nothing(algorithm: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal(shape).astype(dtype) for shape in ((8, 12, 12, 16), (8, 10)))
    results = []
    for backend in (NumbaBackend(algorithm), NumpyBackend()):
        layers = [
            Conv2D(16),
            ReLU(),
            DepthwiseConv2D(padding="same"),
            ReLU(),
            Residual([Conv2D(16, padding="same"), ReLU(), Conv2D(16, padding="same")]),
            ReLU(),
            Conv2D(16),
            BatchNorm(),
            ReLU(),
            MaxPool2D(),
            Flatten(),
            Dense(20),
            ReLU(),
            Dense(10),
        ]
        model = Sequential(layers, (12, 12, 16), backend=backend, dtype=dtype, seed=3)
        y, tape = model.forward(x, train=True)
        dx = model.backward(dy, tape, input_gradient=True)
        results.append([y.copy(), dx, model.store.grads.flat, model.predict(x)])
    assert_close(results[0], results[1], dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "pool", [{}, {"window": 3, "stride": 2}, {"window": 4, "padding": 1}, {"window": 16}]
)
@pytest.mark.parametrize("train", [True, False])
def test_max_pooling_that_does_the_backward_of_the_relu_before_it(
    pool: dict[str, Any], dtype: str, train: bool
) -> None:
    """Many windows are all zeros after this ReLU: none of their pixels gets a gradient."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((6, 17, 16, 3)) - 1).astype(dtype)
    x[0, :5, :5, 0] = np.nan
    results: list[list[Any]] = []
    for backend in (NumbaBackend(), NumpyBackend()):
        model = Sequential([ReLU(), MaxPool2D(**pool)], (17, 16, 3), backend=backend, dtype=dtype)
        y, tape = model.forward(x, train=train)
        dy = np.asarray(np.random.default_rng(1).standard_normal(y.shape), dtype)
        results.append([y, model.backward(dy, tape, input_gradient=True)])
    assert (results[0][0][1:] == 0).any() or pool == {"window": 16}
    assert_close(results[0], results[1], dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(64, 784, 128), (63, 901, 75), (2, 70_001, 32)])
def test_deep_products_in_halves(shape: tuple[int, int, int], dtype: str) -> None:
    """With and without a ReLU, the same bits on any number of threads; NaN shows."""
    N, I, O = shape
    assert SPLIT_DEPTH_FROM <= N * I * O < 2 * SPLIT_DEPTH_FROM
    rng = np.random.default_rng(0)
    x, W, b = (rng.standard_normal(size).astype(dtype) for size in ((N, I), (I, O), (O,)))
    x[0, 0] = np.nan
    for layers in ([Dense(O)], [Dense(O), ReLU()]):
        results = []
        for count in (1, 2, 3):
            with threads.limit(count):
                results.append(small_model(layers, NumbaBackend(), dtype, W, b).forward(x)[0].copy())
        reference = small_model(layers, NumpyBackend(), dtype, W, b).forward(x)[0]
        assert np.isnan(results[0][0]).all()
        assert_close([results[0][1:] / I], [reference[1:] / I], dtype)
        for other in results[1:]:
            np.testing.assert_array_equal(other, results[0])


def small_model(layers: list[Any], backend: Backend, dtype: str, W: Any, b: Any) -> Sequential:
    """A model of new layers like these, the first with the weights W and b."""
    fresh = [Dense(layer.units) if isinstance(layer, Dense) else ReLU() for layer in layers]
    model = Sequential(fresh, (len(W),), backend=backend, dtype=dtype)
    fresh[0].params.W[...], fresh[0].params.b[...] = W, b
    return model


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="uncompiled kernels have temporaries")
@pytest.mark.parametrize("name", ["linear", "mlp", "lenet", "cnn", "strided"])
def test_a_steady_step_allocates_no_array_memory(name: str) -> None:
    """At its peak, all that Python and NumPy allocate within a step: a batch of images, and small change."""
    if name == "strided":
        strided = [Conv2D(8, 5, stride=2, padding="same"), ReLU(), Conv2D(16, 3, stride=(2, 3))]
        layers = [Rescale(), *strided, Flatten(), Dense(10)]
        model = Sequential(layers, (28, 28, 1), backend=NumbaBackend())
    else:
        model = recipe.load(name).build_model(backend=NumbaBackend())
    images = np.random.default_rng(0).integers(0, 256, (256, 28, 28, 1), np.uint8)
    trainer = Trainer(model, (images, np.arange(256) % 10), epochs=4, batch_size=64)
    steps = (event for event in trainer.events() if isinstance(event, StepEnd))
    for _ in range(6):  # the second epoch is under way: its order is drawn
        next(steps)
    held = model.workspace.nbytes
    tracemalloc.start()
    try:
        next(steps)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        next(steps)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert model.workspace.nbytes == held
    batch = 64 * 28 * 28  # bytes of images, gathered anew for each batch
    assert peak - before < batch + 32 * 1024


def test_output_of_an_empty_batch() -> None:
    W, b = np.ones((3, 3, 1, 2), np.float32), np.ones(2, np.float32)
    y, _ = NumbaBackend().conv2d(np.ones((0, 5, 5, 1), np.float32), W, b, Window((3, 3)))
    assert y.shape == (0, 3, 3, 2)
