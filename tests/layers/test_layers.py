"""The layers: shapes, values worked out by hand, and what they say to wrong input.

That the gradients are right is the business of test_gradcheck.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinynet import layers as L
from tinynet.errors import ConfigError, ShapeError
from tinynet.gradcheck.cases import LAYER_CASES
from tinynet.layers.base import Layer
from tinynet.model import Sequential
from tinynet.rng import Key, Stream
from tinynet.types import Array, Shape

KEY = Key(0, Stream.DROPOUT)
MAKE: dict[str, tuple[Callable[[], Layer], Shape]] = {
    name: (cases[0][1], cases[0][2]) for name, cases in LAYER_CASES.items()
}
"""One of each layer, and a shape it takes."""
DTYPES = ("float32", "float64")


def _built(
    layer: Layer, shape: Shape, backend: str = "numpy", dtype: str = "float64", **tensors: Any
) -> Layer:
    """`layer` in a model of its own, its parameters and state set to `tensors`."""
    Sequential([layer], shape, backend=backend, dtype=dtype)
    for name, value in tensors.items():
        (layer.params if name in layer.params else layer.state)[name][...] = layer.ops.asarray(
            np.asarray(value)
        )
    return layer


def _forward(layer: Layer, x: Any, train: bool = False, key: Key = KEY) -> Array:
    y, _ = layer.forward(layer.ops.asarray(x), train=train, key=key)
    return np.array(layer.ops.to_host(y))


def _image(rows: Any, dtype: str = "float64") -> Array:
    """Rows of numbers as one image of one channel."""
    return np.array(rows, dtype)[None, :, :, None]


NINE = _image([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
SIXTEEN = _image(np.arange(1, 17).reshape(4, 4))


# --- shapes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (L.Dense(7), (3,), (7,)),
        (L.Conv2D(8, 3), (28, 28, 1), (26, 26, 8)),
        (L.Conv2D(8, (3, 5)), (28, 28, 1), (26, 24, 8)),
        (L.Conv2D(8, 3, 2), (28, 27, 1), (13, 13, 8)),
        (L.Conv2D(8, 3, padding="same"), (28, 27, 3), (28, 27, 8)),
        (L.Conv2D(8, 3, 2, "same"), (28, 27, 3), (14, 14, 8)),
        (L.Conv2D(8, 5, 3, "same"), (7, 10, 3), (3, 4, 8)),
        (L.Conv2D(8, 1, 3, "same"), (7, 10, 3), (3, 4, 8)),
        (L.Conv2D(8, 3, padding=2), (5, 6, 1), (7, 8, 8)),
        (L.Conv2D(8, 3, padding=(0, 2)), (5, 6, 1), (3, 8, 8)),
        (L.Conv2D(8, 3, padding=((1, 0), (2, 1))), (5, 6, 1), (4, 7, 8)),
        (L.Conv2D(8, 7), (7, 7, 1), (1, 1, 8)),
        (L.MaxPool2D(), (28, 28, 4), (14, 14, 4)),
        (L.MaxPool2D(), (7, 9, 4), (3, 4, 4)),
        (L.MaxPool2D(padding="same"), (7, 9, 4), (4, 5, 4)),
        (L.MaxPool2D(3, 2), (7, 9, 4), (3, 4, 4)),
        (L.AvgPool2D((2, 3)), (4, 9, 4), (2, 3, 4)),
        (L.GlobalAveragePool(), (4, 9, 5), (5,)),
        (L.BatchNorm(), (4, 9, 5), (4, 9, 5)),
        (L.BatchNorm(), (5,), (5,)),
        (L.Dropout(0.5), (4, 9), (4, 9)),
        (L.Flatten(), (4, 9, 5), (180,)),
        (L.Reshape((28, 28, 1)), (784,), (28, 28, 1)),
        (L.Rescale(), (4, 9), (4, 9)),
        *((kind(), (4, 9, 5), (4, 9, 5)) for kind in (L.ReLU, L.LeakyReLU, L.ELU, L.GELU)),
        *((kind(), (4, 9, 5), (4, 9, 5)) for kind in (L.Sigmoid, L.Tanh, L.Softmax)),
    ],
    ids=repr,
)
def test_the_shape_that_build_announces_is_what_forward_returns(
    layer: Layer, shape: Shape, expected: Shape
) -> None:
    built = _built(layer, shape, dtype="float32")
    assert built.output_shape == expected
    assert _forward(built, np.ones((2, *shape), np.float32)).shape == (2, *expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MAKE)
def test_outputs_and_gradients_keep_the_dtype(name: str, dtype: str, backend: str) -> None:
    make, shape = MAKE[name]
    layer = _built(make(), shape, backend, dtype)
    x = layer.ops.asarray(np.linspace(-1, 1, 2 * math.prod(shape)).reshape(2, *shape).astype(dtype))
    for train in (True, False):
        y, cache = layer.forward(x, train=train, key=KEY)
        dx = layer.backward(layer.ops.xp.ones_like(y), cache)
        assert dx is not None
        assert y.dtype == dx.dtype == dtype
        assert y.shape == (2, *layer.output_shape)
        assert dx.shape == x.shape
        assert all(g.dtype == dtype for g in layer.grads.values())


@pytest.mark.parametrize("name", MAKE)
def test_the_input_is_left_as_it_was(name: str, backend: str) -> None:
    make, shape = MAKE[name]
    layer = _built(make(), shape, backend)
    x = np.linspace(-1, 1, 2 * math.prod(shape)).reshape(2, *shape)
    given = layer.ops.asarray(x.copy())
    y, cache = layer.forward(given, train=True, key=KEY)
    dy = layer.ops.asarray(np.linspace(-2, 3, y.size).reshape(y.shape))
    layer.backward(dy, cache)
    np.testing.assert_array_equal(layer.ops.to_host(given), x)
    np.testing.assert_array_equal(layer.ops.to_host(dy).ravel(), np.linspace(-2, 3, y.size))


# --- values, by hand ----------------------------------------------------------------------------------------


def test_dense(backend: str) -> None:
    layer = _built(L.Dense(2), (3,), backend, W=[[1, 2], [3, 4], [5, 6]], b=[0.5, -0.5])
    y = _forward(layer, np.array([[1.0, 0, -1], [2, 1, 0]]))
    np.testing.assert_allclose(y, [[1 - 5 + 0.5, 2 - 6 - 0.5], [2 + 3 + 0.5, 4 + 4 - 0.5]])


KERNEL = np.array([[1, 2], [3, 4]])[:, :, None, None]


def test_convolution_does_not_flip_its_kernel(backend: str) -> None:
    y = _forward(_built(L.Conv2D(1, 2), (3, 3, 1), backend, W=KERNEL, b=[10]), NINE)
    # top left: 1·1 + 2·2 + 4·3 + 5·4 = 37
    np.testing.assert_allclose(y, _image([[47, 57], [77, 87]]))


def test_same_padding_puts_the_odd_pixel_bottom_and_right(backend: str) -> None:
    y = _forward(_built(L.Conv2D(1, 2, padding="same"), (3, 3, 1), backend, W=KERNEL), NINE)
    np.testing.assert_allclose(y, _image([[37, 47, 21], [67, 77, 33], [23, 26, 9]]))


@pytest.mark.parametrize(
    ("kernel", "size", "expected"),
    [
        (3, 4, [[9, 6], [6, 4]]),  # one pixel in all, at the end (symmetric padding would give 4 first)
        (3, 5, [[4, 6, 4], [6, 9, 6], [4, 6, 4]]),  # two pixels, one on each side
        (2, 4, [[4, 4], [4, 4]]),  # none needed
        (2, 3, [[4, 2], [2, 1]]),  # one, at the end
        (5, 4, [[16, 12], [12, 9]]),  # three: one before, two after
    ],
)
def test_same_padding_with_stride_2_follows_tensorflow(
    kernel: int, size: int, expected: list[list[int]], backend: str
) -> None:
    """Sums of ones count the real pixels in each window; TensorFlow's pads worked out by hand."""
    layer = _built(L.Conv2D(1, kernel, 2, "same"), (size, size, 1), backend, W=1)
    np.testing.assert_allclose(_forward(layer, np.ones((1, size, size, 1))), _image(expected))


