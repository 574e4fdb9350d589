"""A device without a GPU: NumPy's arrays, and the CUDA kernels as a host compiler builds them.

The threads of a block are emulated with their barriers, shuffles, asynchronous copies and tensor cores
(cuda_threads.h, cuda_tensor.h). Everything else is that of a real device: the launches, their checks, the
binding of cuBLAS (to a small library of the same interface, cuda_blas.h), the backend above them.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinynet.backends.cupy_ import CupyBackend
from tinynet.backends.workspace import aligned_empty
from tinynet.kernels.cuda.device import THREADS, Device
from tinynet.kernels.cuda.source import Kernel, files, kernels, text

COMPILER = ("g++", "-std=c++17", "-O1", "-U_FORTIFY_SOURCE", "-shared", "-fPIC")
"""With its checks of longjmp, none would reach a stack beside its own."""
HEADERS = ("cuda_threads.h", "cuda_tensor.h", "cuda_blas.h")
SHARED = re.compile(r"__shared__ ([\w<>]+) (\w+)\[([^;\]]+)\];")
SCHEDULES = range(4)
"""What `schedule` of cuda_threads.h takes, for blocks that know nothing of each other."""
TOGETHER = (0, 1, 4, 5, 8, 12, 16)
"""The same for blocks that are there at once, and copy nothing."""


class KernelFault(AssertionError):
    """A kernel did what a GPU would punish by hanging, or by an error that ends the program."""


def symbol(instance: str) -> str:
    return "host_" + "".join(c if c.isalnum() else "_" for c in instance)


@cache
def build(code: str, instances: tuple[str, ...]) -> ctypes.PyDLL:
    """A library of these kernels, one launch at a time; without a compiler, the test is skipped."""
    if shutil.which(COMPILER[0]) is None:
        pytest.skip(f"{COMPILER[0]} is not installed: the CUDA kernels cannot be run on this machine")
    headers = [Path(__file__).with_name(header).read_text() for header in HEADERS]
    launchers = [
        f'extern "C" const char *{symbol(instance)}(unsigned blocks, unsigned threads, bool together, '
        f"void **arguments) {{ return emulated::run({instance}, blocks, threads, together, arguments); }}"
        for instance in instances
    ]
    emulated = SHARED.sub(r"\1 *\2 = emulated::shared<\1, \3, __LINE__>();", code)
    with tempfile.TemporaryDirectory() as folder:
        source, built = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
        source.write_text("\n".join([*headers, emulated, *launchers]))
        command = [*COMPILER, "-o", str(built), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        found = ctypes.PyDLL(str(built))  # holds Python's lock: the threads of a block are there once
    for instance in instances:
        getattr(found, symbol(instance)).restype = ctypes.c_char_p
    return found


@cache
def library() -> ctypes.PyDLL:
    """All kernels, compiled once for all tests."""
    instances = (instance for kernel in kernels().values() for instance in kernel.instances())
    return build("\n".join(map(text, files())), tuple(instances))


def start(
    code: ctypes.PyDLL,
    instance: str,
    blocks: int,
    threads: int,
    arguments: Sequence[np.ndarray],
    together: bool = False,
) -> None:
    """Launch a kernel with what lies in the memory of `arguments`; KernelFault for what it does wrong.

    `together`: all blocks are there at once, and may wait for each other.
    """
    pointers = (ctypes.c_void_p * len(arguments))(*(array.ctypes.data for array in arguments))
    sizes = (ctypes.c_uint(blocks), ctypes.c_uint(threads), ctypes.c_bool(together))
    problem = getattr(code, symbol(instance))(*sizes, pointers)
    if problem:
        raise KernelFault(f"{instance}: {problem.decode()}")


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

    def __init__(self, *, capability: int = 75, code: ctypes.PyDLL | None = None, **settings: Any) -> None:
        """`code`: other kernels than tinynet's, of the same names."""
        super().__init__(**settings)
        self.imitated, self.code = capability, code or library()
        self.strict = False
        """Whether NumPy's own arrays count as those of another device."""
        self.launched: list[str] = []
        self.allocated = 0
        """Arrays asked for."""
        self.graphs: list[int] = []
        """The kernels and products of each graph launched."""
        self.room = 132
        """Blocks that can be there at once."""

    @property
    def capability(self) -> int:
        return self.imitated

    def empty(self, size: int, dtype: Any) -> Any:
        self.allocated += 1
        array = aligned_empty(size, np.dtype(dtype))
        array.view(np.uint8)[...] = 0xFF  # NaN, or a number that nobody would take for a result
        return array.view(DeviceArray)

    def zeros(self, size: int, dtype: Any) -> Any:
        array = self.empty(size, dtype)
        array.view(np.ndarray).fill(0)
        return array

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

    def repeated(self, calls: list[Callable[[], object]]) -> Callable[[], object]:
        repeat = super().repeated(calls)

        def launch() -> None:
            self.graphs.append(len(calls))
            repeat()

        return launch

    def address(self, array: Any) -> int:
        return int(array.ctypes.data)

    def _is_here(self, array: Any) -> bool:
        return isinstance(array, DeviceArray) or not self.strict

    def most_together(self, name: str, *types: Any) -> int:
        return self.room

    def _start(
        self, kernel: Kernel, types: tuple[str, ...], blocks: int, values: Sequence[Any], together: bool
    ) -> None:
        self.launched.append(kernel.name)
        arguments = [self._argument(value) for value in values]
        start(self.code, kernel.instance(types), blocks, THREADS, arguments, together)

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
        super().__init__(convolution, precision, device=device or HostDevice(precision=precision))
