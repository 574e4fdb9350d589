"""Each optimiser against its recurrence written out for one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tinynet import layers as L
from tinynet.errors import ConfigError
from tinynet.model import Sequential
from tinynet.optim import SGD, Adam, AdamW, Optimizer
from tinynet.store import ParameterStore
from tinynet.types import Array

STEPS = 6
SLOPE = 1.7
"""The gradient of each parameter θ is SLOPE · θ + 0.3: it changes from step to step."""


def _started(optimizer: Optimizer, backend: str, dtype: str = "float64") -> ParameterStore:
    """A store with a kernel W (2, 2) that decays and a bias b (2,) that does not."""
    model = Sequential([L.Dense(2)], (2,), backend=backend, dtype=dtype)
    W, b = np.array([[1.0, -2.0], [0.5, 0.0]]), np.array([3.0, -1.0])
    model.store.values.views["dense_1.W"][...] = model.backend.asarray(W)
    model.store.values.views["dense_1.b"][...] = model.backend.asarray(b)
    optimizer.start(model)
    return model.store


def _host(store: ParameterStore, optimizer: Optimizer) -> dict[str, Array]:
    return {name: np.array(optimizer.ops.to_host(view)) for name, view in store.values.views.items()}


def _train(
    optimizer: Optimizer, backend: str, rates: list[float], dtype: str = "float64"
) -> dict[str, Array]:
    store = _started(optimizer, backend, dtype)
    for rate in rates:
        store.grads.flat[...] = SLOPE * store.values.flat + 0.3
        optimizer.step(rate)
    return _host(store, optimizer)


Rule = Callable[[float, float], Iterator[float]]
"""A recurrence: from (θ, decay of this θ) the next θs; the learning rate is 0.1."""


def sgd(theta: float, decay: float) -> Iterator[float]:
    while True:
        theta = theta * (1 - 0.1 * decay) - 0.1 * (SLOPE * theta + 0.3)
        yield theta


def momentum(theta: float, decay: float) -> Iterator[float]:
    v = 0.0
    while True:
        v = 0.9 * v + (SLOPE * theta + 0.3)
        theta = theta * (1 - 0.1 * decay) - 0.1 * v
        yield theta


def nesterov(theta: float, decay: float) -> Iterator[float]:
    v = 0.0
    while True:
        g = SLOPE * theta + 0.3
        v = 0.9 * v + g
        theta = theta * (1 - 0.1 * decay) - 0.1 * (g + 0.9 * v)
        yield theta


def adam(theta: float, decay: float) -> Iterator[float]:
    m = v = 0.0
    t = 0
    while True:
        t += 1
        g = SLOPE * theta + 0.3
        m = 0.8 * m + 0.2 * g
        v = 0.95 * v + 0.05 * g**2
        theta = theta * (1 - 0.1 * decay) - 0.1 * (m / (1 - 0.8**t)) / (math.sqrt(v / (1 - 0.95**t)) + 1e-3)
        yield theta


ADAM: dict[str, Any] = {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}
RULES: list[tuple[Optimizer, Rule, float]] = [
    (SGD(), sgd, 0.0),
    (SGD(weight_decay=0.5), sgd, 0.5),
    (SGD(momentum=0.9), momentum, 0.0),
    (SGD(momentum=0.9, weight_decay=0.5), momentum, 0.5),
    (SGD(momentum=0.9, nesterov=True), nesterov, 0.0),
    (SGD(momentum=0.9, nesterov=True, weight_decay=0.5), nesterov, 0.5),
    (Adam(**ADAM), adam, 0.0),
    (AdamW(**ADAM), adam, 0.01),
    (AdamW(**ADAM, weight_decay=0.5), adam, 0.5),
]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-4)])
@pytest.mark.parametrize(("optimizer", "rule", "decay"), RULES, ids=lambda v: getattr(v, "__name__", repr(v)))
def test_every_number_follows_its_recurrence_and_only_kernels_decay(
    optimizer: Optimizer, rule: Rule, decay: float, dtype: str, tolerance: float, backend: str
) -> None:
    start = {"dense_1.W": [[1.0, -2.0], [0.5, 0.0]], "dense_1.b": [3.0, -1.0]}
    end = _train(optimizer, backend, [0.1] * STEPS, dtype)
    for name, values in start.items():
        for theta, ours in zip(np.array(values).ravel(), end[name].ravel(), strict=True):
            steps = rule(float(theta), decay if name.endswith("W") else 0.0)
            expected = [next(steps) for _ in range(STEPS)][-1]
            assert ours == pytest.approx(expected, rel=tolerance, abs=tolerance)


def test_the_first_step_of_adam_is_the_learning_rate_whatever_the_gradient(backend: str) -> None:
    end = _train(Adam(epsilon=1e-12), backend, [0.25])
    np.testing.assert_allclose(end["dense_1.b"], [3 - 0.25, -1 + 0.25])


def test_the_rate_is_the_one_given_at_each_step(backend: str) -> None:
    a, b = _train(SGD(), backend, [0.1, 0.2]), _train(SGD(learning_rate=99.0), backend, [0.1, 0.2])
    theta = 3 - 0.1 * (SLOPE * 3 + 0.3)
    assert a["dense_1.b"][0] == pytest.approx(theta - 0.2 * (SLOPE * theta + 0.3))
    np.testing.assert_array_equal(a["dense_1.b"], b["dense_1.b"])


def test_a_rate_of_0_moves_nothing(backend: str) -> None:
    end = _train(AdamW(weight_decay=0.5), backend, [0.0] * 3)
    np.testing.assert_array_equal(end["dense_1.W"], [[1, -2], [0.5, 0]])
    np.testing.assert_array_equal(end["dense_1.b"], [3, -1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("limit", "shrunk"), [(1.0, 1 / 13), (6.5, 0.5), (13.0, 1.0), (100.0, 1.0)])
def test_clipping_scales_all_gradients_to_one_norm(
    limit: float, shrunk: float, dtype: str, backend: str
) -> None:
    optimizer = SGD(clip=limit)
    store = _started(optimizer, backend, dtype)
    before = _host(store, optimizer)
    W, b = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([0.0, -12.0])  # norm √(9 + 16 + 144) = 13
    store.grads.views["dense_1.W"][...] = optimizer.ops.asarray(W)
    store.grads.views["dense_1.b"][...] = optimizer.ops.asarray(b)
    optimizer.step(1.0)
    after = _host(store, optimizer)
    W = before["dense_1.W"] - after["dense_1.W"]
    np.testing.assert_allclose(W, shrunk * np.array([[3, 4], [0, 0]]), rtol=1e-5, atol=1e-6)
    b = before["dense_1.b"] - after["dense_1.b"]
    np.testing.assert_allclose(b, shrunk * np.array([0, -12]), rtol=1e-5, atol=1e-6)


def test_clipping_a_gradient_of_0_leaves_it_0(backend: str) -> None:
    optimizer = SGD(clip=1.0)
    store = _started(optimizer, backend)
    before = _host(store, optimizer)
    optimizer.step(0.1)
    np.testing.assert_array_equal(_host(store, optimizer)["dense_1.W"], before["dense_1.W"])


def test_starting_again_forgets_the_past(backend: str) -> None:
    optimizer = Adam()
    first = _train(optimizer, backend, [0.1] * 3)
    assert optimizer.steps == 3
    again = _train(optimizer, backend, [0.1] * 3)
    np.testing.assert_array_equal(first["dense_1.W"], again["dense_1.W"])


def test_the_state_is_what_a_checkpoint_keeps(backend: str) -> None:
    for optimizer, names in ((SGD(momentum=0.9), ["velocity"]), (Adam(), ["m", "v"]), (AdamW(), ["m", "v"])):
        store = _started(optimizer, backend)
        assert sorted(optimizer.state) == names
        for average in optimizer.state.values():
            assert average.shape == store.values.flat.shape
            assert average.dtype == store.values.flat.dtype
            assert not optimizer.ops.to_host(average).any()


def test_padding_stays_0(backend: str) -> None:
    optimizer = AdamW(weight_decay=0.1)
    store = _started(optimizer, backend)
    for _ in range(3):
        for view in store.grads.views.values():
            view[...] = 1.0
        optimizer.step(0.1)
    used = sum(view.size for view in store.values.views.values())
    assert np.count_nonzero(optimizer.ops.to_host(store.values.flat)) <= used


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SGD(learning_rate=-0.1), ["this value for learning_rate", "0 or more", "-0.1"]),
        (lambda: Adam(learning_rate=math.nan), ["learning_rate=nan"]),
        (lambda: SGD(momentum=1.0), ["SGD cannot use this value for momentum", "in [0, 1)", "momentum=1.0"]),
        (lambda: SGD(nesterov=True), ["nesterov", "a momentum above 0 with it", "nesterov=True"]),
        (lambda: SGD(weight_decay=-1.0), ["weight_decay", "0 or more", "weight_decay=-1.0"]),
        (lambda: Adam(clip=0.0), ["clip", "above 0", "clip=0.0"]),
        (lambda: Adam(beta1=1.0), ["beta1", "in [0, 1)"]),
        (lambda: Adam(beta2=-0.1), ["beta2", "in [0, 1)"]),
        (lambda: AdamW(epsilon=0.0), ["AdamW cannot use this value for epsilon", "above 0", "epsilon=0.0"]),
    ],
)
def test_a_setting_out_of_range_is_refused(make: Callable[[], Optimizer], says: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    for part in says:
        assert part in str(caught.value)
