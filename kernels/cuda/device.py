"""The one door to a device: every kernel and every product of ours goes through `launch` and `product`.

A kernel sees addresses, not shapes, dtypes or strides, so the door checks these first. And what goes through
one door can be noted there: `record`.
"""

from __future__ import annotations

import ctypes
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from tinynet.kernels.cuda import cublas
from tinynet.kernels.cuda.source import C_NAMES, TYPES, Kernel, Parameter, kernels, text

THREADS = 256
"""Threads of a block."""
MAX_COUNT = 2**31 - 2**10
"""The most threads of a launch and values of an array: kernels count in 32 bits."""
TENSOR_CAPABILITIES = (80, 90, 100, 103)
"""Ten times the compute capabilities of A100, H100, B200 and B300: of GPUs whose tensor cores multiply TF32
more than three times as fast as other units multiply float32. There, three products are faster than one."""
FIRST_ROUNDED = 80
"""Ten times the compute capability of the first GPU that multiplies TF32 and bfloat16."""
OPTIONS = ("-std=c++17",)
C_REALS: dict[Any, Any] = {np.dtype("float32"): ctypes.c_float, np.dtype("float64"): ctypes.c_double}

Call = Callable[[], object]


class _OfThread(threading.local):
    """What a device keeps for each thread: its recording under way, and its handle to cuBLAS."""

    noted: list[Call] | None = None
    is_complete = True
    cublas: cublas.Cublas | None = None


class Recording:
    """Calls that were made, to be made again. They hold the arrays, so these stay where they are."""

    def __init__(self, calls: list[Call], repeat: Call) -> None:
        self.calls, self._repeat = calls, repeat

    def __call__(self) -> None:
        self._repeat()