def test_explicit_padding_and_a_pair_of_strides(backend: str) -> None:
    layer = _built(L.Conv2D(1, (2, 3), (1, 2), ((1, 0), (2, 1))), (2, 2, 1), backend, W=1)
    # padded to 3 x 5: a row of zeros above, two columns left, one right
    np.testing.assert_allclose(_forward(layer, np.ones((1, 2, 2, 1))), _image([[1, 2], [2, 4]]))


def test_convolution_mixes_channels_into_filters(backend: str) -> None:
    W = np.array([[1, 0, 2], [0, 1, -1]])[None, None]
    y = _forward(_built(L.Conv2D(3, 1), (1, 2, 2), backend, W=W), np.array([[[[1.0, 2], [3, 5]]]]))
    np.testing.assert_allclose(y, [[[[1, 2, 0], [3, 5, 1]]]])


@pytest.mark.parametrize(
    ("layer", "x", "expected"),
    [
        (L.MaxPool2D, SIXTEEN, [[6, 8], [14, 16]]),
        (lambda: L.MaxPool2D(3, 1), SIXTEEN, [[11, 12], [15, 16]]),
        (L.MaxPool2D, NINE, [[5]]),
        (lambda: L.MaxPool2D(padding="same"), -NINE, [[-1, -3], [-7, -9]]),  # padding never wins
        (lambda: L.MaxPool2D((1, 2)), -SIXTEEN, [[-1, -3], [-5, -7], [-9, -11], [-13, -15]]),
        (L.AvgPool2D, SIXTEEN, [[3.5, 5.5], [11.5, 13.5]]),
        (lambda: L.AvgPool2D(3, 1), SIXTEEN, [[6, 7], [10, 11]]),
        (lambda: L.AvgPool2D(padding="same"), NINE, [[3, 4.5], [7.5, 9]]),  # nor counts in a mean
        (lambda: L.AvgPool2D(3, 1, 1), NINE, [[3, 3.5, 4], [4.5, 5, 5.5], [6, 6.5, 7]]),
    ],
)
def test_pooling(layer: Callable[[], Layer], x: Array, expected: list[Any], backend: str) -> None:
    np.testing.assert_allclose(_forward(_built(layer(), x.shape[1:], backend), x), _image(expected))


