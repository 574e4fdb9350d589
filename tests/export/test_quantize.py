"""8 bits: what is kept exactly, and by how much the rest is rounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinynet import layers as L
from tinynet.errors import ConfigError
from tinynet.export.integers import outputs, requantized
from tinynet.export.quantize import Quantized, Scale, factors
from tinynet.export.steps import Plan
from tinynet.model import Sequential
from tinynet.rng import Key, normal


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_a_scale_keeps_0_and_rounds_the_rest_to_the_nearest_step(one: int, other: int) -> None:
    low, high = sorted((one / 1000, other / 1000))
    scale = Scale.of(low, high)
    assert -128 <= scale.zero <= 127
    assert scale.real(scale.quantized(np.zeros(1)))[0] == 0
    values = np.linspace(min(low, 0), max(high, 0), 100)
    error = np.abs(scale.real(scale.quantized(values)) - values)
    assert error.max() <= scale.scale * 1.0001  # half a step, and half of one by which `zero` is rounded


@given(st.floats(1e-12, 1e6), st.integers(-(2**31) + 1, 2**31 - 1))
def test_factors_multiply_as_the_number_does(real: float, total: int) -> None:
    multiplier, shift = factors(np.array([real]))
    found = requantized(np.array([total]), multiplier, shift, 0)[0]
    assert abs(int(found) - min(max(total * real, -128), 127)) <= 0.5 + 1e-6


def test_factors_of_extremes() -> None:
    multiplier, shift = factors(np.array([1e-30, 0.5, 1.0, 1e30]))
    assert multiplier.tolist() == [0, 2**30, 2**30, multiplier[3]]
    assert shift.tolist() == [1, 31, 30, 1]
    assert requantized(np.array([2**31 - 1, 2, -2, -5]), multiplier, shift, 3).tolist() == [3, 4, 1, -128]


def test_a_relu_goes_into_the_step_before_it_unless_that_is_needed_elsewhere() -> None:
    model = Sequential([L.Dense(3), L.ReLU(), L.ReLU(), L.Dense(2), L.ELU(), L.ReLU()], (4,))
    samples = normal(Key(0, 1), (20, 4)).astype(np.float32)
    net = Quantized(Plan(model, samples))
    assert [step.kind for step in net.steps] == ["quantize", "dense", "dense", "lookup", "lookup", "scores"]
    assert net.steps[1].layers == ["dense_1", "relu_1", "relu_2"]
    assert outputs(net, samples).shape == (20, 2)


def test_a_relu_at_the_end_still_cuts_off() -> None:
    model = Sequential([L.Dense(3), L.ReLU()], (4,))
    samples = normal(Key(0, 1), (20, 4)).astype(np.float32)
    net = Quantized(Plan(model, samples))
    assert [step.kind for step in net.steps] == ["quantize", "dense", "lookup", "scores"]
    found = net.scale_of(net.output).real(outputs(net, samples))
    np.testing.assert_allclose(found, model.predict(samples), atol=0.05 * found.max())


def test_values_that_were_0_and_weights_of_0() -> None:
    model = Sequential([L.Dense(3), L.BatchNorm(), L.ReLU()], (4,))
    model.store.values.flat[:] = 0
    samples = np.zeros((5, 4), np.float32)
    net = Quantized(Plan(model, samples))
    assert (net.scale_of(net.output).real(outputs(net, samples)) == 0).all()


def test_sums_that_may_leave_32_bits_are_refused_by_name() -> None:
    model = Sequential([L.Dense(1)], (70_000,))
    model.store.values.flat[:] = 1
    with pytest.raises(ConfigError, match="sums of layer dense_1 may leave 32 bits"):
        Quantized(Plan(model, np.ones((2, 70_000), np.float32)))
