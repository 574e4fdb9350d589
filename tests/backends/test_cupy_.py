"""The GPU backend without a GPU: every operation, out of host-built CUDA kernels, against the reference."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from cuda_host import HostBackend, HostDevice
from hypothesis import given, settings
from operations import CASES, LARGE, Draw, Geometry, assert_close, copies, every_operation, geometries

import tinynet as tn
from tinynet.backends.base import Backend
from tinynet.backends.compiled import CompiledBackend
from tinynet.backends.cupy_ import CupyBackend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.backends.workspace import Workspace
from tinynet.geometry import Window
from tinynet.gradcheck import cases
from tinynet.kernels.cuda.source import kernels
from tinynet.layers.base import Layer

# Several blocks and chunks, and little work for what stands in for cuBLAS.
MANY = LARGE._replace(N=7, F=11)


BACKENDS: dict[str, Callable[[], HostBackend]] = {
    "plain": HostBackend,
    "tensor cores": lambda: HostBackend(device=HostDevice(capability=90)),
    "im2col": lambda: HostBackend("im2col"),
}
"""On the kinds of GPUs, and as the lesson has it."""
every_way_to_convolve = pytest.mark.parametrize("make", BACKENDS.values(), ids=BACKENDS)


@every_operation
@settings(deadline=None, max_examples=15)
@given(geometry=geometries())
def test_agrees_with_the_reference(case: Any, geometry: Geometry) -> None:
    ours, reference = (case(ops, Draw(geometry)) for ops in (HostBackend(), NumpyBackend()))
    assert_close(ours, reference, geometry.dtype)


@every_way_to_convolve
@settings(deadline=None, max_examples=15)
@given(geometry=geometries())
def test_every_way_to_convolve_agrees_with_the_reference(
    make: Callable[[], HostBackend], geometry: Geometry
) -> None:
    for case in (CASES["conv2d"], CASES["conv2d_pointwise"]):
        assert_close(case(make(), Draw(geometry)), case(NumpyBackend(), Draw(geometry)), geometry.dtype)


@every_operation
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_agrees_where_there_are_many_blocks_and_chunks(case: Any, dtype: str) -> None:
    geometry = MANY._replace(dtype=dtype)
    assert_close(case(HostBackend(), Draw(geometry)), case(NumpyBackend(), Draw(geometry)), dtype)


def test_every_kernel_is_launched_by_some_case() -> None:
    """So each of them is compared with the reference above."""
    launched: set[str] = set()
    runs = [(case, make, Geometry()) for case, make in product(CASES.values(), BACKENDS.values())]
    runs.append((CASES["conv2d"], HostBackend, MANY))  # its dW is a sum of parts
    for case, make, geometry in runs:
        ops = make()
        case(ops, Draw(geometry))
        launched.update(ops.device.launched)
    elsewhere = {"take", "train_perceptron"}  # below, and in tests of their own
    elsewhere |= {"maxpool_statistics", "normalize_and_pool"}  # what neighbours do for each other
    assert launched == kernels().keys() - elsewhere


@every_operation
def test_buffers_of_a_workspace_change_nothing(case: Any) -> None:
    bound = HostBackend().bound_to(Workspace(), "layer")
    expected = copies(case(HostBackend(), Draw(MANY)))
    for _ in range(2):  # the second time into used buffers
        for mine, theirs in zip(case(bound, Draw(MANY)), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)


PARTS_OF_FLAT_BUFFERS = {
    *("sgd", "adam", "moving_average", "clip_global_norm", "l2_penalty"),
    *("running_average", "batchnorm"),
}


@pytest.mark.parametrize("name", sorted(CASES.keys() - PARTS_OF_FLAT_BUFFERS))
def test_arrays_need_not_be_contiguous(name: str) -> None:
    class Strided(Draw):
        def __call__(self, *shape: int) -> np.ndarray:
            return np.repeat(super().__call__(*shape), 2, axis=-1)[..., ::2]

    case = CASES[name]
    plain, strided = case(HostBackend(), Draw(Geometry())), case(HostBackend(), Strided(Geometry()))
    assert_close(strided, plain, "float32")


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.bool_, np.float16])
def test_rows_are_taken(dtype: Any) -> None:
    array = np.random.default_rng(0).integers(0, 2, (9, 4, 3)).astype(dtype)
    index = np.array([8, 0, 0, 5])
    taken = HostBackend().take(array, index)
    np.testing.assert_array_equal(taken, array[index])
    assert taken.dtype == array.dtype


def test_rows_of_two_arrays_are_there_at_once() -> None:
    ops = HostBackend().bound_to(Workspace(), "batches")
    arrays = [np.random.default_rng(i).standard_normal((9, 4)) for i in range(2)]
    taken = [ops.take(array, np.arange(5)) for array in arrays]
    np.testing.assert_array_equal(taken, [array[:5] for array in arrays])


@pytest.mark.parametrize(("size", "places"), [((16, 8), np.int8), ((3, 43), np.int32), ((12, 12), np.int32)])
def test_the_largest_of_a_window_of_any_size(size: tuple[int, int], places: Any) -> None:
    """128 pixels are numbered in a byte, and the last of them may be the largest."""
    x = np.arange(2 * 16 * 44 * 3, dtype=np.float32).reshape(2, 16, 44, 3)
    y, saved = HostBackend().maxpool(x, Window(size))
    assert saved[0].dtype == places
    dx = HostBackend().maxpool_backward(np.ones_like(y), saved, Window(size))
    expected, saved = NumpyBackend().maxpool(x, Window(size))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(dx, NumpyBackend().maxpool_backward(np.ones_like(y), saved, Window(size)))


def test_a_model_goes_to_another_process_and_is_the_same_there() -> None:
    stack = [tn.Conv2D(3, 3), tn.BatchNorm(), tn.ReLU(), tn.Flatten(), tn.Dense(4)]
    here = HostBackend("im2col", "tf32")
    model = tn.Sequential(stack, (6, 6, 2), backend=here, seed=3)
    there = pickle.loads(pickle.dumps(model))  # noqa: S301 (our own)
    x = np.random.default_rng(0).standard_normal((5, 6, 6, 2)).astype(np.float32)
    np.testing.assert_array_equal(there.predict(x), model.predict(x))
    ops = there.backend
    assert isinstance(ops, HostBackend)
    assert (ops.convolution, ops.precision) == ("im2col", "tf32")
    assert ops.device is not here.device


def test_layers_of_a_model_share_its_device() -> None:
    ops = HostBackend()
    model = tn.Sequential([tn.Dense(3), tn.Dense(3)], (4,), backend=ops)
    bound: list[Any] = [layer.ops for layer in (*model.layers, *copy.deepcopy(model).layers)]
    assert all(each.device is ops.device for each in bound)


@pytest.mark.parametrize(
    ("setting", "precision", "algorithm"),
    [
        ("auto", "float32", "direct"),
        ("im2col", "float32", "im2col"),
        ("direct", "tf32", "direct"),
        ("im2col", "bf16", "im2col"),
    ],
)
def test_how_a_convolution_is_computed(setting: str, precision: str, algorithm: str) -> None:
    ops = HostBackend(setting, precision)
    model = tn.Sequential([tn.Conv2D(4, 3)], (6, 6, 2), backend=ops)
    assert [row.algorithm for row in model.summary(8)] == [algorithm]
    model.predict(np.zeros((8, 6, 6, 2), np.float32))
    assert ("im2col" in ops.device.launched) == (algorithm == "im2col")


def test_a_convolution_of_no_images() -> None:
    model = tn.Sequential([tn.Conv2D(4, 3)], (6, 6, 2), backend=HostBackend())
    assert model.forward(np.zeros((0, 6, 6, 2), np.float32))[0].shape == (0, 4, 4, 4)


def convolutions() -> list[Layer]:
    return [tn.Conv2D(4, 3), tn.ReLU(), tn.Conv2D(5, 3), tn.ReLU(), tn.Conv2D(3, 3)]


def test_evaluation_keeps_the_windows_of_one_convolution_at_a_time() -> None:
    model = tn.Sequential(convolutions(), (12, 12, 2), backend=HostBackend("im2col"))
    model.forward(np.zeros((7, 12, 12, 2), np.float32))
    outputs = [100 * 4, 64 * 5, 36 * 3]
    windows = [100 * 9 * 2, 64 * 9 * 4, 36 * 9 * 5]
    assert model.workspace.nbytes <= 7 * 4 * (sum(outputs) + max(windows))


@every_way_to_convolve
@pytest.mark.parametrize("train", [True, False])
def test_gradients_of_several_convolutions_in_training_and_elsewhere(
    train: bool, make: Callable[[], HostBackend]
) -> None:
    draw = Draw(Geometry())
    x, dy = draw(7, 12, 12, 2), draw(7, 6, 6, 3)
    results = []
    for ops in (make(), NumpyBackend()):
        model = tn.Sequential(convolutions(), (12, 12, 2), backend=ops, seed=1)
        y, tape = model.forward(x, train=train)
        results.append([y, model.backward(dy, tape, input_gradient=True), model.store.grads.flat])
    assert_close(results[0], results[1], "float32")


def test_signatures_are_those_of_the_protocol() -> None:
    for name, declared in inspect.getmembers(Backend, inspect.isfunction):
        if not name.startswith("_"):
            ours, protocol = inspect.signature(getattr(CupyBackend, name)), inspect.signature(declared)
            assert list(ours.parameters.values()) == list(protocol.parameters.values()), name


def test_no_operation_is_left_to_array_expressions() -> None:
    """A recorded step would miss them."""
    assert Backend.__abstractmethods__ <= vars(CupyBackend).keys() | vars(CompiledBackend).keys()


@pytest.mark.parametrize("name", cases.NAMES)
def test_every_gradient_is_the_derivative_of_its_forward(name: str) -> None:
    checks = list(cases.run(name, HostBackend()))
    assert checks
    assert all(check.passed for check in checks), "\n".join(map(str, checks))
