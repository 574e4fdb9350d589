"""The door to a device: what it refuses, products, recordings; and CuPy's part, with a stand-in for CuPy."""

from __future__ import annotations

import ctypes
import itertools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cuda_host import HostBackend, HostDevice, library, symbol
from hypothesis import given, settings
from hypothesis import strategies as st

from tinynet import backends
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.errors import BackendError, ConfigError
from tinynet.kernels.cuda import cublas
from tinynet.kernels.cuda.device import MAX_COUNT, OPTIONS, THREADS, CudaDevice, Device, Recording
from tinynet.kernels.cuda.source import kernels
from tinynet.rng import Key, philox_bits

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def relu(device: Device, x: Any, y: Any, size: Any = None) -> None:
    device.launch("relu", x.size if size is None else size, x, y)


# --- the door -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, X.astype(np.float64)), "y of kernel relu: expected values of type float, got float64"),
        ((X.astype(np.float16), X), "x of kernel relu: expected values of type a number, got float16"),
        ((X[:, ::2], X), "x of kernel relu: expected a C-contiguous array, got strides"),
        ((X.T, X), "expected a C-contiguous array"),
        ((X, [0.0]), "y of kernel relu: expected an array of the device, got list"),
        ((X,), "kernel relu takes 3 arguments, got 2"),
        ((X, X, 1.0), "kernel relu takes 3 arguments, got 4"),
    ],
)
def test_arrays_that_a_kernel_would_misread(arguments: tuple[Any, ...], message: str) -> None:
    device = HostDevice(failure=BackendError)
    with pytest.raises(BackendError, match=message):
        device.launch("relu", 12, *arguments)
    assert not device.launched


def test_an_array_of_another_device() -> None:
    device = HostDevice()
    device.strict = True
    with pytest.raises(RuntimeError, match="expected an array of the device in use, got one of another"):
        relu(device, X, device.empty(12, np.float32))


@pytest.mark.parametrize("size", [-1, MAX_COUNT + 1])
def test_more_threads_than_32_bits_count(size: int) -> None:
    with pytest.raises(RuntimeError, match="use smaller batches"):
        relu(HostDevice(), X, X.copy(), size)