def test_of_equal_pixels_the_first_wins_the_gradient(backend: str) -> None:
    layer = _built(L.MaxPool2D(), (2, 4, 1), backend)
    x = layer.ops.asarray(_image([[1, 3, 5, 5], [3, 3, 5, 5]]))
    _, cache = layer.forward(x, train=True, key=KEY)
    dx = layer.backward(layer.ops.asarray(_image([[10, 20]])), cache)
    assert dx is not None
    np.testing.assert_array_equal(layer.ops.to_host(dx), _image([[0, 10, 20, 0], [0, 0, 0, 0]]))


def test_a_pixel_in_several_windows_gets_the_sum(backend: str) -> None:
    layer = _built(L.MaxPool2D(2, 1), (3, 3, 1), backend)
    x = layer.ops.asarray(_image([[0, 0, 0], [0, 1, 0], [0, 0, 0]]))
    _, cache = layer.forward(x, train=True, key=KEY)
    dx = layer.backward(layer.ops.asarray(_image([[1, 2], [3, 4]])), cache)
    assert dx is not None
    np.testing.assert_array_equal(layer.ops.to_host(dx), _image([[0, 0, 0], [0, 10, 0], [0, 0, 0]]))


def test_global_average_pool(backend: str) -> None:
    x = np.array([[[[1.0, 10], [2, 20]], [[3, 30], [4, 40]]]])
    np.testing.assert_allclose(_forward(_built(L.GlobalAveragePool(), (2, 2, 2), backend), x), [[2.5, 25]])


def test_flatten_and_reshape_keep_the_order(backend: str) -> None:
    x = np.arange(12.0).reshape(1, 2, 3, 2)
    np.testing.assert_array_equal(_forward(_built(L.Flatten(), (2, 3, 2), backend), x), [np.arange(12)])
    y = _forward(_built(L.Reshape((4, 3)), (2, 3, 2), backend), x)
    np.testing.assert_array_equal(y, np.arange(12).reshape(1, 4, 3))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rescale_takes_raw_pixels_to_the_dtype_of_the_model(dtype: str, backend: str) -> None:
    pixels = np.array([[0, 51, 255]], np.uint8)
    y = _forward(_built(L.Rescale(), (3,), backend, dtype), pixels)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, [[0, 0.2, 1]], rtol=1e-6)
    y = _forward(_built(L.Rescale(2.0, -1.0), (3,), backend, dtype), np.array([[0.0, 0.5, 1.0]], np.float64))
    assert y.dtype == dtype
    np.testing.assert_allclose(y, [[-1, 0, 1]])


