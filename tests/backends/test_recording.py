"""Recorded steps and predictions, and packed models: the same bits as called one by one."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pytest

import tinynet as tn
from tinynet import layers as L
from tinynet import threads
from tinynet.averaging import Average
from tinynet.backends.numba_ import NumbaBackend
from tinynet.backends.recording import MAX_RECORDINGS, phases_of
from tinynet.checkpoint import weights_sha256
from tinynet.distributed.group import Group
from tinynet.kernels.cpu import elementwise
from tinynet.layers import LAYERS
from tinynet.layers.base import Layer
from tinynet.layers.stack import walk
from tinynet.losses import CrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.losses.measures import Accuracy
from tinynet.rng import Key
from tinynet.step import Step
from tinynet.types import Array, Shape

needs_compiler = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is recorded uncompiled")
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (40, 12, 12, 16), np.uint8)
LABELS = RANDOM.integers(0, 10, 40)
ACTIVATIONS: list[type[Layer]] = [L.ReLU, L.LeakyReLU, L.ELU, L.GELU, L.Sigmoid, L.Tanh]


def backend(record: bool, convolution: str = "auto") -> NumbaBackend:
    ops = NumbaBackend(convolution)
    if not record:
        ops.recorded_phases = ()
    return ops


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[threads.RecordedKernels]:
    """Those made in a test."""
    made: list[threads.RecordedKernels] = []
    begin = threads.RecordedKernels.__init__

    def noted(program: threads.RecordedKernels, run: Any) -> None:
        made.append(program)
        begin(program, run)

    monkeypatch.setattr(threads.RecordedKernels, "__init__", noted)
    return made


# --- training -----------------------------------------------------------------------------------------------


def dense_net(activation: type[Layer]) -> list[Layer]:
    return [
        L.Rescale(),
        L.DepthwiseConv2D(),
        L.Reshape((40, 40)),
        L.Flatten(),
        L.Dense(130),
        activation(),
        L.Rescale(0.5),  # has a backward here
        L.Residual([L.Dense(20), L.Tanh(), L.Dense(30)]),
        L.ReLU(),
        L.Residual([L.Dense(30)]),
        L.Dense(10),
    ]


def trained(
    layers: list[Layer],
    loss: Loss,
    dtype: str,
    record: bool,
    *,
    limit: int = 2,
    convolution: str = "auto",
    **settings: Any,
) -> tuple[Any, ...]:
    """The weights' hash and each step's loss, after batches of 16, 16 and 8."""
    ops = backend(record, convolution)
    model = tn.Sequential(layers, IMAGES.shape[1:], backend=ops, dtype=dtype)
    with threads.limit(limit):
        trainer = tn.Trainer(model, (IMAGES, LABELS), loss=loss, epochs=3, batch_size=16, **settings)
        losses = [float(event.loss) for event in trainer.events() if hasattr(event, "loss")]
    return weights_sha256(model), losses, [record["accuracy"] for record in trainer.state.history]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_recorded_steps_are_those_steps(
    activation: type[Layer], dtype: str, programs: list[threads.RecordedKernels]
) -> None:
    expected = trained(dense_net(activation), SoftmaxCrossEntropy(0.1), dtype, record=False)
    assert not programs
    assert trained(dense_net(activation), SoftmaxCrossEntropy(0.1), dtype, record=True) == expected
    assert len(programs) == 2  # a batch of 16 and one of 8
    assert all(program.is_repeated for program in programs) is not numba.config.DISABLE_JIT


def test_every_layer_that_is_recorded_in_training_was_tried_above() -> None:
    tried = {type(layer) for activation in ACTIVATIONS for layer in dense_net(activation)}
    assert {kind for kind in LAYERS.values() if "gradients" in phases_of(kind)} == tried


@dataclass(eq=False)
class ShiftedDense(L.Dense):
    """A user's layer that inherits from one that may be recorded and rectified, and computes otherwise."""

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Any]:
        y, cache = super().forward(x, train=train, key=key)
        return y - 0.1, cache


