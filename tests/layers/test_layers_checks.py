"""layers.checks: what a model refuses before a layer is called."""

from __future__ import annotations

import re

import numpy as np
import pytest
from one_layer import MAKE

from tinynet import Dense, ReLU, Sequential
from tinynet.errors import DTypeError, ShapeError
from tinynet.rng import Key
from tinynet.types import Array


def model(name: str) -> Sequential:
    make, shape = MAKE[name]
    return Sequential([make()], shape, backend="numpy")


@pytest.mark.parametrize("name", MAKE)
def test_an_input_of_the_wrong_shape_is_refused(name: str) -> None:
    net, shape = model(name), MAKE[name][1]
    wanted = re.escape(f"(N, {', '.join(map(str, shape))})")
    for wrong in ((2, *shape, 1), (2, shape[0] + 1, *shape[1:]), shape):
        with pytest.raises(ShapeError) as caught:
            net.forward(np.zeros(wrong, np.float32))
        message = str(caught.value)
        assert re.match(
            rf"{name} '{name.lower()}_1' got an input of the wrong shape\n  expected: {wanted}\n", message
        )
        assert f"received: {wrong}" in message
        assert "fix: reshape the data, or build the model for this input shape" in message


@pytest.mark.parametrize("wrong", ["float64", "int64", "uint8", "float16"])
@pytest.mark.parametrize("name", [name for name in MAKE if name != "Rescale"])
def test_an_input_of_the_wrong_dtype_is_refused(name: str, wrong: str) -> None:
    with pytest.raises(DTypeError) as caught:
        model(name).forward(np.zeros((2, *MAKE[name][1]), wrong))
    assert str(caught.value) == (
        f"{name} '{name.lower()}_1' got an input of the wrong dtype\n"
        f"  expected: float32\n  received: {wrong}\n"
        '  fix: x.astype("float32"), or put Rescale() first, which accepts any dtype'
    )


@pytest.mark.parametrize("name", MAKE)
def test_a_gradient_that_does_not_match_the_output_is_refused(name: str) -> None:
    net = model(name)
    y, tape = net.forward(np.zeros((2, *MAKE[name][1]), np.float32), train=True)
    with pytest.raises(ShapeError, match=r"output gradient.*\n  expected: \(N, .*of float32\n  received:"):
        net.backward(np.zeros((*y.shape, 1), np.float32), tape, input_gradient=True)
    with pytest.raises(DTypeError, match=r"output gradient.*\n  expected: .*\n  received: .* of float64\n"):
        net.backward(np.zeros(y.shape, np.float64), tape, input_gradient=True)


def test_what_one_layer_returns_is_checked_before_the_next_gets_it() -> None:
    class TooWide(ReLU):
        def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Array]:
            wide = np.concatenate([x, x], axis=1)
            return wide, wide

    net = Sequential([Dense(3), TooWide(), Dense(2)], (4,), backend="numpy")
    with pytest.raises(ShapeError, match=r"TooWide 'toowide_1': forward .*\n.*\(2, 3\).*\n.*\(2, 6\)"):
        net.forward(np.zeros((2, 4), np.float32))