@pytest.mark.parametrize("given", [np.int64, np.uint8, np.bool_, np.float16, np.float32])
def test_rescale_takes_any_real_dtype(given: type, backend: str) -> None:
    y = _forward(_built(L.Rescale(3.0, 1.0), (2,), backend, "float32"), np.array([[0, 1]], given))
    np.testing.assert_array_equal(y, np.array([[1, 4]], np.float32))


@pytest.mark.parametrize(
    ("layer", "x", "expected"),
    [
        (L.ReLU, [-2, 0, 3], [0, 0, 3]),
        (lambda: L.LeakyReLU(0.1), [-2, 0, 3], [-0.2, 0, 3]),
        (lambda: L.ELU(0.5), [-math.log(2), 0, 3], [-0.25, 0, 3]),
        (L.GELU, [-20, 0, 20], [0, 0, 20]),
        (L.GELU, [-1, 1, 2], [-0.15880800939, 0.84119199061, 1.95459769409]),  # tanh form, from its authors
        (L.Sigmoid, [0, math.log(3), -math.log(3)], [0.5, 0.75, 0.25]),
        (L.Sigmoid, [-1000, 1000], [0, 1]),
        (L.Tanh, [0, math.log(2), -math.log(3)], [0, 0.6, -0.8]),
        (L.Softmax, [0, math.log(2), math.log(5)], [1 / 8, 2 / 8, 5 / 8]),
        (L.Softmax, [1000, 1000, -1000], [0.5, 0.5, 0]),
    ],
)
def test_activations(layer: Callable[[], Layer], x: list[float], expected: list[float], backend: str) -> None:
    y = _forward(_built(layer(), (len(x),), backend), np.array([x], float))
    np.testing.assert_allclose(y, [expected], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("x", [-1e4, -90.0, 90.0, 1e4])
@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "ELU", "GELU", "Sigmoid", "Tanh", "Softmax"])
def test_activations_do_not_overflow_in_float32(name: str, x: float, backend: str) -> None:
    layer = _built(L.LAYERS[name](), (2,), backend, "float32")
    y, cache = layer.forward(layer.ops.asarray(np.array([[x, 0]], np.float32)), train=True, key=KEY)
    assert np.isfinite(layer.ops.to_host(y)).all()
    dx = layer.backward(layer.ops.xp.ones_like(y), cache)
    assert dx is not None
    assert np.isfinite(layer.ops.to_host(dx)).all()


def test_softmax_works_along_the_last_axis_of_any_shape(backend: str) -> None:
    y = _forward(_built(L.Softmax(), (2, 3), backend), np.log([[[1.0, 2, 5], [3.0, 3, 2]]]))
    np.testing.assert_allclose(y, [[[1 / 8, 2 / 8, 5 / 8], [3 / 8, 3 / 8, 2 / 8]]])


# --- batch normalisation ------------------------------------------------------------------------------------


def test_batchnorm_uses_the_biased_variance_of_the_batch(backend: str) -> None:
    layer = _built(L.BatchNorm(epsilon=0.25), (1,), backend, gamma=2, beta=1)
    y = _forward(layer, np.array([[1.0], [3.0]]), train=True)
    s = math.sqrt(1 + 0.25)  # mean 2, biased variance 1
    np.testing.assert_allclose(y, [[1 - 2 / s], [1 + 2 / s]])


def test_batchnorm_averages_the_mean_and_the_unbiased_variance(backend: str) -> None:
    layer = _built(L.BatchNorm(momentum=0.9), (1,), backend)
    _forward(layer, np.array([[1.0], [3.0]]), train=True)  # mean 2, unbiased variance 2
    np.testing.assert_allclose(layer.ops.to_host(layer.state.mean), [0.2])
    np.testing.assert_allclose(layer.ops.to_host(layer.state.variance), [0.9 + 0.2])
    _forward(layer, np.array([[4.0], [4.0]]), train=True)  # mean 4, variance 0
    np.testing.assert_allclose(layer.ops.to_host(layer.state.mean), [0.18 + 0.4])
    np.testing.assert_allclose(layer.ops.to_host(layer.state.variance), [0.99])