def test_more_values_than_32_bits_count(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = np.broadcast_to(np.float32(0), (MAX_COUNT + 1, 1))
    fake = SimpleNamespace(size=MAX_COUNT + 1, dtype=huge.dtype, flags=SimpleNamespace(c_contiguous=True))
    device = HostDevice()
    monkeypatch.setattr(device, "xp", SimpleNamespace(ndarray=SimpleNamespace))
    with pytest.raises(RuntimeError, match="expected at most 2147482624 values, got 2147482625"):
        relu(device, fake, X, 1)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (2**31, "length of kernel take: 2147483648 does not fit int32"),
        (1.5, "length of kernel take: expected a number, got 1.5"),
        ("4", "length of kernel take: expected a number, got '4'"),
        (X, "length of kernel take: expected a number"),
    ],
)
def test_numbers_that_a_kernel_would_misread(number: Any, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        HostDevice().launch("take", 4, X, np.zeros(1, np.int64), X[0].copy(), number)


def test_no_threads_no_launch() -> None:
    device = HostDevice()
    relu(device, X[:0], X[:0])
    assert not device.launched


@pytest.mark.parametrize("first", [0, 1, 6, 8])
def test_random_words_and_dropout_from_any_place_on(first: int) -> None:
    key = Key(2**40 + 3, 2, layer=5, step=7)
    bits = HostBackend().random_bits(key._replace(first=first), 9)
    np.testing.assert_array_equal(bits, philox_bits(key, first + 9)[first:])
    kept = HostBackend().dropout(np.ones(9), 0.5, key._replace(first=first))[1]
    np.testing.assert_array_equal(kept, NumpyBackend().dropout(np.ones(first + 9), 0.5, key)[1][first:])


# --- products -----------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.tuples(*[st.integers(1, 9)] * 3),
    turned=st.tuples(st.booleans(), st.booleans()),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_products(sizes: tuple[int, int, int], turned: tuple[bool, bool], dtype: str) -> None:
    M, N, K = sizes
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((M, K), (K, N)))
    c = np.full((M, N), np.nan, dtype)
    factors = [np.ascontiguousarray(x.T) if turn else x for x, turn in zip((a, b), turned, strict=True)]
    HostDevice().product(*factors, c, transpose_a=turned[0], transpose_b=turned[1])
    np.testing.assert_allclose(c, a @ b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "c", "message"),
    [
        ((3, 4), (3, 5), (3, 5), r"shapes of a product do not fit: \(3, 4\), \(3, 5\) and \(3, 5\)"),
        ((3, 4), (4, 5), (3, 4), "shapes of a product do not fit"),
        ((3, 4), (4,), (3,), "a product takes matrices of one floating dtype"),
    ],
)
def test_products_of_the_wrong_shape(a: Any, b: Any, c: Any, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        HostDevice().product(*map(np.ones, (a, b, c)))


def test_products_of_the_wrong_dtype() -> None:
    a = np.ones((3, 3))
    with pytest.raises(RuntimeError, match="a product takes matrices of one floating dtype"):
        HostDevice().product(a, a.astype(np.float32), a.copy())
    with pytest.raises(RuntimeError, match="one floating dtype"):
        HostDevice().product(a.astype(int), a.astype(int), a.astype(int))
    with pytest.raises(RuntimeError, match="C-contiguous"):
        HostDevice().product(np.ones((4, 3)).T, np.ones((4, 3)), np.ones((3, 3)))


@pytest.mark.parametrize(
    ("precision", "mode"),
    [("float32", cublas.DEFAULT_MATH), ("tf32", cublas.TF32), ("bf16", cublas.DEFAULT_MATH)],
)
def test_float32_products_are_rounded_to_tf32_only_if_asked_for(precision: str, mode: int) -> None:
    HostDevice(precision=precision).product(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)))
    found = ctypes.c_int(-1)
    library().cublasGetMathMode(None, ctypes.byref(found))
    assert found.value == mode


def test_float32_products_are_rounded_to_bfloat16_only_if_asked_for() -> None:
    """1 + 3 · 2⁻⁸ is between two numbers of 8 bits, and the even one is 1 + 2⁻⁶."""
    for dtype, precision, expected in (
        (np.float32, "bf16", 1 + 2.0**-6),
        (np.float32, "float32", 1 + 3 * 2.0**-8),
        (np.float64, "bf16", 1 + 3 * 2.0**-8),
    ):
        a, b, c = np.full((2, 3), 1 + 3 * 2.0**-8, dtype), np.eye(3, 4, dtype=dtype), np.empty((2, 4), dtype)
        HostDevice(precision=precision).product(a, b, c)
        np.testing.assert_array_equal(c, [[expected, expected, expected, 0]] * 2)