class Device(ABC):
    """Memory of its own, and the kernels of this folder to compute with."""

    xp: Any
    """The module of its arrays."""
    threads = THREADS
    """Of a block."""

    def __init__(self, *, precision: str = "float32", failure: type[Exception] = RuntimeError) -> None:
        """`failure` is the error for what is wrong with a launch; `precision`: see `cublas.Cublas`."""
        self.failure, self._precision = failure, precision
        self._mine = _OfThread()

    # --- computing ----------------------------------------------------------------------------------------

    def launch(self, name: str, size: int, *arguments: Any, together: bool = False) -> None:
        """Run kernel `name` with `size` threads. `arguments` are all that it takes after its first, the size:
        arrays of this device, C-contiguous, and numbers.

        `together`: all blocks are on the device at once, so they may wait for each other. There is room for
        `most_together` of them.
        """
        kernel = kernels()[name]
        takes = kernel.parameters
        if len(arguments) + 1 != len(takes):
            raise self.failure(f"kernel {name} takes {len(takes)} arguments, got {len(arguments) + 1}")
        if not 0 <= size <= MAX_COUNT:
            raise self.failure(
                f"kernel {name} can have at most {MAX_COUNT} threads, got {size}: use smaller batches"
            )
        bound: dict[str, str] = {}
        values = [np.int32(size)]
        for parameter, argument in zip(takes[1:], arguments, strict=True):
            if parameter.is_array:
                self._check(name, parameter, argument, bound)
        for parameter, argument in zip(takes[1:], arguments, strict=True):
            values.append(argument if parameter.is_array else self._number(name, parameter, argument, bound))
        if size:
            types = tuple(bound[each] for each in kernel.types)
            self._do(partial(self._start, kernel, types, -(-size // THREADS), values, together))

    def product(
        self, a: Any, b: Any, c: Any, *, transpose_a: bool = False, transpose_b: bool = False
    ) -> None:
        """c (M, N) = a · b, either transposed first if so asked; all C-contiguous, of one dtype."""
        for array in (a, b, c):
            self._check("product", Parameter("a number", "matrix", True), array, {})
            if array.dtype != c.dtype or c.dtype not in C_REALS or array.ndim != 2:
                raise self.failure(
                    f"a product takes matrices of one floating dtype, got {array.ndim} axes of {array.dtype}"
                )
        (M, K), (L, N) = (
            (a.shape[::-1] if transpose_a else a.shape),
            (b.shape[::-1] if transpose_b else b.shape),
        )
        if K != L or c.shape != (M, N):
            raise self.failure(f"the shapes of a product do not fit: ({M}, {K}), ({L}, {N}) and {c.shape}")
        if M * N * K:
            multiply = partial(self._multiply, self._handle())
            self._do(partial(multiply, (M, N, K), (a, transpose_a), (b, transpose_b), c))

    def _do(self, call: Call) -> None:
        call()
        if self._mine.noted is not None:
            self._mine.noted.append(call)

    # --- recording ----------------------------------------------------------------------------------------

    @property
    def is_recording(self) -> bool:
        """Whether what it does for this thread is noted now."""
        return self._mine.noted is not None

    def record(self, run: Call) -> Call:
        """Run `run`; return what has all its kernels and products run again, on the same arrays.

        What other threads do meanwhile is theirs.

        So all that `run` computes must go through this door, with the same arguments each time. Where
        `break_recording` said that something did not, `run` itself is returned.
        """
        mine, noted = self._mine, list[Call]()
        outer = mine.noted, mine.is_complete
        mine.noted, mine.is_complete = noted, True
        try:
            run()
            complete = mine.is_complete
        finally:
            mine.noted, mine.is_complete = outer
        return Recording(noted, self.repeated(noted)) if complete else run

    def join(self, recordings: Sequence[Call]) -> Call:
        """What `record` returned, one after another, as one: where all are recordings, one recording."""
        if all(isinstance(each, Recording) for each in recordings):
            calls = [call for each in recordings if isinstance(each, Recording) for call in each.calls]
            return Recording(calls, self.repeated(calls))
        return partial(_make, recordings)

    def break_recording(self) -> None:
        """Say that something was computed outside the door: the recording under way is incomplete."""
        self._mine.is_complete = False

    def repeated(self, calls: list[Call]) -> Call:
        """What makes these calls again."""
        return partial(_make, calls)

    # --- what a device does -------------------------------------------------------------------------------

    @property
    @abstractmethod
    def capability(self) -> int:
        """Ten times its compute capability: 75 for 7.5."""

    def prefers_tensor_cores(self, is_exact: bool) -> bool:
        """Whether they multiply float32 faster than other units: `is_exact`ly so, or rounded."""
        return self.capability in TENSOR_CAPABILITIES if is_exact else self.capability >= FIRST_ROUNDED

    @abstractmethod
    def empty(self, size: int, dtype: Any) -> Any:
        """An uninitialised flat array (size,), on a 64-byte boundary."""

    @abstractmethod
    def zeros(self, size: int, dtype: Any) -> Any:
        """The same of zeros, which a recording under way does not make zero again."""

    @abstractmethod
    def from_host(self, array: Any) -> Any:
        """`array` on this device, C-contiguous: itself where it is that already."""

    @abstractmethod
    def to_host(self, array: Any) -> Any:
        """`array` as a NumPy array."""

    @abstractmethod
    def address(self, array: Any) -> int:
        """Where the first value of `array` lies."""

    @abstractmethod
    def _is_here(self, array: Any) -> bool:
        """Whether an array of this kind lies on this device."""

    @abstractmethod
    def most_together(self, name: str, *types: Any) -> int:
        """How many blocks of kernel `name`, for values of these types, can be on the device at once."""

    @abstractmethod
    def _start(
        self, kernel: Kernel, types: tuple[str, ...], blocks: int, values: Sequence[Any], together: bool
    ) -> None:
        """Run the kernel for these C++ types in so many blocks of THREADS; `together`: all at once."""

    @abstractmethod
    def _library(self) -> ctypes.CDLL:
        """cuBLAS."""

    @abstractmethod
    def _stream(self) -> int:
        """The address of the present stream."""

    def _handle(self) -> cublas.Cublas:
        """This thread's: what is set in a handle holds for all who use it."""
        if self._mine.cublas is None:
            workspace = self.empty(cublas.WORKSPACE, np.dtype(np.uint8))
            place = (self._library(), workspace, self.address(workspace))
            self._mine.cublas = cublas.Cublas(*place, precision=self._precision, failure=self.failure)
        return self._mine.cublas

    def _multiply(
        self,
        handle: cublas.Cublas,
        shape: tuple[int, int, int],
        a: tuple[Any, bool],
        b: tuple[Any, bool],
        c: Any,
    ) -> None:
        factors = ((self.address(array), turned) for array, turned in (a, b))
        handle.product(C_REALS[c.dtype], shape, *factors, self.address(c), self._stream())

    # --- checks -------------------------------------------------------------------------------------------

    def _check(self, name: str, parameter: Parameter, array: Any, bound: dict[str, str]) -> None:
        """Raise unless `array` can be the parameter; note in `bound` what a template's name stands for."""
        what = f"{parameter.name} of kernel {name}"
        if not isinstance(array, self.xp.ndarray):
            raise self.failure(f"{what}: expected an array of the device, got {type(array).__name__}")
        if not self._is_here(array):
            raise self.failure(f"{what}: expected an array of the device in use, got one of another")
        if not array.flags.c_contiguous:
            raise self.failure(f"{what}: expected a C-contiguous array, got strides {array.strides}")
        if array.size > MAX_COUNT:
            raise self.failure(
                f"{what}: expected at most {MAX_COUNT} values, got {array.size}: use smaller batches"
            )
        found = C_NAMES.get(array.dtype)
        expected = parameter.type
        if expected not in TYPES:
            expected = bound.setdefault(parameter.type, found or "a number")
        if found != expected:
            raise self.failure(f"{what}: expected values of type {expected}, got {array.dtype}")

    def _number(self, name: str, parameter: Parameter, value: Any, bound: dict[str, str]) -> Any:
        dtype = TYPES[bound.get(parameter.type, parameter.type)]
        if not isinstance(value, int | float | np.generic) or (dtype.kind in "iu" and value != int(value)):
            raise self.failure(f"{parameter.name} of kernel {name}: expected a number, got {value!r}")
        try:
            return dtype.type(value)
        except OverflowError:
            raise self.failure(f"{parameter.name} of kernel {name}: {value} does not fit {dtype}") from None


def _make(calls: Sequence[Call]) -> None:
    for call in calls:
        call()


class CudaDevice(Device):
    """The present NVIDIA GPU, through CuPy.

    Kernels are compiled by NVRTC, a file at a time, when one is launched first; CuPy keeps them in its cache
    folder. A recording is a CUDA graph, where one can be captured. Not yet run on a GPU: proved are the
    sources (they compile for sm_50 to sm_120, and are right when a CPU runs them thread by thread) and the
    Python above this class.
    """

    def __init__(self, *, precision: str = "float32", failure: type[Exception] = RuntimeError) -> None:
        super().__init__(precision=precision, failure=failure)
        import cupy

        self.xp = cupy
        device = cupy.cuda.Device()
        self._id, self._capability = device.id, int(device.compute_capability)
        self._functions: dict[str, Any] = {}
        self._has_said_uncaptured = False

    @property
    def capability(self) -> int:
        return self._capability

    def empty(self, size: int, dtype: Any) -> Any:
        return self.xp.empty(size, dtype)  # on a boundary of 512 bytes

    def zeros(self, size: int, dtype: Any) -> Any:
        return self.xp.zeros(size, dtype)

    def from_host(self, array: Any) -> Any:
        return self.xp.ascontiguousarray(self.xp.asarray(array))

    def to_host(self, array: Any) -> Any:
        return self.xp.asnumpy(array)

    def address(self, array: Any) -> int:
        return int(array.data.ptr)

    def _is_here(self, array: Any) -> bool:
        return bool(array.device.id == self._id)

    def most_together(self, name: str, *types: Any) -> int:
        function = self._function(kernels()[name], tuple(C_NAMES[dtype] for dtype in types)).kernel
        of_each = self.xp.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(function.ptr, THREADS, 0)
        return int(of_each * self.xp.cuda.Device().attributes["MultiProcessorCount"])

    def _start(
        self, kernel: Kernel, types: tuple[str, ...], blocks: int, values: Sequence[Any], together: bool
    ) -> None:
        function = self._function(kernel, types)
        if together:
            function.kernel((blocks,), (THREADS,), tuple(values), enable_cooperative_groups=True)
        else:
            function((blocks,), (THREADS,), tuple(values))

    def _function(self, kernel: Kernel, types: tuple[str, ...]) -> Any:
        instance = kernel.instance(types)
        if instance not in self._functions:
            self._compile(kernel, types)
        return self._functions[instance]

    def _compile(self, kernel: Kernel, types: tuple[str, ...]) -> None:
        """Compile all kernels of the file that have the same template names, for these types."""
        alike = [
            k.instance(types) for k in kernels().values() if (k.file, k.types) == (kernel.file, kernel.types)
        ]
        module = self.xp.RawModule(code=text(kernel.file), options=OPTIONS, name_expressions=alike)
        try:
            self._functions |= {instance: module.get_function(instance) for instance in alike}
        except self.xp.cuda.compiler.CompileException as error:
            raise self.failure(f"{kernel.file} does not compile:\n{error}") from None

    def _library(self) -> ctypes.CDLL:
        return cublas.find_library()

    def _stream(self) -> int:
        return int(self.xp.cuda.get_current_stream().ptr)

    def repeated(self, calls: list[Call]) -> Call:
        """The calls as a graph, which runs on the stream that is present then; else one by one."""
        one_by_one = super().repeated(calls)
        cuda = self.xp.cuda
        try:
            graph = self._captured(one_by_one)
        except (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError, self.failure) as error:
            self._say_uncaptured(error)
            return one_by_one

        launch: Call = graph.launch
        return launch

    def _captured(self, run: Call) -> Any:
        """The graph of what `run` does, captured on a stream of its own; that ends however `run` ends."""
        with self.xp.cuda.Stream(non_blocking=True) as stream:
            stream.begin_capture()
            try:
                run()
            except BaseException:
                with suppress(self.xp.cuda.runtime.CUDARuntimeError):  # it may be invalid by now
                    stream.end_capture()
                raise
            return stream.end_capture()

    def _say_uncaptured(self, error: Exception) -> None:
        if not self._has_said_uncaptured:
            self._has_said_uncaptured = True
            warnings.warn(
                "a step cannot be captured as a CUDA graph, so its kernels are launched one by one: the same "
                f"results, but slower in small nets\n  received: {type(error).__name__}: {error}",
                stacklevel=2,
            )