def test_batchnorm_on_images_counts_every_pixel_of_a_channel(backend: str) -> None:
    layer = _built(L.BatchNorm(momentum=0.0), (2, 2, 2), backend)
    x = np.stack([NINE[0, :2, :2, 0], 10 * NINE[0, :2, :2, 0]], axis=-1)[None]  # 1 2 4 5 and 10 20 40 50
    y = _forward(layer, x, train=True)
    np.testing.assert_allclose(layer.ops.to_host(layer.state.mean), [3, 30])
    np.testing.assert_allclose(layer.ops.to_host(layer.state.variance), [10 / 3, 1000 / 3])
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=(0, 1, 2)), 1, rtol=1e-5)


def test_batchnorm_evaluates_with_the_running_statistics_and_keeps_them(backend: str) -> None:
    layer = _built(L.BatchNorm(epsilon=1e-5), (1,), backend, gamma=3, beta=1, mean=2, variance=4)
    y = _forward(layer, np.array([[4.0], [2.0], [0.0]]))
    np.testing.assert_allclose(y, [[4], [1], [-2]], rtol=1e-5)
    assert layer.state.mean[0] == 2
    assert layer.state.variance[0] == 4


def test_batchnorm_of_one_value_is_finite(backend: str) -> None:
    layer = _built(L.BatchNorm(), (2,), backend, beta=5)
    np.testing.assert_allclose(_forward(layer, np.array([[3.0, -1.0]]), train=True), [[5, 5]])
    assert np.isfinite(layer.ops.to_host(layer.state.variance)).all()


def test_batchnorm_survives_a_large_mean_in_float32(backend: str) -> None:
    """E[x²] - E[x]² would lose everything here: the variance is computed from centred values."""
    x = (4096 + np.array([[-1], [1], [-1], [1]])).astype(np.float32)
    y = _forward(_built(L.BatchNorm(), (1,), backend, "float32"), x, train=True)
    np.testing.assert_allclose(y.ravel(), [-1, 1, -1, 1], rtol=1e-3)


# --- dropout ------------------------------------------------------------------------------------------------


def _dropped(backend: str, key: Key, rate: float = 0.3, n: int = 100_000) -> Array:
    return _forward(_built(L.Dropout(rate), (n,), backend), np.ones((1, n)), train=True, key=key)[0]


def test_dropout_keeps_the_mean(backend: str) -> None:
    y = _dropped(backend, KEY)
    values = np.unique(y)
    np.testing.assert_allclose(values, [0, 1 / 0.7])
    assert abs(y.mean() - 1) < 5 * math.sqrt(0.3 / 0.7 / y.size)


def test_the_key_of_dropout_decides_the_mask(backend: str) -> None:
    y = _dropped(backend, KEY)
    np.testing.assert_array_equal(y, _dropped(backend, KEY))
    np.testing.assert_array_equal(y, _dropped("numpy", KEY))
    for other in (KEY._replace(step=1), KEY._replace(layer=1), KEY._replace(seed=1)):
        # two masks agree by chance on a share 0.7² + 0.3² = 0.58
        assert abs((y == _dropped(backend, other)).mean() - 0.58) < 0.01


def test_dropout_drops_the_same_of_the_gradient(backend: str) -> None:
    layer = _built(L.Dropout(0.5), (1000,), backend)
    y, cache = layer.forward(layer.ops.asarray(np.ones((1, 1000))), train=True, key=KEY)
    y = np.array(layer.ops.to_host(y))
    dx = layer.backward(layer.ops.asarray(np.full((1, 1000), 3.0)), cache)
    assert dx is not None
    np.testing.assert_array_equal(layer.ops.to_host(dx), 3 * y)


@pytest.mark.parametrize(("rate", "train"), [(0.5, False), (0.0, True), (0.0, False)])
def test_dropout_is_the_identity_in_evaluation_and_at_rate_0(rate: float, train: bool, backend: str) -> None:
    x = np.array([[1.0, -2.0, 0.0]])
    np.testing.assert_array_equal(_forward(_built(L.Dropout(rate), (3,), backend), x, train=train), x)