@pytest.mark.parametrize(
    ("name", "precision", "message"),
    [
        ("numpy", "tf32", "the numpy backend has no precision 'tf32'"),
        ("cupy", "float16", "unknown precision\n  expected: float32, tf32, bf16\n  received: 'float16'"),
    ],
)
def test_a_precision_that_a_backend_does_not_have(name: str, precision: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        backends.get(name, precision=precision)


def test_a_failure_of_cublas_is_told() -> None:
    broken = SimpleNamespace(cublasCreate_v2=lambda handle: 1)
    with pytest.raises(BackendError, match="cublasCreate_v2 of cuBLAS failed with status 1"):
        cublas.Cublas(broken, None, 0, precision="float32", failure=BackendError)


def test_a_handle_for_which_there_is_no_memory() -> None:
    full = SimpleNamespace(cublasCreate_v2=lambda handle: cublas.NO_MEMORY)
    with pytest.raises(MemoryError, match="cublasCreate_v2 of cuBLAS finds no memory on the device"):
        cublas.Cublas(full, None, 0, precision="float32", failure=BackendError)


# --- recordings ---------------------------------------------------------------------------------------------


def test_a_recording_works_on_what_its_arrays_hold_by_then() -> None:
    device, calls = HostDevice(), []
    x, y, z = (device.from_host(a) for a in (X - 6, np.array(X), np.zeros((3, 3), np.float32)))

    def run() -> None:
        calls.append(1)
        relu(device, x, y)
        device.product(y, y, z, transpose_b=True)

    repeat = device.record(run)
    x[...] = X - 3
    repeat()
    positive = np.maximum(X - 3, 0)
    np.testing.assert_allclose(z, positive @ positive.T)
    assert len(calls) == 1


def test_a_recording_keeps_its_memory() -> None:
    device = HostDevice()
    x, results = device.from_host(X - 6), []

    def run() -> None:
        middle, y = (device.empty(12, np.float32) for _ in range(2))
        relu(device, x, middle)
        relu(device, middle, y)
        results.append(y)

    repeat = device.record(run)
    others = [np.full(12, 7, np.float32) for _ in range(100)]  # what was freed would be used again here
    x[...] = X
    repeat()
    np.testing.assert_array_equal(results[0], X.ravel())
    assert all((other == 7).all() for other in others)


def test_what_did_other_work_is_run_again_as_it_is() -> None:
    device, x, y = HostDevice(), np.array(X), np.array(X)

    def run() -> None:
        device.break_recording()
        relu(device, x + 1, y)

    repeat = device.record(run)
    x += 5
    repeat()
    np.testing.assert_array_equal(y, x + 1)


def test_a_recording_that_fails_leaves_no_trace() -> None:
    device = HostDevice()

    def run() -> None:
        raise ValueError("not today")

    with pytest.raises(ValueError, match="not today"):
        device.record(run)
    assert not device.is_recording


# --- several threads ----------------------------------------------------------------------------------------


def beside(work: Callable[[], object]) -> None:
    """Do `work` in another thread, from its beginning to its end."""
    with ThreadPoolExecutor(1) as other:
        other.submit(work).result()


def test_a_recording_notes_its_own_thread_alone() -> None:
    """Neither kernels of another thread, nor that a recording there is incomplete, nor that it ends."""
    device, runs = HostDevice(), []
    x, y, other = (device.from_host(X - 6) for _ in range(3))

    def of_another() -> None:
        assert not device.is_recording
        relu(device, other, other)
        device.break_recording()
        device.record(lambda: relu(device, other, other))

    def run() -> None:
        runs.append(1)
        beside(of_another)
        relu(device, x, y)

    repeat = device.record(run)
    device.launched.clear()
    repeat()
    assert device.launched == ["relu"]
    assert len(runs) == 1


class WaitingCublas:
    """Gives handles; a thread that has set its stream waits until another one has set its own."""

    def __init__(self) -> None:
        self.handles, self.streams = itertools.count(1), dict[int, int]()
        self.used: list[tuple[int, int]] = []
        """Of each product the thread, and the stream it is in."""
        self.both = threading.Barrier(2, timeout=20)

    def __getattr__(self, name: str) -> Callable[..., int]:
        return lambda *arguments: 0

    def cublasCreate_v2(self, place: Any) -> int:
        handle = ctypes.c_void_p(next(self.handles))
        ctypes.memmove(place, ctypes.byref(handle), ctypes.sizeof(handle))
        return 0

    def cublasSetStream_v2(self, handle: Any, stream: Any) -> int:
        self.streams[handle.value] = stream.value
        self.both.wait()
        return 0

    def cublasSgemm_v2(self, handle: Any, *arguments: Any) -> int:
        self.used.append((threading.get_ident(), self.streams[handle.value]))
        return 0


class StreamOfEach(HostDevice):
    """Each thread computes in a stream of its own."""

    def __init__(self, library: Any) -> None:
        super().__init__()
        self.library = library

    def _library(self) -> Any:
        return self.library

    def _stream(self) -> int:
        return threading.get_ident()


def test_each_thread_has_a_handle_of_its_own() -> None:
    """A product must not run in the stream that another thread is capturing."""
    library = WaitingCublas()
    device = StreamOfEach(library)
    a, b, c = (device.from_host(X[:, :3].copy()) for _ in range(3))
    with ThreadPoolExecutor(2) as both:
        for done in [both.submit(device.product, a, b, c) for _ in range(2)]:
            done.result()
    assert len({thread for thread, _ in library.used}) == 2
    assert all(thread == stream for thread, stream in library.used)


# --- CuPy's part ------------------------------------------------------------------------------------------


class Array(np.ndarray):
    """With what CuPy's arrays have."""

    device: Any = SimpleNamespace(id=0)

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.ctypes.data)


