"""A make-believe GPU: the reference backend on arrays that behave like a GPU's.

They can be computed with, and show their shape and dtype. What a GPU's arrays refuse, these refuse: to become
a numpy.ndarray unasked, or to be mixed with one. They refuse a cast, too, of which a GPU makes another
number: `UndefinedCast`. While `Guard` is armed they cannot be turned into Python numbers either: a GPU hides
its latency only as long as nobody looks.

`TINYNET_TEST_BACKENDS=device` runs the tests on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet.backends.numpy_ import NumpyBackend
from tinynet.types import Array


class HostRead(AssertionError):
    """An array left the device."""


class UndefinedCast(AssertionError):
    """A value becomes an integer that cannot hold it: NumPy wraps around where a GPU takes the nearest."""


class Guard:
    """Whether reads are errors now."""

    armed = False


class DeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of another memory: computes with its like and with scalars, reveals only shape and dtype."""

    def __init__(self, data: np.ndarray, device: str = "device 0") -> None:
        self.memory, self.device = data, device

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
        if any(isinstance(value, np.ndarray) for value in inputs):
            raise HostRead(f"{ufunc.__name__} mixes a host array with a device array")
        return wrapped(getattr(ufunc, method))(*inputs, **settings)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # __array_interface__ and the like would hand out the memory itself
            raise AttributeError(name)
        found = getattr(self.memory, name)
        return wrapped(found) if callable(found) else to_device(found)

    def __getitem__(self, index: Any) -> DeviceArray:
        return to_device(self.memory[unwrap(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            raise HostRead("a host array is written into a device array")
        self.memory[unwrap(index)] = unwrap(value)

    def __len__(self) -> int:
        return len(self.memory)

    def _read(self, kind: Any) -> Any:
        if Guard.armed:
            raise HostRead(f"{getattr(kind, '__name__', kind)} of a device array of shape {self.shape}")
        return kind(self.memory)

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
        raise HostRead("a device array becomes a host array without being asked to")

    def __array_function__(self, function: Any, types: Any, arguments: Any, settings: Any) -> Any:
        return wrapped(function)(*arguments, **settings)

    def astype(self, dtype: Any, **settings: Any) -> DeviceArray:
        if self.memory.dtype.kind == "f" and np.dtype(dtype).kind in "iu" and self.memory.size:
            held, whole = np.iinfo(dtype), np.trunc(self.memory)
            if not (held.min <= whole.min() and whole.max() <= held.max):
                raise UndefinedCast(f"{whole.min()} … {whole.max()} as {np.dtype(dtype)}")
        return to_device(self.memory.astype(dtype, **settings))

    def to_host(self) -> np.ndarray:
        return self._read(np.copy)

    def item(self) -> Any:
        return self._read(np.ndarray.item)

    def tolist(self) -> Any:
        return self._read(np.ndarray.tolist)


def unwrap(value: Any) -> Any:
    if isinstance(value, DeviceArray):
        return value.memory
    return type(value)(map(unwrap, value)) if type(value) in (tuple, list) else value


def to_device(value: Any, device: str = "device 0") -> Any:
    """Arrays, and the scalars that reductions give, which a GPU keeps as 0-d arrays."""
    return DeviceArray(np.asarray(value), device) if isinstance(value, np.ndarray | np.generic) else value


def wrapped(function: Any) -> Any:
    """`function` on the device: takes no arrays of the host, unless it is there to bring them."""

    def call(*arguments: Any, **settings: Any) -> Any:
        brings = getattr(function, "__name__", "") in ("array", "asarray", "ascontiguousarray")
        if not brings and any(isinstance(value, np.ndarray) for value in arguments):
            raise HostRead(f"{function} is given an array of the host")
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

    def to_host(self, array: Any) -> Array:
        return array.to_host() if isinstance(array, DeviceArray) else np.asarray(array)
