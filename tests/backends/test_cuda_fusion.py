"""What layers do for their neighbours on the GPU: fewer kernels, and the same numbers as the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cuda_host import HostBackend, HostDevice
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet import layers as L
from tinynet.backends.base import Backend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.backends.workspace import Workspace
from tinynet.data.augmentation import Augmentation
from tinynet.distributed.group import WHOLE
from tinynet.layers.base import Layer
from tinynet.rng import Key
from tinynet.runs import recipe
from tinynet.step import no_check
from tinynet.stretch import RecordedStep, RecordedSteps
from tinynet.types import Array

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((5, 9, 8, 3))
LABELS = RANDOM.integers(0, 4, 5)


class CountingDevice(HostDevice):
    """Notes what it is asked to do, and does nothing."""

    def _start(self, kernel: Any, *_: Any) -> None:
        self.launched.append(kernel.name)

    def _multiply(self, *_: Any) -> None:
        self.launched.append("a product by cuBLAS")


@pytest.mark.parametrize(
    ("name", "reference", "kernels"),
    [
        ("mlp", False, 7),
        ("lenet", False, 14),
        ("cnn", False, 29),
        ("kaggle-cnn", False, 36),
        ("kaggle-cnn", True, 37),
    ],
)
@pytest.mark.parametrize("capability", [75, 90])
def test_kernels_of_a_step(name: str, reference: bool, kernels: int, capability: int) -> None:
    """Of a training step, on a batch of its recipe's size; its numbers lie on the device.

    lenet is to take at most 16, kaggle-cnn 40, also in a stretch. There, two more begin and end a step, and
    the first of them does what `rescale` did. The reference system's own kaggle-cnn has L2 penalties on four
    layers: one kernel more.
    """
    device = CountingDevice(capability=capability)
    ops, chosen = HostBackend(device=device), recipe.load(name, reference=reference)
    size = chosen.training.batch_size
    images, labels = np.zeros((size, 28, 28, 1), np.uint8), np.zeros(size, np.int64)
    run = tn.Trainer(chosen.build_model(backend=ops), (images, labels), batch_size=size, epochs=1)
    number = ops.asarray(np.ones(1)).reshape(())
    for _ in range(2):
        device.launched.clear()
        loss, _ = run.step.gradients(images, labels, step=number, shard=WHOLE)
        run.model.regularize(loss)
        run.optimizer.move(number, number)
        assert len(device.launched) == kernels
    device.launched.clear()
    assert isinstance(run.learner, RecordedSteps)
    RecordedStep(run.learner, run.train, size, (), no_check)
    assert len(device.launched) == kernels + 1
    assert (device.launched[0], device.launched[-1]) == ("begin_step", "end_step")


@pytest.mark.parametrize(
    ("setting", "count"),
    [
        ({}, 0),
        ({"augmentation": Augmentation(rotation=9)}, 1),
        ({"augmentation": Augmentation(mixup=0.4)}, 1),
    ],
)
def test_who_gathers_a_batch_rescales_it_unless_it_is_distorted(setting: dict[str, Any], count: int) -> None:
    ops, images = HostBackend(), RANDOM.integers(0, 256, (6, 5, 5, 1), np.uint8)
    model = tn.Sequential(
        [L.Rescale(0.01, 0.2), L.Conv2D(2, 3), L.Flatten(), L.Dense(4)], (5, 5, 1), backend=ops
    )
    run = tn.Trainer(model, (images, RANDOM.integers(0, 4, 6)), batch_size=3, epochs=1, **setting)
    next(run.events())
    assert ops.device.launched.count("rescale") == count


def test_a_batch_is_rescaled_by_what_holds_then() -> None:
    """Of the very batch that was gathered, and once; whatever else is given in between."""
    ops, pixels = HostBackend(), RANDOM.integers(0, 256, (6, 4), np.uint8)
    layer = L.Rescale(0.5, 1.0)
    tn.Sequential([layer], (4,), backend=ops)
    gathering = ops.bound_to(Workspace(), "batches")
    layer.ops.fuse_gathering(gathering, lambda: (layer.scale, layer.offset, "float32"))
    plan, now, order = np.array([[1.0, 0], [0, 2]]), np.zeros(2), np.array([5, 0, 3, 1, 2, 4])

    def rescaled(x: Array) -> Array:
        return np.array(layer.forward(x, train=True, key=Key(0, 0))[0])

    for changed in (0.5, 0.5, 0.25):
        x, _ = gathering.begin_step(plan, now, 1, order, (pixels, np.arange(6)), 3)
        np.testing.assert_array_equal(x, pixels[[3, 1, 2]])
        layer.scale = changed
        for images, launches in ((x, changed != 0.5), (x, True), (pixels, True)):
            ops.device.launched.clear()
            np.testing.assert_array_equal(rescaled(images), images * np.float32(changed) + 1)
            assert ops.device.launched == ["rescale"] * launches
        layer.scale = 0.5


def learned(make: Callable[[], list[Layer]], ops: Backend, train: bool = True) -> list[Array]:
    """A net's outputs, and the gradients of its parameters and its input."""
    model = tn.Sequential(make(), IMAGES.shape[1:], backend=ops, dtype="float64", seed=1)
    y, tape = model.forward(ops.asarray(IMAGES), train=train, step=3)
    dx = model.backward(ops.asarray(np.cos(np.array(y))), tape, input_gradient=True)
    return [np.array(each) for each in (y, dx, model.store.grads.flat, model.store.state.flat)]