@dataclass(eq=False)
class Residual(Layer):
    """y = (x W + b) V + c + x: takes an operation twice, on arrays of one shape."""

    def build(self, input_shape: Shape) -> Shape:
        [units] = input_shape
        for weights, bias in ("Wb", "Vc"):
            self.add_param(weights, (units, units), "glorot_uniform")
            self.add_param(bias, (units,), "zeros")
        return input_shape

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Any]:
        p = self.params
        h = self.ops.dense(x, p.W, p.b)
        return self.ops.dense(h, p.V, p.c) + x, (x, h)

    def backward(self, dy: Array, cache: Any) -> Array | None:
        (x, h), p, g = cache, self.params, self.grads
        dh = self.ops.dense_backward(dy, h, p.V, g.V, g.c, True)
        assert dh is not None
        dx = self.ops.dense_backward(dh, x, p.W, g.W, g.b, True)
        assert dx is not None
        return dx + dy


@dataclass(eq=False)
class DoubledLoss(SoftmaxCrossEntropy):
    def forward(self, outputs: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Any]:
        loss, cache = super().forward(outputs, targets, weights)
        return 2 * loss, 2 * cache


class DoubledModel(tn.Sequential):
    def forward(self, x: Array, **settings: Any) -> tuple[Array, Any]:
        outputs, tape = super().forward(x, **settings)
        return 2 * outputs, tape


@pytest.mark.parametrize(
    ("kind", "layer", "loss"),
    [
        (tn.Sequential, ShiftedDense, SoftmaxCrossEntropy),
        (tn.Sequential, L.Dense, DoubledLoss),
        (DoubledModel, L.Dense, SoftmaxCrossEntropy),
    ],
)
def test_what_computes_otherwise_than_what_it_inherits_from_is_not_recorded(
    kind: type[tn.Sequential], layer: type[L.Dense], loss: type[Loss]
) -> None:
    numba_as_numpy(kind, lambda: [L.Rescale(), L.Flatten(), layer(20), L.ReLU(), L.Dense(10)], loss)


def test_a_layer_that_is_not_recorded_may_take_an_operation_twice() -> None:
    numba_as_numpy(tn.Sequential, lambda: [L.Rescale(), L.Flatten(), L.Dense(20), Residual(), L.Dense(10)])


def numba_as_numpy(
    kind: type[tn.Sequential], net: Callable[[], list[Layer]], loss: type[Loss] = SoftmaxCrossEntropy
) -> None:
    def figures(backend: str) -> tuple[list[float], Any, Any]:
        model = kind(net(), IMAGES.shape[1:], backend=backend, dtype="float64")
        run = tn.Trainer(model, (IMAGES, LABELS), loss=loss(), epochs=3, batch_size=8)
        losses, outputs = [record["loss"] for record in run.run()], model.predict(IMAGES, batch_size=8)
        model.pack()
        return losses, outputs, model.predict(IMAGES[:2])

    for received, expected in zip(figures("numba"), figures("numpy"), strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-10)


def test_recorded_steps_with_scores_for_a_loss() -> None:
    net = [L.Rescale(), L.Flatten(), L.Dense(10), L.Sigmoid()]
    expected = trained([*net], CrossEntropy(), "float32", record=False)
    again = [type(layer)(**vars_of(layer)) for layer in net]
    assert trained(again, CrossEntropy(), "float32", record=True) == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_recorded_steps_with_weights_for_samples(dtype: str, programs: list[threads.RecordedKernels]) -> None:
    settings: dict[str, Any] = {"sample_weight": np.linspace(0, 2, len(LABELS))}
    expected = trained(dense_net(L.Tanh), SoftmaxCrossEntropy(), dtype, record=False, **settings)
    assert not programs
    assert trained(dense_net(L.Tanh), SoftmaxCrossEntropy(), dtype, record=True, **settings) == expected
    assert programs
    assert trained(dense_net(L.Tanh), SoftmaxCrossEntropy(), dtype, record=True) != expected
    ones: dict[str, Any] = {"sample_weight": np.ones(len(LABELS))}
    plain = trained(dense_net(L.Tanh), SoftmaxCrossEntropy(), dtype, record=True)
    assert trained(dense_net(L.Tanh), SoftmaxCrossEntropy(), dtype, record=True, **ones) == plain


