"""Frozen layers: they stay what they are to the last bit, whatever else learns, and cost no backward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinynet import layers as L
from tinynet.backends.numba_ import NumbaBackend
from tinynet.checkpoint import load_training, save_training, weights_sha256
from tinynet.errors import ConfigError
from tinynet.layers.base import Layer
from tinynet.model import Sequential
from tinynet.optim import SGD, Adam, AdamW, Optimizer
from tinynet.rng import Key, uniform
from tinynet.training import Trainer
from tinynet.types import Array

IMAGES = (uniform(Key(9, 0), (24, 6, 6, 1)) * 256).astype(np.uint8)
LABELS = np.arange(24) % 4
NAMES = [
    *("conv2d_1.W", "conv2d_1.b", "batchnorm_1.gamma", "batchnorm_1.beta"),
    *("dense_1.W", "dense_1.b", "dense_2.W", "dense_2.b"),
]


def cnn() -> list[Layer]:
    return [
        *[L.Rescale(), L.Conv2D(4, 3, padding="same", l2=0.01), L.BatchNorm(), L.ReLU(), L.MaxPool2D()],
        *[L.Dropout(0.3), L.Flatten(), L.Dense(8, l2=0.01), L.GELU(), L.Dense(4)],
    ]


def model(backend: str, *freeze: str, layers: list[Layer] | None = None) -> Sequential:
    return Sequential(layers or cnn(), (6, 6, 1), backend=backend, freeze=freeze)


def tensors(net: Sequential) -> dict[str, Array]:
    views = net.store.values.views | net.store.state.views
    return {name: np.array(net.backend.to_host(view)) for name, view in views.items()}


def moved(net: Sequential, before: dict[str, Array]) -> set[str]:
    after = tensors(net)
    return {name for name in before if not np.array_equal(before[name], after[name])}


OPTIMIZERS = [
    SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    SGD(0.1, clip=0.1),
    Adam(0.01, clip=0.1),
    AdamW(0.01, weight_decay=0.5),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_nothing_moves_what_is_frozen_and_all_else_moves(optimizer: Optimizer, backend: str) -> None:
    """No step, momentum, decay, penalty, average of the weights, nor running statistic."""
    net = model(backend, "conv2d_*", "batchnorm_1", "dense_1.W")
    before = tensors(net)
    data = (IMAGES, LABELS)
    Trainer(net, data, validation=data, optimizer=optimizer, epochs=2, batch_size=8, ema_decay=0.5).run()
    assert moved(net, before) == {"dense_1.b", "dense_2.W", "dense_2.b"}


def test_statistics_move_unless_their_whole_layer_is_frozen(backend: str) -> None:
    for pattern, move in (("batchnorm_1.gamma", True), ("batchnorm_?", False), ("*.gamma", True)):
        net = model(backend, pattern)
        before = tensors(net)
        Trainer(net, (IMAGES, LABELS), epochs=1, batch_size=8).run()
        assert "batchnorm_1.gamma" not in moved(net, before)
        assert ({"batchnorm_1.mean", "batchnorm_1.variance"} <= moved(net, before)) is move


def test_frozen_normalisation_trains_as_it_evaluates(backend: str) -> None:
    """The same outputs and gradients as in evaluation mode, which gradcheck checks."""
    layers = [L.Rescale(), L.Conv2D(4, 3), L.BatchNorm(), L.ReLU(), L.MaxPool2D(), L.Flatten(), L.Dense(4)]
    net = model(backend, "batchnorm_1", layers=layers)
    state = net.store.state
    state.flat[...] = state.flat + net.backend.asarray(uniform(Key(1, 0), (state.size,)).astype("float32"))
    x = net.backend.asarray(IMAGES)
    dy = net.backend.asarray(uniform(Key(2, 0), (24, 4)).astype("float32"))
    found = []
    for train in (True, False):
        outputs, tape = net.forward(x, train=train)
        outputs = net.backend.to_host(outputs).copy()
        net.backward(dy, tape)
        found.append([outputs, *(net.backend.to_host(g).copy() for g in net.store.grads.views.values())])
    for trained, evaluated in zip(*found, strict=True):
        np.testing.assert_allclose(trained, evaluated, rtol=1e-6, atol=1e-6)


def test_dropout_goes_on_dropping(backend: str) -> None:
    net = model(backend, "conv2d_1", "batchnorm_1")
    x = net.backend.asarray(IMAGES)
    trained = net.backend.to_host(net.forward(x, train=True)[0]).copy()
    assert not np.allclose(trained, net.backend.to_host(net.forward(x)[0]))


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_the_rest_learns_as_a_net_of_its_own(optimizer: Optimizer, backend: str) -> None:
    """Frozen layers make features; a net that is given the features learns the same weights."""
    x = uniform(Key(3, 0), (40, 6)).astype("float32")
    labels = (x.sum(axis=1) > 3).astype(int)
    body: list[Layer] = [L.Dense(8), L.BatchNorm(), L.ReLU()]
    head: list[Layer] = [L.Dense(5, l2=0.01), L.ReLU(), L.Dense(2)]
    whole = Sequential([*body, *head], (6,), backend=backend, freeze=["dense_1", "batchnorm_1"])
    alone = Sequential([L.Dense(5, l2=0.01), L.ReLU(), L.Dense(2)], (8,), backend=backend)
    for ours, theirs in (("dense_1", "dense_2"), ("dense_2", "dense_3")):
        for tensor in "Wb":
            view = whole.store.values.views[f"{theirs}.{tensor}"]
            alone.store.values.views[f"{ours}.{tensor}"][...] = view
    y: Any = whole.backend.asarray(x)
    for layer in whole.layers[:3]:
        y, _ = layer.forward(y, train=False, key=Key(0, 0))
    features = np.array(whole.backend.to_host(y))
    for net, inputs in ((whole, x), (alone, features)):
        Trainer(net, (inputs, labels), optimizer=optimizer, epochs=3, batch_size=16).run()
    for ours, theirs in (("dense_1", "dense_2"), ("dense_2", "dense_3")):
        for tensor in "Wb":
            a = alone.store.values.views[f"{ours}.{tensor}"]
            b = whole.store.values.views[f"{theirs}.{tensor}"]
            np.testing.assert_allclose(
                alone.backend.to_host(a), whole.backend.to_host(b), rtol=2e-5, atol=1e-6
            )


def test_backward_ends_at_the_first_layer_that_learns(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = model(backend, "conv2d_1", "batchnorm_1", "dense_1.W")

    def unwanted(*arguments: object) -> None:
        raise AssertionError("a backward that nothing needs")

    for layer in net.layers[:7]:
        monkeypatch.setattr(layer, "backward", unwanted)
    Trainer(net, (IMAGES, LABELS), epochs=1, batch_size=8).run()
    assert [layer.needs_dx for layer in net.layers[7:]] == [False, True, True]
    outputs, tape = net.forward(net.backend.asarray(IMAGES), train=True)
    with pytest.raises(AssertionError, match="nothing needs"):
        net.backward(outputs.copy(), tape, input_gradient=True)


@pytest.mark.parametrize("pattern", ["dense_1", "batchnorm_1", "dense_2.b"])
def test_recorded_steps_are_those_steps(pattern: str) -> None:
    found = []
    for records in (False, True):
        ops = NumbaBackend()
        if not records:
            ops.recorded_phases = ()
        layers = [L.Dense(8), *([L.BatchNorm()] if "batch" in pattern else []), L.ReLU(), L.Dense(4)]
        net = Sequential([L.Rescale(), L.Flatten(), *layers], (6, 6, 1), backend=ops, freeze=[pattern])
        trainer = Trainer(net, (IMAGES, LABELS), epochs=4, batch_size=8, ema_decay=0.5)
        trainer.run()
        assert bool(trainer.step.recorded_gradients) is (records and "batch" not in pattern)
        found.append(weights_sha256(net))
    assert found[0] == found[1]


def test_the_penalty_of_frozen_kernels_counts_in_the_loss_alone(backend: str) -> None:
    free, frozen = model(backend), model(backend, "conv2d_1")
    assert float(frozen.regularize()) == pytest.approx(float(free.regularize()))
    assert float(frozen.penalty()) == pytest.approx(float(free.penalty()))
    grads = {name: free.backend.to_host(view) for name, view in frozen.store.grads.views.items()}
    assert not grads["conv2d_1.W"].any()
    assert grads["dense_1.W"].any()


@settings(deadline=None, max_examples=30)
@given(frozen=st.sets(st.sampled_from(NAMES), max_size=len(NAMES) - 1))
def test_what_learns_lies_in_front_and_what_decays_before_that(frozen: set[str]) -> None:
    free, net = model("numpy"), model("numpy", *frozen)
    assert sorted(net.store.specs) == sorted(NAMES)
    for name, offset in net.store.values.offsets.items():
        assert (offset < net.store.learning) is (name not in frozen)
        assert (offset < net.store.decayed) is (name not in frozen and name.endswith(".W"))
    assert net.store.learning_count == sum(net.store.specs[name].size for name in {*NAMES} - frozen)
    assert net.store.count == free.store.count
    for name, initial in tensors(free).items():
        np.testing.assert_array_equal(tensors(net)[name], initial)


def test_a_checkpoint_keeps_averages_of_what_learns_only(backend: str, tmp_path: Any) -> None:
    def trainer() -> Trainer:
        net = model(backend, "conv2d_1", "batchnorm_1")
        data = (IMAGES, LABELS)
        return Trainer(
            net, data, validation=data, optimizer=Adam(0.01), epochs=3, batch_size=8, ema_decay=0.9
        )

    whole, cut, resumed = trainer(), trainer(), trainer()
    expected = whole.run()
    events = cut.events()
    for _ in range(5):
        next(events)
    save_training(tmp_path / "last", cut, [], {})
    load_training(tmp_path / "last", resumed, [])
    history = resumed.run()
    assert {name: len(flat) for name, flat in resumed.optimizer.state.items()} == dict.fromkeys(
        "mv", whole.model.store.learning
    )
    assert moved(resumed.model, tensors(whole.model)) == set()
    for ours, theirs in zip(history, expected, strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


def test_a_pattern_without_a_match_is_told_the_names(backend: str) -> None:
    layers = cnn()
    with pytest.raises(ConfigError) as caught:
        Sequential(layers, (6, 6, 1), backend=backend, freeze=["conv2d_*", "convolution"])
    said = str(caught.value)
    assert "no layer and no parameter matches 'convolution'" in said
    assert "conv2d_1, batchnorm_1, dense_1, dense_2, conv2d_1.W, conv2d_1.b" in said
    assert "received: convolution" in said
    Sequential(layers, (6, 6, 1), backend=backend)  # they are free again


def test_a_single_pattern_needs_no_list() -> None:
    net = Sequential(cnn(), (6, 6, 1), backend="numpy", freeze="dense_*")
    assert net.store.frozen == {name for name in NAMES if name.startswith("dense")}


def test_freezing_everything_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"nothing would learn\n.*\n  received: conv\*, \*_1, dense_2\.\?"):
        model("numpy", "conv*", "*_1", "dense_2.?")