def test_a_model_draws_another_mask_at_each_step_and_layer(backend: str) -> None:
    model = Sequential([L.Dropout(0.5), L.Dropout(0.5)], (1000,), backend=backend, dtype="float64")
    x = model.backend.asarray(np.ones((1, 1000)))

    def kept(step: int) -> float:
        return float((model.backend.to_host(model.forward(x, train=True, step=step)[0]) > 0).mean())

    assert abs(kept(0) - 0.25) < 0.1  # two masks alike would keep a half
    first = np.array(model.backend.to_host(model.forward(x, train=True, step=0)[0]))
    again = np.array(model.backend.to_host(model.forward(x, train=True, step=0)[0]))
    second = np.array(model.backend.to_host(model.forward(x, train=True, step=1)[0]))
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()


# --- NaN ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in MAKE if name != "Dropout"])
def test_a_nan_is_passed_on_and_never_hidden(name: str, dtype: str, train: bool, backend: str) -> None:
    make, shape = MAKE[name]
    x = np.linspace(-1, 1, 2 * math.prod(shape)).reshape(2, *shape).astype(dtype)
    x[(0,) * x.ndim] = math.nan
    with np.errstate(invalid="ignore"):
        y = _forward(_built(make(), shape, backend, dtype), x, train=train)
    assert np.isnan(y[0]).any()
    if not (name == "BatchNorm" and train):
        assert np.isfinite(y[1]).all()


def test_dropout_passes_on_the_nans_it_keeps(backend: str) -> None:
    x = np.full((1, 100), math.nan)
    layer = _built(L.Dropout(0.5), (100,), backend)
    assert np.isnan(_forward(layer, x, train=True)).sum() >= 20


# --- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape", "says"),
    [
        (L.Dense(3), (4, 4), ["Dense 'dense_1' cannot take", "(features,)", "(4, 4)", "add Flatten()"]),
        (L.Dense(3), (), ["(features,)", "()"]),
        (L.Conv2D(3), (28, 28), ["Conv2D 'conv2d_1'", "(H, W, C)", "(28, 28)", "see Reshape"]),
        (L.Conv2D(3), (784,), ["(H, W, C)", "(784,)", "see Reshape"]),
        (L.MaxPool2D(), (28, 28), ["MaxPool2D", "(H, W, C)", "(28, 28)", "see Reshape"]),
        (L.AvgPool2D(), (28,), ["AvgPool2D", "(H, W, C)", "(28,)", "see Reshape"]),
        (L.GlobalAveragePool(), (28, 28), ["GlobalAveragePool", "(H, W, C)", "(28, 28)", "see Reshape"]),
        (L.BatchNorm(), (28, 28), ["BatchNorm", "(H, W, C)", "(28, 28)", "BatchNorm takes (features,)"]),
        (L.BatchNorm(), (), ["BatchNorm", "()"]),
        (L.Reshape((3, 3)), (8,), ["number of values", "a shape of 8 values, as (8,)", "received: (3, 3)"]),
        (L.Reshape((-2, -4)), (8,), ["a shape of 8 values", "received: (-2, -4)"]),
        (L.Conv2D(3, 5), (4, 9, 1), ["larger than its padded input", "at least 5 x 5", "4 x 9", "a smaller"]),
        (L.MaxPool2D(2), (1, 4, 1), ["larger than its padded input", "at least 2 x 2", "1 x 4", "fewer"]),
    ],
    ids=repr,
)
def test_a_sample_shape_a_layer_cannot_take_is_refused_at_build(
    layer: Layer, shape: Shape, says: list[str]
) -> None:
    with pytest.raises(ShapeError) as caught:
        Sequential([layer], shape, backend="numpy")
    for part in says:
        assert part in str(caught.value)


IMAGE = (8, 8, 1)