def vars_of(layer: Layer) -> dict[str, Any]:
    return {"units": layer.units} if isinstance(layer, L.Dense) else {}


def test_a_penalty_is_added_after_what_is_recorded() -> None:
    def net() -> list[Layer]:
        return [L.Rescale(), L.Flatten(), L.Dense(10, l2=0.01)]

    loss = SoftmaxCrossEntropy
    assert trained(net(), loss(), "float32", record=True) == trained(net(), loss(), "float32", record=False)


def test_a_backward_of_array_expressions_is_not_recorded(programs: list[threads.RecordedKernels]) -> None:
    net = [L.Rescale(), L.Flatten(), L.Dense(10), L.Softmax()]
    trained(net, CrossEntropy(), "float32", record=True)
    assert not programs


def test_a_loss_of_array_expressions_is_not_recorded(programs: list[threads.RecordedKernels]) -> None:
    model = tn.Sequential([L.Rescale(), L.Flatten(), L.Dense(2)], IMAGES.shape[1:], backend="numba")
    tn.Trainer(model, (IMAGES, np.ones((40, 2), "float32")), loss=MeanSquaredError(), epochs=1).run()
    assert not programs


@dataclass(eq=False)
class Twice(Layer):
    """A user's own layer, which says nothing about recording."""

    def build(self, input_shape: Any) -> Any:
        return input_shape

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, None]:
        return 2 * x, None

    def backward(self, dy: Array, cache: None) -> Array:
        return 2 * dy


def test_a_layer_that_does_not_ask_for_it_is_not_recorded(programs: list[threads.RecordedKernels]) -> None:
    layers = [L.Rescale(), L.Flatten(), Twice(), L.Dense(10)]
    model = tn.Sequential(layers, IMAGES.shape[1:], backend="numba")
    tn.Trainer(model, (IMAGES, LABELS), epochs=1, batch_size=16).run()
    assert np.array_equal(model.predict(IMAGES), model.predict(IMAGES[::-1])[::-1])
    assert not programs


def test_another_number_of_threads_is_respected_in_mid_run() -> None:
    def net() -> list[Layer]:
        return [L.Rescale(), L.Flatten(), L.Dense(300), L.ReLU(), L.Dense(10)]

    def run(*limits: int) -> str:
        model = tn.Sequential(net(), IMAGES.shape[1:], backend="numba")
        steps = tn.Trainer(model, (IMAGES, LABELS), epochs=3, batch_size=40).events()
        for count in limits:
            with threads.limit(count):
                next(step for step in steps if hasattr(step, "loss"))
        return weights_sha256(model)

    assert run(3, 1, 2) == run(1, 1, 1)


# --- prediction ---------------------------------------------------------------------------------------------


def conv_net() -> list[Layer]:
    return [
        L.Rescale(),
        L.Conv2D(16, 3, padding="same"),
        L.BatchNorm(),
        L.ReLU(),
        L.Conv2D(16, 3),
        L.ELU(),
        L.MaxPool2D(),
        L.AvgPool2D(2, stride=1, padding=1),
        L.Flatten(),
        L.Dropout(0.5),
        L.Dense(10),
        L.Softmax(),
    ]