class CompileException(Exception):
    pass


class CUDARuntimeError(RuntimeError):
    pass


class CUDADriverError(RuntimeError):
    pass


class Cupy:
    """As much of CuPy as `CudaDevice` uses. What is called while a stream is captured, a graph does."""

    ndarray = Array

    def __init__(self) -> None:
        self.capture: list[Callable[[], object]] | None = None
        self.compiled: list[tuple[str, ...]] = []
        self.streams = [0]
        self.capability = "90"
        self.graphs_launched = 0
        self.together: list[str] = []
        """Kernels that were launched with all their blocks at once."""
        self.failing: dict[str, BaseException] = {}
        """What is raised, by where: at the begin of a capture, at a launch within one, at its end."""
        outer = self

        class Stream:
            def __init__(self, non_blocking: bool) -> None:
                assert non_blocking  # the default stream cannot be captured

            def __enter__(self) -> Stream:
                outer.streams.append(7)
                return self

            def __exit__(self, *_: object) -> None:
                outer.streams.pop()

            def begin_capture(self) -> None:
                outer.fail_at("begin")
                outer.capture = []

            def end_capture(self) -> Any:
                calls, outer.capture = outer.capture, None
                outer.fail_at("end")
                return SimpleNamespace(launch=lambda: outer.launch(calls or []))

        self.cuda = SimpleNamespace(
            Stream=Stream,
            Device=lambda: SimpleNamespace(
                id=0, compute_capability=self.capability, attributes={"MultiProcessorCount": 132}
            ),
            get_current_stream=lambda: SimpleNamespace(ptr=self.streams[-1]),
            compiler=SimpleNamespace(CompileException=CompileException),
            runtime=SimpleNamespace(CUDARuntimeError=CUDARuntimeError),
            driver=SimpleNamespace(
                CUDADriverError=CUDADriverError,
                occupancyMaxActiveBlocksPerMultiprocessor=lambda ptr, threads, shared: {
                    ("relu<float>", THREADS, 0): 8
                }[ptr, threads, shared],
            ),
        )

    def empty(self, size: int, dtype: Any) -> Array:
        return np.empty(size, dtype).view(Array)

    def zeros(self, size: int, dtype: Any) -> Array:
        return np.zeros(size, dtype).view(Array)

    def asarray(self, array: Any) -> Array:
        return np.asarray(array).view(Array)

    ascontiguousarray = asarray

    def asnumpy(self, array: Any) -> np.ndarray:
        return np.array(array)

    def do(self, call: Callable[[], object]) -> None:
        if self.capture is None:
            call()
            return
        self.fail_at("launch")
        self.capture.append(call)

    def launch(self, calls: list[Callable[[], object]]) -> None:
        self.graphs_launched += 1
        for call in calls:
            call()

    def fail_at(self, place: str) -> None:
        if place in self.failing:
            raise self.failing[place]

    def RawModule(self, *, code: str, options: tuple[str, ...], name_expressions: list[str]) -> Any:
        assert options == OPTIONS
        if "gelu" in code and self.compiled:
            raise_ = CompileException('activations.cu(7): error: expected a ";"')
            return SimpleNamespace(get_function=lambda name: (_ for _ in ()).throw(raise_))
        self.compiled.append(tuple(name_expressions))
        assert all(name in code for name in (each.split("<")[0] for each in name_expressions))
        return SimpleNamespace(get_function=self.function)

    def function(self, instance: str) -> Callable[..., None]:
        def launch(
            grid: tuple[int],
            block: tuple[int],
            arguments: tuple[Any, ...],
            enable_cooperative_groups: bool = False,
        ) -> None:
            assert block == (THREADS,)
            kept = [np.array(a.data.ptr if isinstance(a, Array) else a) for a in arguments]
            pointers = (ctypes.c_void_p * len(kept))(*(array.ctypes.data for array in kept))
            run = getattr(library(), symbol(instance))
            sizes = (ctypes.c_uint(*grid), ctypes.c_uint(*block), ctypes.c_bool(enable_cooperative_groups))
            self.together += [instance] * enable_cooperative_groups
            self.do(lambda: (kept, run(*sizes, pointers)))

        launch.kernel, launch.ptr = launch, instance  # type: ignore[attr-defined]
        return launch