@pytest.mark.parametrize(
    ("layer", "shape", "says"),
    [
        (L.Dense(0), (4,), ["Dense cannot use this units", "at least 1", "units=0"]),
        (L.Dense(-3), (4,), ["units=-3"]),
        (L.Dense(3, l2=-0.1), (4,), ["Dense cannot use this l2", "0 or more", "l2=-0.1"]),
        (L.Conv2D(3, l2=math.nan), IMAGE, ["Conv2D cannot use this l2", "l2=nan"]),
        (L.Dense(3, init="xavier"), (4,), ["unknown initialiser", "he_normal", "'xavier'"]),
        (L.Conv2D(0), IMAGE, ["Conv2D cannot use this filters", "at least 1", "filters=0"]),
        (L.Conv2D(3, 0), IMAGE, ["Conv2D cannot use this kernel", "at least 1", "received: 0"]),
        (L.Conv2D(3, (3, 0)), IMAGE, ["kernel", "or a pair of them", "(3, 0)"]),
        (L.Conv2D(3, (3, 3, 3)), IMAGE, ["kernel", "(3, 3, 3)"]),  # type: ignore[arg-type]
        (L.Conv2D(3, 2.5), IMAGE, ["kernel", "a whole number", "2.5"]),  # type: ignore[arg-type]
        (L.Conv2D(3, 3, 0), IMAGE, ["Conv2D cannot use this stride", "at least 1", "received: 0"]),
        (L.Conv2D(3, 3, -1), IMAGE, ["stride", "-1"]),
        (L.Conv2D(3, padding="full"), IMAGE, ["unknown padding", '"same", "valid"', "'full'"]),
        (L.Conv2D(3, padding="ab"), IMAGE, ["unknown padding", "'ab'"]),
        (L.Conv2D(3, padding=-1), IMAGE, ["unknown padding", "-1"]),
        (L.Conv2D(3, padding=(1, -1)), IMAGE, ["unknown padding", "(1, -1)"]),
        (L.Conv2D(3, padding=((1, 1), (0, -1))), IMAGE, ["unknown padding", "((1, 1), (0, -1))"]),
        (L.Conv2D(3, padding=(1, 1, 1)), IMAGE, ["unknown padding", "(1, 1, 1)"]),  # type: ignore[arg-type]
        (L.Conv2D(3, padding=1.5), IMAGE, ["unknown padding", "1.5"]),  # type: ignore[arg-type]
        (L.Conv2D(3, padding=None), IMAGE, ["unknown padding", "None"]),  # type: ignore[arg-type]
        (L.MaxPool2D(0), IMAGE, ["MaxPool2D cannot use this window", "at least 1", "received: 0"]),
        (L.MaxPool2D(2, 0), IMAGE, ["MaxPool2D cannot use this stride", "received: 0"]),
        (L.AvgPool2D(2, padding="half"), IMAGE, ["unknown padding", "'half'"]),
        (L.MaxPool2D(2, padding=2), IMAGE, ["wholly in the padding", "smaller than the window", "padding=2"]),
        (L.AvgPool2D(2, padding=(0, 2)), IMAGE, ["wholly in the padding", "padding=(0, 2)"]),
        (L.Dropout(1.0), (4,), ["Dropout cannot use this rate", "in [0, 1)", "rate=1.0"]),
        (L.Dropout(-0.1), (4,), ["rate=-0.1"]),
        (L.Dropout(math.nan), (4,), ["rate=nan"]),
        (L.BatchNorm(1.0), (4,), ["BatchNorm cannot use this momentum", "in [0, 1)", "momentum=1.0"]),
        (L.BatchNorm(epsilon=0.0), (4,), ["BatchNorm cannot use this epsilon", "above 0", "epsilon=0.0"]),
        (L.ELU(0.0), (4,), ["ELU cannot use this alpha", "above 0", "alpha=0.0"]),
        (L.Rescale(0.0), (4,), ["Rescale by 0", "other than 0", "received: 0"]),
    ],
    ids=repr,
)
def test_a_setting_a_layer_cannot_use_is_refused_at_build(
    layer: Layer, shape: Shape, says: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        Sequential([layer], shape, backend="numpy")
    for part in says:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (L.Dense(10), (784,), 7840),
        (L.Conv2D(32, 3), (28, 28, 1), 26 * 26 * 32 * 9),
        (L.Conv2D(64, 3), (26, 26, 32), 24 * 24 * 64 * 9 * 32),
        (L.ReLU(), (10,), 0),
    ],
    ids=repr,
)
def test_multiply_adds_of_one_sample(layer: Layer, shape: Shape, expected: int) -> None:
    assert _built(layer, shape).multiply_adds() == expected