def learned(ops: NumbaBackend) -> tn.Sequential:
    model = tn.Sequential(conv_net(), IMAGES.shape[1:], backend=ops)
    tn.Trainer(model, (IMAGES, LABELS), loss=CrossEntropy(), epochs=1, batch_size=20).run()
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("convolution", ["direct", "winograd", "im2col"])
def test_recorded_steps_have_a_mask_and_statistics_of_their_own(
    convolution: str, dtype: str, programs: list[threads.RecordedKernels]
) -> None:
    def layers() -> list[Layer]:
        return [*conv_net()[:-1], L.Residual([L.Dense(10), L.BatchNorm()])]

    def figures(record: bool) -> tuple[Any, ...]:
        return trained(layers(), SoftmaxCrossEntropy(), dtype, record, convolution=convolution)

    expected = figures(record=False)
    assert not programs
    assert figures(record=True) == expected
    can_repeat = convolution != "im2col" and not numba.config.DISABLE_JIT  # products by BLAS are no kernels
    assert [program.is_repeated for program in programs] == [can_repeat] * 2  # a batch of 16 and one of 8
    tried = {type(layer) for layer in walk(layers())} | {type(a()) for a in ACTIVATIONS}
    known = {kind for kind in LAYERS.values() if "whole gradients" in phases_of(kind)}
    assert known - tried == {L.DepthwiseConv2D, L.Reshape}  # which were above


def test_a_part_of_a_batch_with_a_mask_is_not_recorded(programs: list[threads.RecordedKernels]) -> None:
    """Its mask begins anywhere in that of the batch, and batch statistics are those of all processes."""
    model = tn.Sequential([L.Dense(10), L.Dropout(0.5)], (3,), backend="numba")

    for size in (1, 2):
        group = Group()
        group.size = size
        step = Step(model, SoftmaxCrossEntropy(), tn.Adam(), Average(), group, Accuracy())
        assert step.recorded_gradients.records is (size == 1)


@pytest.mark.parametrize("pack", [False, True], ids=["free", "packed"])
@pytest.mark.parametrize("convolution", ["direct", "winograd", "im2col"])
def test_recorded_predictions_are_those_predictions(
    convolution: str, pack: bool, programs: list[threads.RecordedKernels]
) -> None:
    plain, recorded = learned(backend(False, convolution)), learned(backend(True, convolution))
    if pack:
        recorded.pack()
    for batch in (1, 3):
        for start in range(0, 12, batch):
            x = IMAGES[start : start + batch]
            np.testing.assert_array_equal(recorded.predict(x), plain.predict(x))
    can_repeat = convolution != "im2col" and not numba.config.DISABLE_JIT  # products by BLAS are no kernels
    assert [program.is_repeated for program in programs] == [can_repeat] * 2


def test_every_layer_that_is_recorded_in_prediction_was_tried() -> None:
    tried = {type(layer) for layer in [*conv_net(), *(n for a in ACTIVATIONS for n in dense_net(a))]}
    assert {kind for kind in LAYERS.values() if "evaluate" in phases_of(kind)} == tried


def test_large_batches_are_not_copied_into_a_recording(programs: list[threads.RecordedKernels]) -> None:
    model = learned(backend(True))
    many = np.concatenate([IMAGES] * 7)[:256]
    np.testing.assert_array_equal(model.predict(many)[:40], model.predict(IMAGES))
    assert len(programs) == 1


def test_no_more_than_some_shapes_are_kept(programs: list[threads.RecordedKernels]) -> None:
    model, plain = learned(backend(True)), learned(backend(False))
    for count in [*range(1, MAX_RECORDINGS + 3), 1]:
        np.testing.assert_array_equal(model.predict(IMAGES[:count]), plain.predict(IMAGES[:count]))
    assert len(programs) == MAX_RECORDINGS + 3  # the first was forgotten, and recorded again
    assert len(model.recorded_outputs) == MAX_RECORDINGS


def test_training_goes_on_after_predictions_on_a_packed_model() -> None:
    def run(pack: bool) -> tuple[str, Array]:
        model = tn.Sequential(conv_net(), IMAGES.shape[1:], backend="numba")
        trainer = tn.Trainer(model, (IMAGES, LABELS), loss=CrossEntropy(), epochs=2, batch_size=20)
        for _ in trainer.events():
            if pack:
                model.pack()
                model.predict(IMAGES[:1])
        return weights_sha256(model), model.predict(IMAGES)

    (plain, expected), (packed, found) = run(False), run(True)
    assert plain == packed
    np.testing.assert_array_equal(found, expected)


