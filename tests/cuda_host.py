"""A device without a GPU: NumPy's arrays, and the CUDA kernels as a host compiler builds them.

Everything else is that of a real one: the launches, their checks, the binding of cuBLAS (to a small
library of the same interface), the backend above them.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinynet.backends.cupy_ import CupyBackend
from tinynet.backends.workspace import aligned_empty
from tinynet.kernels.cuda.device import THREADS, Device
from tinynet.kernels.cuda.source import Kernel, files, kernels, text

COMPILER = "g++"
SHIM = Path(__file__).with_name("cuda_host.h")


def symbol(instance: str) -> str:
    return "host_" + "".join(c if c.isalnum() else "_" for c in instance)


@cache
def library() -> ctypes.CDLL:
    """All kernels in one library, compiled once for all tests; without a compiler, the test is skipped."""
    if shutil.which(COMPILER) is None:
        pytest.skip(f"{COMPILER} is not installed: the CUDA kernels cannot be run on this machine")
    launchers = [
        f'extern "C" void {symbol(instance)}(unsigned blocks, unsigned threads, void **arguments) '
        f"{{ run({instance}, blocks, threads, arguments); }}"
        for kernel in kernels().values()
        for instance in kernel.instances()
    ]
    with tempfile.TemporaryDirectory() as folder:
        source, built = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
        parts = [SHIM.read_text(), *map(text, files()), *launchers]
        source.write_text("\n".join(parts))
        command = [
            COMPILER,
            "-std=c++17",
            "-O1",
            "-shared",
            "-fPIC",
            "-o",
            str(built),
            str(source),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(str(built))


class Guard(threading.local):
    """Whether this thread makes a recording."""

    armed = False


guard = Guard()


class DeviceArray(np.ndarray):
    """An array that nothing but the kernels may compute with while a recording is made."""

    @classmethod
    def look(cls, what: str) -> None:
        if guard.armed:
            raise AssertionError(f"{what}: this does not go through the door, so a recording would miss it")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        self.look(ufunc.__name__)
        plain = [x.view(np.ndarray) if isinstance(x, DeviceArray) else x for x in inputs]
        if out := settings.get("out"):
            settings["out"] = tuple(x.view(np.ndarray) if isinstance(x, DeviceArray) else x for x in out)
        result = getattr(ufunc, method)(*plain, **settings)
        return np.asarray(result).view(DeviceArray) if isinstance(result, np.ndarray | np.generic) else result

    def __array_function__(self, function: Any, *rest: Any) -> Any:
        self.look(function.__name__)
        return super().__array_function__(function, *rest)

    def __setitem__(self, *rest: Any) -> None:
        self.look("setting items")
        super().__setitem__(*rest)

    def astype(self, *rest: Any, **settings: Any) -> Any:
        self.look("astype")
        return super().astype(*rest, **settings)

    def copy(self, *rest: Any) -> Any:
        self.look("copy")
        return super().copy(*rest)

    def __float__(self) -> float:
        self.look("float")
        return super().__float__()


class HostDevice(Device):
    """NumPy's memory as that of a device."""

    xp = np

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.strict = False
        """Whether NumPy's own arrays count as those of another device."""
        self.launched: list[str] = []
        self.allocated = 0
        """Arrays asked for."""

    def empty(self, size: int, dtype: Any) -> Any:
        self.allocated += 1
        array = aligned_empty(size, np.dtype(dtype))
        array.view(np.uint8)[...] = 0xFF  # NaN, or a number that nobody would take for a result
        return array.view(DeviceArray)

    def from_host(self, array: Any) -> Any:
        return np.ascontiguousarray(array).view(DeviceArray)

    def to_host(self, array: Any) -> Any:
        return np.asarray(array)

    def record(self, run: Any) -> Any:
        def guarded() -> None:
            before, guard.armed = guard.armed, True
            try:
                run()
            finally:
                guard.armed = before

        return super().record(guarded)

    def address(self, array: Any) -> int:
        return int(array.ctypes.data)

    def _is_here(self, array: Any) -> bool:
        return isinstance(array, DeviceArray) or not self.strict

    def _start(self, kernel: Kernel, types: tuple[str, ...], blocks: int, values: Sequence[Any]) -> None:
        self.launched.append(kernel.name)
        kept = [self._argument(value) for value in values]
        pointers = (ctypes.c_void_p * len(kept))(*(array.ctypes.data for array in kept))
        launch = getattr(library(), symbol(kernel.instance(types)))
        launch(ctypes.c_uint(blocks), ctypes.c_uint(THREADS), pointers)

    def _argument(self, value: Any) -> np.ndarray:
        """An array whose memory is the argument: a number, or the address of an array."""
        return np.array(self.address(value) if isinstance(value, np.ndarray) else value)

    def _library(self) -> ctypes.CDLL:
        return library()

    def _stream(self) -> int:
        return 0


class HostBackend(CupyBackend):
    """The GPU backend on such a device."""

    def __init__(
        self, convolution: str = "auto", precision: str = "float32", *, device: HostDevice | None = None
    ) -> None:
        super().__init__(convolution, precision, device=device or HostDevice(tf32=precision == "tf32"))