def assert_same(make: Callable[[], list[Layer]], train: bool = True) -> None:
    for mine, theirs in zip(
        learned(make, HostBackend(), train), learned(make, NumpyBackend(), train), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-11 * max(1.0, abs(theirs).max(initial=0)))


PARTS: dict[str, Callable[[], Layer]] = {
    "conv": lambda: L.Conv2D(3, 2, padding="same"),
    "dense": lambda: L.Dense(4),
    "relu": L.ReLU,
    "elu": lambda: L.ELU(0.7),
    "gelu": L.GELU,
    "dropout": lambda: L.Dropout(0.4),
    "no dropout": lambda: L.Dropout(0.0),
    "pool": lambda: L.MaxPool2D(2, stride=1, padding="same"),
    "halving": lambda: L.MaxPool2D(2, padding="same"),
    "norm": L.BatchNorm,
    "residual": lambda: L.Residual([L.Conv2D(3, 1), L.ReLU(), L.Dropout(0.2), L.Conv2D(3, 1)]),
}


def has_one_norm(names: list[str]) -> bool:
    """At most. One of few rows, nearly constant behind a dropout, magnifies rounding up to 316 times."""
    return names.count("norm") <= 1


@settings(deadline=None, max_examples=60)
@given(
    names=st.lists(st.sampled_from(sorted(PARTS.keys() - {"dense"})), max_size=7).filter(has_one_norm),
    behind=st.lists(st.sampled_from(("dense", "relu", "elu", "dropout", "norm", "gelu")), max_size=5).filter(
        has_one_norm
    ),
    train=st.booleans(),
)
def test_neighbours_of_any_kind(names: list[str], behind: list[str], train: bool) -> None:
    def make() -> list[Layer]:
        layers = [PARTS["conv"](), *(PARTS[name]() for name in names)]
        return [*layers, L.Flatten(), *(PARTS[name]() for name in behind), L.Dense(4)]

    assert_same(make, train)


def launched(layers: list[Layer], setting: str = "auto") -> list[str]:
    """The kernels of a forward and a backward in training."""
    ops = HostBackend(setting)
    learned(lambda: layers, ops)
    assert isinstance(ops.device, HostDevice)
    return [name for name in ops.device.launched if name != "put"]  # the step's number


def dropped() -> list[Layer]:
    return [L.Flatten(), L.Dense(6), L.ELU(), L.Dropout(0.5), L.Dense(4)]


def test_an_activation_and_a_dropout_between_products() -> None:
    backward = ["conv2d_backward"] * 2
    assert launched(dropped()) == ["conv2d", "dropout", "conv2d", *backward]
    assert launched([L.Conv2D(3, 3), L.ReLU(), L.Flatten(), L.Dense(4)]) == ["conv2d", "conv2d", *backward]


def test_a_product_finds_the_statistics_of_a_normalisation() -> None:
    def layers() -> list[Layer]:
        return [L.Conv2D(3, 3), L.BatchNorm(), L.ReLU(), L.Flatten(), L.Dense(4), L.BatchNorm()]

    norm_backward = ["batch_gradients", "normalize_backward"]
    assert launched(layers()) == [
        *("conv2d", "normalize", "conv2d", "normalize"),
        *(*norm_backward, "conv2d_backward", *norm_backward, "conv2d_backward"),
    ]
    assert launched(layers(), "im2col").count("batch_statistics") == 2


