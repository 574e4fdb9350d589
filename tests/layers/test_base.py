"""What every layer promises: its shapes and dtypes, NaNs that show, and what it refuses at build.

That the gradients are right is the business of gradcheck/.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from one_layer import DTYPES, KEY, MAKE, built, forward

from tinynet import layers as L
from tinynet.errors import ConfigError, ShapeError
from tinynet.layers.base import Layer
from tinynet.model import Sequential
from tinynet.types import Shape


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (L.Dense(7), (3,), (7,)),
        (L.Dense(7), (4, 3), (4, 7)),
        (L.Dense(7), (5, 4, 3), (5, 4, 7)),
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
        (L.DepthwiseConv2D(), (28, 27, 4), (26, 25, 4)),
        (L.DepthwiseConv2D(3, 2, "same", 3), (28, 27, 2), (14, 14, 6)),
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
    layer = built(layer, shape, dtype="float32")
    assert layer.output_shape == expected
    assert forward(layer, np.ones((2, *shape), np.float32)).shape == (2, *expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MAKE)
def test_outputs_and_gradients_keep_the_dtype(name: str, dtype: str, backend: str) -> None:
    make, shape = MAKE[name]
    layer = built(make(), shape, backend, dtype)
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
    layer = built(make(), shape, backend)
    x = np.linspace(-1, 1, 2 * math.prod(shape)).reshape(2, *shape)
    given = layer.ops.asarray(x.copy())
    y, cache = layer.forward(given, train=True, key=KEY)
    dy = layer.ops.asarray(np.linspace(-2, 3, y.size).reshape(y.shape))
    layer.backward(dy, cache)
    np.testing.assert_array_equal(layer.ops.to_host(given), x)
    np.testing.assert_array_equal(layer.ops.to_host(dy).ravel(), np.linspace(-2, 3, y.size))


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in MAKE if name != "Dropout"])
def test_a_nan_is_passed_on_and_never_hidden(name: str, dtype: str, train: bool, backend: str) -> None:
    make, shape = MAKE[name]
    x = np.linspace(-1, 1, 2 * math.prod(shape)).reshape(2, *shape).astype(dtype)
    x[(0,) * x.ndim] = math.nan
    with np.errstate(invalid="ignore"):
        y = forward(built(make(), shape, backend, dtype), x, train=train)
    assert np.isnan(y[0]).any()
    if not (name == "BatchNorm" and train):
        assert np.isfinite(y[1]).all()


@pytest.mark.parametrize(
    ("layer", "shape", "says"),
    [
        (L.Dense(3), (), ["Dense 'dense_1' cannot take", "(features,)", "()", "an axis of features"]),
        (L.Conv2D(3), (28, 28), ["Conv2D 'conv2d_1'", "(H, W, C)", "(28, 28)", "see Reshape"]),
        (L.Conv2D(3), (784,), ["(H, W, C)", "(784,)", "see Reshape"]),
        (L.DepthwiseConv2D(), (28, 28), ["DepthwiseConv2D", "(H, W, C)", "(28, 28)", "see Reshape"]),
        (L.DepthwiseConv2D(5), (4, 9, 1), ["larger than its padded input", "at least 5 x 5", "4 x 9"]),
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
    ("make", "shape", "says"),
    [
        (lambda: L.Dense(0), (4,), ["Dense cannot use this value for units", "at least 1", "units=0"]),
        (lambda: L.Dense(-3), (4,), ["units=-3"]),
        (lambda: L.Dense(3, l2=-0.1), (4,), ["Dense cannot use this value for l2", "0 or more", "l2=-0.1"]),
        (lambda: L.Conv2D(3, l2=math.nan), IMAGE, ["Conv2D cannot use this value for l2", "l2=nan"]),
        (lambda: L.Dense(3, init="xavier"), (4,), ["unknown initialiser", "he_normal", "'xavier'"]),
        (lambda: L.Conv2D(0), IMAGE, ["Conv2D cannot use this value for filters", "at least 1", "filters=0"]),
        (lambda: L.Conv2D(3, 0), IMAGE, ["Conv2D cannot use this value for kernel", "at least 1", "=0"]),
        (lambda: L.Conv2D(3, (3, 0)), IMAGE, ["kernel", "or a pair of them", "(3, 0)"]),
        (lambda: L.Conv2D(3, (3, 3, 3)), IMAGE, ["kernel", "(3, 3, 3)"]),  # type: ignore[arg-type]
        (lambda: L.Conv2D(3, 2.5), IMAGE, ["kernel", "a whole number", "2.5"]),  # type: ignore[arg-type]
        (lambda: L.Conv2D(3, 3, 0), IMAGE, ["Conv2D cannot use this value for stride", "at least 1", "=0"]),
        (lambda: L.Conv2D(3, 3, -1), IMAGE, ["stride", "-1"]),
        (
            lambda: L.Conv2D(3, padding="full"),
            IMAGE,
            ["cannot use this value for padding", '"same", "valid"', "'full'"],
        ),
        (lambda: L.Conv2D(3, padding="ab"), IMAGE, ["cannot use this value for padding", "'ab'"]),
        (lambda: L.Conv2D(3, padding=-1), IMAGE, ["cannot use this value for padding", "-1"]),
        (lambda: L.Conv2D(3, padding=(1, -1)), IMAGE, ["cannot use this value for padding", "(1, -1)"]),
        (
            lambda: L.Conv2D(3, padding=((1, 1), (0, -1))),
            IMAGE,
            ["cannot use this value for padding", "((1, 1), (0, -1))"],
        ),
        (lambda: L.Conv2D(3, padding=(1, 1, 1)), IMAGE, ["cannot use this value for padding", "(1, 1, 1)"]),  # type: ignore[arg-type]
        (lambda: L.Conv2D(3, padding=1.5), IMAGE, ["cannot use this value for padding", "1.5"]),  # type: ignore[arg-type]
        (lambda: L.Conv2D(3, padding=None), IMAGE, ["cannot use this value for padding", "None"]),  # type: ignore[arg-type]
        (lambda: L.MaxPool2D(0), IMAGE, ["MaxPool2D cannot use this value for window", "at least 1", "=0"]),
        (lambda: L.MaxPool2D(2, 0), IMAGE, ["MaxPool2D cannot use this value for stride", "=0"]),
        (lambda: L.AvgPool2D(2, padding="half"), IMAGE, ["cannot use this value for padding", "'half'"]),
        (
            lambda: L.MaxPool2D(2, padding=2),
            IMAGE,
            ["wholly in the padding", "smaller than the window", "padding=2"],
        ),
        (lambda: L.AvgPool2D(2, padding=(0, 2)), IMAGE, ["wholly in the padding", "padding=(0, 2)"]),
        (
            lambda: L.Dropout(1.0),
            (4,),
            ["Dropout cannot use this value for rate", "in [0, 1)", "rate=1.0"],
        ),
        (lambda: L.Dropout(-0.1), (4,), ["rate=-0.1"]),
        (lambda: L.Dropout(math.nan), (4,), ["rate=nan"]),
        (
            lambda: L.BatchNorm(1.0),
            (4,),
            ["BatchNorm cannot use this value for momentum", "in [0, 1)", "momentum=1.0"],
        ),
        (
            lambda: L.BatchNorm(epsilon=0.0),
            (4,),
            ["BatchNorm cannot use this value for epsilon", "above 0", "epsilon=0.0"],
        ),
        (lambda: L.ELU(0.0), (4,), ["ELU cannot use this value for alpha", "above 0", "alpha=0.0"]),
        (lambda: L.Rescale(0.0), (4,), ["Rescale cannot use this value for scale", "other than 0", "=0"]),
    ],
)
def test_a_setting_a_layer_cannot_use_is_refused(
    make: Callable[[], Layer], shape: Shape, says: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        Sequential([make()], shape, backend="numpy")
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
    assert built(layer, shape).multiply_adds() == expected


@pytest.mark.parametrize("layer", [L.Dense(10**16), L.Dense(2**62), L.Conv2D(2**60)], ids=repr)
def test_a_layer_that_no_memory_holds_is_refused(layer: Layer) -> None:
    with pytest.raises(ConfigError, match="is too large"):
        Sequential([layer], (28, 28, 1) if isinstance(layer, L.Conv2D) else (784,), backend="numpy")