class Library:
    """The host's cuBLAS, of which products under capture wait for the graph."""

    def __init__(self, cupy: Cupy) -> None:
        self.cupy, self.streams = cupy, list[int]()

    def __getattr__(self, name: str) -> Any:
        found = getattr(library(), name)
        if name == "cublasSetStream_v2":

            def note(handle: Any, stream: Any) -> Any:
                self.streams.append(stream.value or 0)
                return found(handle, stream)

            return note
        if not name.endswith("gemm_v2"):
            return found

        def multiply(*arguments: Any) -> int:
            self.cupy.do(lambda: found(*arguments))
            return 0

        return multiply


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Cupy:
    module = Cupy()
    module.library = Library(module)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(cublas, "find_library", lambda: module.library)  # type: ignore[attr-defined]
    return module


def test_kernels_are_compiled_once_and_only_when_launched(cupy: Cupy) -> None:
    device = CudaDevice()
    assert not cupy.compiled
    x, y = device.from_host(X - 6), device.empty(12, np.float32)
    for _ in range(2):
        relu(device, x, y)
    np.testing.assert_array_equal(device.to_host(y), np.maximum(X - 6, 0).ravel())
    (together,) = cupy.compiled  # the file's kernels for this type
    assert "relu<float>" in together
    assert "sigmoid<float>" in together
    assert set(together) == {k.instance(("float",)) for k in kernels().values() if k.file == "activations.cu"}


def test_blocks_that_may_wait_for_each_other_are_launched_together(cupy: Cupy) -> None:
    device = CudaDevice()
    x, y = device.from_host(X - 6), device.empty(12, np.float32)
    device.launch("relu", 12, x, y)
    assert not cupy.together
    device.launch("relu", 12, x, y, together=True)
    assert cupy.together == ["relu<float>"]
    np.testing.assert_array_equal(device.to_host(y), np.maximum(X - 6, 0).ravel())
    assert device.most_together("relu", x.dtype) == 8 * 132


@pytest.mark.parametrize(
    ("capability", "exactly", "rounded"),
    [("75", False, False), ("86", False, True), ("90", True, True), ("120", False, True)],
)
def test_where_tensor_cores_multiply_float32(
    capability: str, exactly: bool, rounded: bool, cupy: Cupy
) -> None:
    cupy.capability = capability
    device = CudaDevice()
    assert device.capability == int(capability)
    assert [device.prefers_tensor_cores(is_exact) for is_exact in (True, False)] == [exactly, rounded]


def test_a_file_that_does_not_compile_is_told_with_its_line(cupy: Cupy) -> None:
    device = CudaDevice(failure=BackendError)
    cupy.compiled.append(())
    with pytest.raises(BackendError, match=r"activations.cu does not compile:\nactivations.cu\(7\): error"):
        relu(device, device.from_host(X), device.empty(12, np.float32))


def test_counters_are_0_before_a_recording_and_not_made_so_by_it(cupy: Cupy) -> None:
    device, made = CudaDevice(), []

    def run() -> None:
        made.append(device.zeros(3, np.uint32))
        relu(device, device.from_host(X), device.empty(12, np.float32))

    repeat = device.record(run)
    np.testing.assert_array_equal(made[0], [0, 0, 0])
    made[0][...] = 7
    repeat()
    np.testing.assert_array_equal(made[0], [7, 7, 7])
    assert len(made) == 1