def test_a_convolution_pools() -> None:
    def layers(filters: int = 3, window: int = 2) -> list[Layer]:
        pooled = [L.Conv2D(filters, (2, 3)), L.ReLU(), L.MaxPool2D(window), L.BatchNorm()]
        return [*pooled, L.Flatten(), L.Dense(4)]

    forward = ["conv2d", "normalize", "conv2d"]
    assert launched(layers())[:3] == forward
    for train in (True, False):
        assert_same(layers, train)
    ops = HostBackend()
    learned(layers, ops, train=False)
    assert "maxpool" in ops.device.launched  # the mask of the ReLU is not its own
    assert launched(layers(window=3))[:3] == ["conv2d", "maxpool_statistics", "normalize"]
    assert launched([L.Conv2D(3, 2), *layers()[1:]])[:3] == ["conv2d", "maxpool_statistics", "normalize"]
    assert launched(layers(), "im2col").count("maxpool_statistics") == 1


def test_a_normalisation_pools() -> None:
    def layers() -> list[Layer]:
        normalised = [L.Conv2D(3, (2, 3)), L.BatchNorm(), L.ReLU(), L.MaxPool2D()]
        return [*normalised, L.Flatten(), L.Dense(4)]

    assert launched(layers())[:3] == ["conv2d", "normalize_and_pool", "conv2d"]
    for train in (True, False):
        assert_same(layers, train)
    frozen = layers()
    frozen[1].frozen = True
    assert "normalize_and_pool" in launched(frozen)


def test_the_lesson_fuses_less() -> None:
    """By im2col and cuBLAS only the bias and the ReLU are applied together."""
    assert {"elu", "elu_backward", "dropout_backward", "add_bias"} <= set(launched(dropped(), "im2col"))


def test_a_setting_of_a_neighbour_may_change() -> None:
    def changed(ops: Backend, alpha: float, rate: float) -> list[Array]:
        layers = dropped()
        model = tn.Sequential(layers, IMAGES.shape[1:], backend=ops, dtype="float64", seed=1)
        results = []
        for _ in range(2):
            y, tape = model.forward(ops.asarray(IMAGES), train=True)
            dx = model.backward(ops.asarray(np.cos(np.array(y))), tape, input_gradient=True)
            results += [np.array(y), np.array(dx)]
            for layer, setting, value in ((layers[2], "alpha", alpha), (layers[3], "rate", rate)):
                setattr(layer, setting, value)
        return results

    for alpha, rate in ((0.3, 0.0), (2.0, 0.8)):
        for mine, theirs in zip(
            changed(HostBackend(), alpha, rate), changed(NumpyBackend(), alpha, rate), strict=True
        ):
            np.testing.assert_allclose(mine, theirs, atol=1e-12)


def test_nothing_is_kept_when_memory_is_released() -> None:
    ops = HostBackend()
    model = tn.Sequential(dropped(), IMAGES.shape[1:], backend=ops)
    model.forward(ops.asarray(IMAGES.astype(np.float32)), train=True)
    assert model.workspace.passed
    model.release_memory()
    assert not model.workspace.passed


@pytest.mark.parametrize("kind", [L.ReLU, L.ELU, L.Dropout, L.Dense, L.Conv2D, L.MaxPool2D, L.BatchNorm])
def test_a_subclass_is_left_alone(kind: type[Layer]) -> None:
    """It may compute otherwise."""
    other = type("Other", (kind,), {})

    def made() -> list[Layer]:
        images = [L.Conv2D(3, 2), L.ReLU(), L.MaxPool2D(), L.BatchNorm(), L.Conv2D(3, 2)]
        return [*images, L.ELU(), L.Dropout(0.3), L.Flatten(), L.Dense(3), L.ReLU(), L.Dense(2)]

    others = made()
    for layer in others:
        if type(layer) is kind:
            layer.__class__ = other
    assert len(launched(others)) > len(launched(made()))


@pytest.mark.parametrize("loss", [tn.losses.SoftmaxCrossEntropy(), tn.losses.CrossEntropy()])
def test_a_loss_counts_right_answers_once(loss: Any) -> None:
    """And only those that it has seen: an array may be the same, and hold something else."""
    ops = HostBackend()
    model = tn.Sequential(
        [L.Flatten(), L.Dense(4), L.Softmax()], IMAGES.shape[1:], backend=ops, dtype="float64"
    )
    loss.start(model)
    for images in (IMAGES, -IMAGES):
        outputs, _ = model.forward(ops.asarray(images), train=True)
        expected = (np.array(outputs).argmax(axis=1) == LABELS).sum()
        loss.forward(outputs, LABELS)
        ops.device.launched.clear()
        assert loss.ops.count_correct(outputs, LABELS) == expected
        assert not ops.device.launched
        assert loss.ops.count_correct(outputs, LABELS) == expected
        assert ops.device.launched == ["count_correct"]
    loss.forward(outputs, LABELS)
    again, _ = model.forward(ops.asarray(IMAGES), train=True)
    assert again is outputs
    assert loss.ops.count_correct(again, LABELS) == (np.array(again).argmax(axis=1) == LABELS).sum()