def test_weights_of_a_packed_model_show_when_it_is_unpacked() -> None:
    model = learned(backend(True, "direct"))
    x, kernel = IMAGES[:1], model.layers[1].params.W
    before = model.predict(x)
    model.pack()
    np.testing.assert_array_equal(model.predict(x), before)
    kernel[...] = 0
    np.testing.assert_array_equal(model.predict(x), before)
    model.unpack()
    assert not model.is_packed
    assert not np.array_equal(model.predict(x), before)


def test_packing_changes_nothing_where_nothing_is_kept() -> None:
    model = tn.Sequential(conv_net(), IMAGES.shape[1:], backend="numpy")
    before = model.predict(IMAGES)
    model.pack()
    np.testing.assert_array_equal(model.predict(IMAGES), before)


# --- programs -----------------------------------------------------------------------------------------------


def scale(x: Array, y: Array, factor: float = 2.0) -> None:
    threads.over(elementwise.rescale, x.size, x, y, factor, 0.0, least=100)


@pytest.fixture(params=[1, 3])
def size(request: pytest.FixtureRequest) -> Iterator[int]:
    with threads.limit(request.param):
        yield request.param


@needs_compiler
def test_a_program_works_on_what_its_arrays_hold_by_then(size: int) -> None:
    x, y, z = np.arange(1000.0), np.empty(1000), np.empty(1000)
    calls = []

    def run() -> None:
        calls.append(1)
        scale(x, y)
        scale(y, z, 10.0)

    program = threads.RecordedKernels(run)
    np.testing.assert_array_equal(z, 20 * x)
    x[:] = -1
    program()
    np.testing.assert_array_equal(z, -20)
    assert len(calls) == 1


@needs_compiler
def test_a_program_keeps_the_memory_it_works_on(size: int) -> None:
    x, results = np.arange(1000.0), []

    def run() -> None:
        middle, y = np.empty(1000), np.empty(1000)
        scale(x, middle)
        scale(middle, y)
        results.append(y)

    program = threads.RecordedKernels(run)
    gc.collect()
    others = [np.full(1000, 7.0) for _ in range(100)]  # what was freed would be used again here
    program()
    np.testing.assert_array_equal(results[0], 4 * x)
    assert all((other == 7).all() for other in others)


@needs_compiler
def test_what_is_not_noted_happens_once() -> None:
    x, y, z = np.ones(10), np.empty(10), np.empty(10)

    def run() -> None:
        with threads.outside_recording():
            scale(x, y)
        scale(y, z)

    program = threads.RecordedKernels(run)
    x[:] = 5
    program()
    np.testing.assert_array_equal(z, 4)


def test_a_program_with_other_work_is_run_again_as_it_is() -> None:
    x, y = np.ones(10), np.empty(10)

    def run() -> None:
        threads.break_recording()
        scale(x + 1, y)

    program = threads.RecordedKernels(run)
    x[:] = 5
    program()
    np.testing.assert_array_equal(y, 12)


@needs_compiler
def test_a_program_that_fails_to_be_noted_leaves_no_trace() -> None:
    def run() -> None:
        raise ValueError("not today")

    with pytest.raises(ValueError, match="not today"):
        threads.RecordedKernels(run)
    assert not threads.is_recording()


@needs_compiler
def test_programs_of_several_threads_do_not_meet() -> None:
    """The crew works for one of them at a time; the others do theirs alone."""

    def work(number: int) -> bool:
        x, y = np.full(5000, float(number)), np.empty(5000)
        program = threads.RecordedKernels(lambda: scale(x, y))
        for repeat in range(300):
            x[:] = number + repeat
            program()
            if not (y == 2.0 * (number + repeat)).all():
                return False
        return True

    with threads.limit(3), ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))