def test_a_recording_is_captured_as_a_graph(cupy: Cupy) -> None:
    device = CudaDevice()
    x, y, z = (device.from_host(a) for a in (X - 6, np.array(X), np.zeros((3, 3), np.float32)))

    def run() -> None:
        relu(device, x, y)
        device.product(y, y, z, transpose_b=True)

    repeat = device.record(run)
    expected = np.maximum(X - 6, 0)
    np.testing.assert_allclose(z, expected @ expected.T)  # by the run, not by the capture
    assert cupy.library.streams == [0, 7]  # type: ignore[attr-defined]
    x[...], z[...] = X, 0
    repeat()
    np.testing.assert_allclose(z, X @ X.T)
    assert cupy.streams == [0]


def test_recordings_are_joined_to_one_graph(cupy: Cupy) -> None:
    device = CudaDevice()
    x, y, z = (device.from_host(a) for a in (X - 6, np.array(X), np.zeros((3, 3), np.float32)))
    halves = [
        device.record(lambda: relu(device, x, y)),
        device.record(lambda: device.product(y, y, z, transpose_b=True)),
    ]
    graphs = cupy.graphs_launched
    both = device.join([*halves, *halves])
    x[...], z[...] = X, 0
    both()
    np.testing.assert_allclose(z, X @ X.T)
    assert cupy.graphs_launched == graphs + 1
    assert isinstance(both, Recording)
    assert len(both.calls) == 4


def test_joined_recordings_that_cannot_be_captured_are_launched_one_by_one(cupy: Cupy) -> None:
    device = CudaDevice()
    x, y = device.from_host(X - 6), device.empty(12, np.float32)
    step = device.record(lambda: relu(device, x, y))
    cupy.failing = {"end": CUDARuntimeError("cudaErrorMemoryAllocation")}
    with pytest.warns(UserWarning, match="cannot be captured as a CUDA graph") as said:
        repeats = [device.join([step] * times) for times in (2, 7)]
    assert len(said) == 1
    x[...] = X
    for repeat in repeats:
        y[...] = 0
        repeat()
        np.testing.assert_array_equal(y, X.ravel())


def test_what_is_no_recording_is_called_where_it_stands(cupy: Cupy) -> None:
    device = CudaDevice()
    x, y = device.from_host(X - 6), device.empty(12, np.float32)
    made: list[float] = []

    def outside() -> None:
        device.break_recording()
        made.append(float(y[7]))

    steps = [device.record(lambda: relu(device, x, y)), device.record(outside)]
    made.clear()
    x[...] = X
    device.join([*steps, *steps])()
    assert made == [7, 7]


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("begin", CUDARuntimeError("cudaErrorStreamCaptureUnsupported")),
        ("launch", CUDADriverError("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")),
        ("launch", BackendError("cublasSgemm_v2 of cuBLAS failed with status 14")),
        ("end", CUDARuntimeError("cudaErrorMemoryAllocation")),
    ],
)
def test_what_cannot_be_captured_is_launched_one_by_one_which_is_said_once(
    place: str, error: Exception, cupy: Cupy
) -> None:
    device = CudaDevice(failure=BackendError)
    x, y = device.from_host(X - 6), device.empty(12, np.float32)
    cupy.failing = {place: error}
    with pytest.warns(UserWarning, match="cannot be captured as a CUDA graph") as said:
        repeats = [device.record(lambda: relu(device, x, y)) for _ in range(2)]
    assert [type(error).__name__ in str(each.message) for each in said] == [True]
    assert (cupy.capture, cupy.streams) == (None, [0])
    x[...] = X
    for repeat in repeats:
        y[...] = 0
        repeat()
        np.testing.assert_array_equal(y, X.ravel())


def test_an_interrupt_in_a_capture_ends_the_capture(cupy: Cupy) -> None:
    device = CudaDevice()
    x, y = device.from_host(X - 6), device.empty(12, np.float32)
    cupy.failing = {"launch": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        device.record(lambda: relu(device, x, y))
    assert (cupy.capture, cupy.streams) == (None, [0])
    assert not device.is_recording
    cupy.failing = {}
    device.record(lambda: relu(device, x, y))()


def test_an_array_on_another_gpu(cupy: Cupy) -> None:
    device, x = CudaDevice(), np.array(X).view(Array)
    x.device = SimpleNamespace(id=1)
    with pytest.raises(RuntimeError, match="got one of another"):
        relu(device, x, device.empty(12, np.float32))
