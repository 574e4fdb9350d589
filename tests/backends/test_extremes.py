"""What is finite comes out finite, on every backend: losses and activations at the ends of the numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cuda_host import HostBackend

from tinynet import backends
from tinynet.backends.base import Backend
from tinynet.types import Array

INF = math.inf


@pytest.fixture(params=["numpy", "numba", "host"])
def ops(request: pytest.FixtureRequest) -> Backend:
    """The reference, the compiled backend, and CUDA's kernels as a host compiler builds them."""
    return HostBackend() if request.param == "host" else backends.get(request.param)


def _row(*values: float, dtype: str = "float32") -> Array:
    return np.array([values], dtype)


@pytest.mark.parametrize(
    ("logits", "label", "smoothing", "loss", "gradient"),
    [
        ([-INF, 0, 1], 2, 0.0, math.log(1 + math.exp(-1)), [0, 0.26894142, -0.26894142]),
        ([3e38, -3e38, 0], 0, 0.0, 0.0, [0, 0, 0]),
        ([3e38, -3e38, 0], 2, 0.0, 3e38, [1, 0, -1]),
        ([3e38, -3e38, 0], 1, 0.0, 6e38, [1, -1, 0]),
        ([3e38, -3e38, 0], 0, 0.3, 9e37, [0.2, -0.1, -0.1]),
        ([-INF, 0, 1], 2, 0.3, INF, [-0.1, 0.16894142, -0.06894142]),
        ([-INF, 0], 0, 0.0, INF, [-1, 1]),
    ],
)
def test_softmax_cross_entropy(
    logits: list[float], label: int, smoothing: float, loss: float, gradient: list[float], ops: Backend
) -> None:
    found, slope = ops.softmax_cross_entropy(_row(*logits), np.array([label]), smoothing)
    assert float(found) == pytest.approx(loss)
    np.testing.assert_allclose(slope, [gradient], atol=1e-7)


@pytest.mark.parametrize("ahead", [5.0, 12.0, 17.5, 25.0, 33.0])
@pytest.mark.parametrize("smoothing", [0.0, 1e-6])
def test_the_gradient_of_a_label_that_is_nearly_certain(ahead: float, smoothing: float, ops: Backend) -> None:
    """p - q = -1 / (1 + e^ahead) has all its digits, where p in float32 would be 1."""
    _, gradient = ops.softmax_cross_entropy(_row(ahead, 0.0), np.array([0]), smoothing)
    other = 1 / (1 + math.exp(ahead)) - smoothing / 2
    np.testing.assert_allclose(gradient, [[-other, other]], rtol=2e-6, atol=2e-16)


@pytest.mark.parametrize("rows", [2, 3, 4, 5, 64, 3000])
@pytest.mark.parametrize("mean", [0.0, 10.0, 1000.0])
def test_batchnorm_of_few_rows_and_far_from_zero(mean: float, rows: int, ops: Backend) -> None:
    """y, dx, dγ and dβ against float64: as exact as float32's rounding of y and dy is, where sums cancel."""
    draw = np.random.default_rng(rows)
    x = (mean + draw.normal(size=(rows, 8))).astype(np.float32)
    dy, gamma, beta = (draw.normal(size=size).astype(np.float32) for size in ((rows, 8), 8, 8))
    dgamma, dbeta = np.empty_like(gamma), np.empty_like(gamma)
    y, _, _, saved = ops.batchnorm(x, gamma, beta, 1e-5)
    found = [y.copy(), ops.batchnorm_backward(dy, saved, gamma, dgamma, dbeta).copy(), dgamma, dbeta]

    centred, slope = x - x.mean(axis=0, dtype=float), dy.astype(float)
    scale = 1 / np.sqrt((centred**2).mean(axis=0) + 1e-5)
    rows_of_gamma = slope * centred * scale
    dx = gamma * scale * (slope - slope.mean(axis=0) - centred * scale * rows_of_gamma.mean(axis=0))
    expected = [gamma * centred * scale + beta, dx, rows_of_gamma.sum(axis=0), slope.sum(axis=0)]
    largest = [
        np.abs(gamma * centred * scale) + np.abs(beta),
        np.abs(gamma * scale * slope).max(axis=0),
        np.abs(rows_of_gamma).sum(axis=0),
        np.abs(slope).sum(axis=0),
    ]
    for ours, exact, size in zip(found, expected, largest, strict=True):
        assert (np.abs(ours - exact) / size).max() < 5e-7


@pytest.mark.parametrize("row", [[INF, 0.0], [-INF, -INF], [math.nan, 0.0]])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_net_that_has_blown_up_shows(row: list[float], ops: Backend) -> None:
    """No probabilities are defined where the largest logit is no number: the trainer is to stop."""
    assert np.isnan(ops.softmax(_row(*row))).all()
    assert np.isnan(float(ops.softmax_cross_entropy(_row(*row), np.array([0]), 0.0)[0]))


def test_softmax(ops: Backend) -> None:
    np.testing.assert_array_equal(ops.softmax(_row(3e38, -3e38, -INF)), [[1, 0, 0]])
    np.testing.assert_allclose(ops.softmax(_row(-INF, 0, 1)), [[0, 0.26894142, 0.73105858]], rtol=1e-6)


def test_cross_entropy(ops: Backend) -> None:
    loss, gradient = ops.cross_entropy(_row(3e38, 3e38), np.array([0]), float(np.float32(1e-7)))
    assert float(loss) == pytest.approx(math.log(2))
    # compiled code takes subnormals for 0
    np.testing.assert_allclose(gradient, [[-1 / 6e38, 1 / 6e38]], atol=1e-37)
    loss, _ = ops.cross_entropy(_row(3e38, 0), np.array([1]), float(np.float32(1e-7)))
    assert float(loss) == pytest.approx(math.log(3e45))


ENDS = (-INF, -3e38, -1e20, -1e13, 1e13, 1e20, 3e38, INF)
FALLING = (0.0,) * 4 + (1.0,) * 4
"""f where it is flat on the left and 1, or its slope is, on the right."""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "values", "slopes"),
    [
        ("gelu", (0.0,) * 4 + ENDS[4:], FALLING),
        ("gelu_tanh", (0.0,) * 4 + ENDS[4:], FALLING),
        ("elu", (-1.0,) * 4 + ENDS[4:], FALLING),
        ("sigmoid", FALLING, (0.0,) * 8),
        ("tanh", (-1.0,) * 4 + (1.0,) * 4, (0.0,) * 8),
    ],
)
@pytest.mark.filterwarnings("ignore:(invalid value|overflow):RuntimeWarning")  # with the JIT off
def test_activations(name: str, values: Any, slopes: Any, dtype: str, ops: Backend) -> None:
    x = _row(*ENDS, dtype=dtype)
    settings = (1.0,) if name == "elu" else ()
    y = getattr(ops, name)(x, *settings)
    np.testing.assert_array_equal(y, _row(*values, dtype=dtype))
    seen = x if name.startswith("gelu") else y
    dx = getattr(ops, f"{name}_backward")(np.ones_like(x), seen, *settings)
    np.testing.assert_array_equal(dx, _row(*slopes, dtype=dtype))
