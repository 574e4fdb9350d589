"""A training step through the reference operations never brings an array to the host.

A GPU hides its latency only as long as nobody looks. Here the reference backend runs on arrays that behave
like a GPU's: they can be computed with, but turning one into a Python number or a numpy.ndarray, or mixing
it with one, raises.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinynet.augmentation import Augmentation
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.errors import DeviceError
from tinynet.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, MaxPool2D, ReLU, Rescale
from tinynet.model import Sequential
from tinynet.optim import SGD, Adam, Optimizer
from tinynet.training import EpochEnd, StepEnd, Trainer
from tinynet.types import Array


class HostRead(AssertionError):
    """An array left the device."""


class Guard:
    """Whether reads are errors now."""

    armed = False


class DeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of another memory: computes with its like and with scalars, reveals only shape and dtype."""

    def __init__(self, data: np.ndarray, device: str = "device 0") -> None:
        self._data, self.device = data, device

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
        if any(isinstance(value, np.ndarray) for value in inputs):
            raise HostRead(f"{ufunc.__name__} mixes a host array with a device array")
        return wrapped(getattr(ufunc, method))(*inputs, **settings)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # __array_interface__ and the like would hand out the memory itself
            raise AttributeError(name)
        found = getattr(self._data, name)
        return wrapped(found) if callable(found) else to_device(found)

    def __getitem__(self, index: Any) -> DeviceArray:
        return to_device(self._data[unwrap(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            raise HostRead("a host array is written into a device array")
        self._data[unwrap(index)] = unwrap(value)

    def __len__(self) -> int:
        return len(self._data)

    def _read(self, kind: Any) -> Any:
        if Guard.armed:
            raise HostRead(f"{getattr(kind, '__name__', kind)} of a device array of shape {self.shape}")
        return kind(self._data)

    def __float__(self) -> float:
        return self._read(float)

    def __int__(self) -> int:
        return self._read(int)

    def __bool__(self) -> bool:
        return self._read(bool)

    def __index__(self) -> int:
        return self._read(int)

    def __iter__(self) -> Any:
        return self._read(iter)

    def __array__(self, *arguments: Any, **settings: Any) -> np.ndarray:
        return self._read(np.asarray)

    def item(self) -> Any:
        return self._read(np.ndarray.item)

    def tolist(self) -> Any:
        return self._read(np.ndarray.tolist)


def unwrap(value: Any) -> Any:
    if isinstance(value, DeviceArray):
        return value._data
    return type(value)(map(unwrap, value)) if type(value) in (tuple, list) else value


def to_device(value: Any) -> Any:
    """Arrays, and the scalars that reductions give, which a GPU keeps as 0-d arrays."""
    return DeviceArray(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else value


def wrapped(function: Any) -> Any:
    def call(*arguments: Any, **settings: Any) -> Any:
        settings = {name: unwrap(value) for name, value in settings.items()}
        return to_device(function(*map(unwrap, arguments), **settings))

    return call


class DeviceModule:
    """numpy, with arrays that stay on the device."""

    ndarray = DeviceArray

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if isinstance(found, type(np)):
            return DeviceModule(found)
        return found if isinstance(found, type) or not callable(found) else wrapped(found)


class DeviceBackend(NumpyBackend):
    name = "device"
    xp = DeviceModule(np)
    loss_check_every = 10**9

    def asarray(self, array: Any) -> Any:
        return array if isinstance(array, DeviceArray) else DeviceArray(np.ascontiguousarray(array))

    def to_host(self, array: Array) -> Array:
        return np.asarray(array)


class LookingBackend(DeviceBackend):
    """Plants what the guard must catch: a decision taken on the host."""

    def relu(self, x: Array) -> Array:
        return super().relu(x) if x.max() > 0 else x


def trainer(backend: DeviceBackend, optimizer: Optimizer) -> Trainer:
    layers = [
        Rescale(),
        Conv2D(4, padding="same", l2=1e-4),
        BatchNorm(),
        ReLU(),
        MaxPool2D(),
        Dropout(0.25),
        Flatten(),
        Dense(5),
    ]
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (30, 8, 8, 1)).astype(np.uint8), rng.integers(0, 5, 30)
    model = Sequential(layers, (8, 8, 1), backend=backend)
    augmentation = Augmentation(rotation=10, elastic=1, contrast=0.2, erase=0.1)
    settings = {"augmentation": augmentation, "average": 0.9}
    return Trainer(model, samples, optimizer=optimizer, epochs=1, batch_size=8, **settings)


def train_an_epoch(backend: DeviceBackend, optimizer: Optimizer) -> list[Any]:
    run = trainer(backend, optimizer)
    events = run.events()
    seen: list[Any] = [next(events)]  # step 0 checks the loss, as one in `loss_check_every` does
    Guard.armed = True
    try:
        seen += [next(events) for _ in range(len(run.train) - 1)]
    finally:
        Guard.armed = False
    return [*seen, next(events)]


@pytest.mark.parametrize("optimizer", [Adam(clip=1.0, decay=0.01), SGD(momentum=0.9, nesterov=True)])
def test_a_training_step_stays_on_the_device(optimizer: Optimizer) -> None:
    *steps, end = train_an_epoch(DeviceBackend(), optimizer)
    assert all(isinstance(event, StepEnd) for event in steps)
    assert isinstance(end, EpochEnd)
    assert end.record["loss"] > 0


def test_a_read_in_the_step_is_caught() -> None:
    with pytest.raises(HostRead, match="bool"):
        train_an_epoch(LookingBackend(), Adam())


@pytest.mark.parametrize("read", [float, int, bool, np.asarray, DeviceArray.item, DeviceArray.tolist])
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


# --- arrays that are somewhere else -----------------------------------------------------------------------


def test_a_host_array_handed_to_a_layer_on_the_device() -> None:
    x = np.ones((2, 8, 8, 1), np.float32)
    with pytest.raises(DeviceError, match=r"Conv2D 'conv2d_1' .* device backend") as caught:
        trainer(DeviceBackend(), Adam()).model.layers[1].forward(x, train=False, key=None)
    assert str(caught.value).splitlines()[1:] == [
        "  expected: test_device_residency.DeviceArray",
        "  received: numpy.ndarray",
        "  fix: model.backend.asarray(x)",
    ]


@pytest.mark.parametrize("array", [DeviceArray(np.ones((2, 4), np.float32)), [[0.0] * 4], "abcd"])
def test_what_is_no_host_array_handed_to_a_model_on_the_host(array: Any) -> None:
    model = Sequential([Dense(2)], (4,), backend="numpy")
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
    model.forward(DeviceArray(data))
    with pytest.raises(DeviceError, match=r"expected: device 0\n  received: device 1"):
        model.forward(DeviceArray(data, "device 1"))


def test_a_model_on_the_device_predicts_arrays_of_either_place() -> None:
    model = Sequential([Dense(2)], (4,), backend=DeviceBackend())
    data = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(model.predict(data), model.predict(DeviceArray(data)))
