"""A training step through the reference operations never brings an array to the host.

Here the reference backend runs on the arrays of `device.py`, which raise where it does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from device import DeviceArray, DeviceBackend, Guard, HostRead, UndefinedCast, to_device

from tinynet.data.augmentation import Augmentation
from tinynet.errors import DeviceError
from tinynet.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, MaxPool2D, ReLU, Rescale, Softmax
from tinynet.losses import (
    LOSSES,
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
    SoftmaxCrossEntropy,
)
from tinynet.model import Sequential
from tinynet.optim import SGD, Adam, Optimizer
from tinynet.training import EpochEnd, StepEnd, Trainer
from tinynet.types import Array


class LookingBackend(DeviceBackend):
    """Plants what the guard must catch: a decision taken on the host."""

    def relu(self, x: Array) -> Array:
        return super().relu(x) if x.max() > 0 else x


def trainer(
    backend: DeviceBackend,
    optimizer: Optimizer,
    loss: type[Loss] = SoftmaxCrossEntropy,
    weighted: bool = False,
    mixed: float = 0.0,
) -> Trainer:
    layers = [
        Rescale(),
        Conv2D(4, padding="same", l2=1e-4),
        BatchNorm(),
        ReLU(),
        MaxPool2D(),
        Dropout(0.25),
        Flatten(),
        Dense(1 if loss is BinaryCrossEntropy else 5),
        *([Softmax()] if loss is CrossEntropy else []),
    ]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 8, 8, 1)).astype(np.uint8)
    targets = {MeanSquaredError: rng.normal(size=(30, 5)), BinaryCrossEntropy: rng.integers(0, 2, 30)}
    samples = images, targets.get(loss, rng.integers(0, 5, 30))
    model = Sequential(layers, (8, 8, 1), backend=backend)
    augmentation = Augmentation(
        rotation=10, elastic=1, contrast=0.2, erase=0.1, stroke=1, mixup=mixed, cutmix=mixed
    )
    settings: dict[str, Any] = {"augmentation": augmentation, "ema_decay": 0.9}
    if weighted:
        settings["sample_weight"] = rng.random(30)
    return Trainer(model, samples, loss=loss(), optimizer=optimizer, epochs=1, batch_size=8, **settings)


def train_an_epoch(backend: DeviceBackend, optimizer: Optimizer, **settings: Any) -> list[Any]:
    run = trainer(backend, optimizer, **settings)
    events = run.events()
    seen: list[Any] = [next(events)]  # step 0 checks the loss, as one in `loss_check_every` does
    Guard.armed = True
    try:
        seen += [next(events) for _ in range(len(run.train) - 1)]
    finally:
        Guard.armed = False
    return [*seen, next(events)]


@pytest.mark.parametrize("optimizer", [Adam(clip=1.0, weight_decay=0.01), SGD(momentum=0.9, nesterov=True)])
def test_a_training_step_stays_on_the_device(optimizer: Optimizer) -> None:
    *steps, end = train_an_epoch(DeviceBackend(), optimizer)
    assert all(isinstance(event, StepEnd) for event in steps)
    assert isinstance(end, EpochEnd)
    assert end.record["loss"] > 0


@pytest.mark.parametrize("loss", LOSSES.values())
@pytest.mark.parametrize("weighted", [False, True])
def test_so_does_every_loss(loss: type[Loss], weighted: bool) -> None:
    *_, end = train_an_epoch(DeviceBackend(), SGD(0.01), loss=loss, weighted=weighted)
    assert set(end.record) > {"loss", "r2"} if loss is MeanSquaredError else {"loss", "accuracy"}


@pytest.mark.parametrize("weighted", [False, True])
def test_so_do_mixed_images(weighted: bool) -> None:
    *_, end = train_an_epoch(DeviceBackend(), SGD(0.01), weighted=weighted, mixed=0.5)
    assert set(end.record) > {"loss", "accuracy"}


def test_a_read_in_the_step_is_caught() -> None:
    with pytest.raises(HostRead, match="bool"):
        train_an_epoch(LookingBackend(), Adam())


@pytest.mark.parametrize(
    "read", [float, int, bool, DeviceArray.item, DeviceArray.tolist, DeviceArray.to_host]
)
def test_every_way_to_read_is_caught(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    array = DeviceArray(np.ones(()))
    read(array)
    monkeypatch.setattr(Guard, "armed", True)
    with pytest.raises(HostRead):
        read(array)


def test_mixing_host_and_device_arrays_is_caught() -> None:
    with pytest.raises(HostRead, match="mixes"):
        DeviceArray(np.ones(3)) + np.ones(3)
    with pytest.raises(HostRead, match="written"):
        DeviceArray(np.ones(3))[...] = np.ones(3)
    with pytest.raises(HostRead, match="host array without being asked"):
        np.asarray(DeviceArray(np.ones(3)))
    with pytest.raises(HostRead, match="given an array of the host"):
        DeviceBackend.xp.concatenate(np.ones(3), DeviceArray(np.ones(3)))


# --- arrays that are somewhere else -----------------------------------------------------------------------


def test_a_host_array_handed_to_a_layer_on_the_device() -> None:
    x = np.ones((2, 8, 8, 1), np.float32)
    with pytest.raises(DeviceError, match=r"Conv2D 'conv2d_1' .* device backend") as caught:
        Sequential([Conv2D(2)], (8, 8, 1), backend=DeviceBackend()).forward(x)
    assert str(caught.value).splitlines()[1:] == [
        "  expected: device.DeviceArray",
        "  received: numpy.ndarray",
        "  fix: model.backend.asarray(x)",
    ]


def test_an_array_of_the_device_handed_to_a_model_on_the_host() -> None:
    model = Sequential([Dense(2)], (4,), backend="numpy")
    array: Any = DeviceArray(np.ones((2, 4), np.float32))
    with pytest.raises(DeviceError, match=r"expected: numpy\.ndarray"):
        model.forward(array)
    with pytest.raises(DeviceError, match=r"cannot take these samples"):
        model.predict(array)
    with pytest.raises(DeviceError, match=r"cannot take these samples"):
        Trainer(model, (array, np.zeros(2, np.int64)))
    with pytest.raises(DeviceError, match=r"cannot take these targets"):
        Trainer(model, (np.ones((2, 4), np.float32), array))


def test_an_array_on_another_device() -> None:
    model = Sequential([Dense(2)], (4,), backend=DeviceBackend())
    data = np.ones((2, 4), np.float32)
    model.forward(to_device(data))
    with pytest.raises(DeviceError, match=r"expected: device 0\n  received: device 1"):
        model.forward(to_device(data, "device 1"))


def test_a_model_on_the_device_predicts_arrays_of_either_place() -> None:
    model = Sequential([Dense(2)], (4,), backend=DeviceBackend())
    data = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(model.predict(data), model.predict(to_device(data)))


@pytest.mark.parametrize("value", [-3.2, 256.0, np.nan, np.inf])
def test_a_number_that_an_integer_cannot_hold_is_refused(value: float) -> None:
    with pytest.raises(UndefinedCast, match="as uint8"):
        to_device(np.array([1.0, value])).astype(np.uint8)


def test_casts_that_are_the_same_everywhere() -> None:
    whole = to_device(np.array([-0.9, 255.9])).astype(np.uint8)
    np.testing.assert_array_equal(whole.to_host(), [0, 255])
    np.testing.assert_array_equal(to_device(np.array([-1])).astype(np.uint8).to_host(), [255])
    assert to_device(np.zeros(0)).astype("int32").dtype == np.int32
