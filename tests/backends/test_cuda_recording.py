"""Training on the GPU backend without a GPU: whole steps against the reference, and recorded ones.

What stands for a device here refuses array arithmetic while a recording is made (`cuda_host.DeviceArray`):
whatever is recorded below went through the door that a CUDA graph is captured from.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from cuda_host import HostBackend

import tinynet as tn
from tinynet import layers as L
from tinynet.backends.base import Backend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.backends.recording import RECORDABLE, phases_of
from tinynet.checkpoint import load_training, save_training, weights_sha256
from tinynet.data.augmentation import Augmentation
from tinynet.layers.base import Layer
from tinynet.losses import CrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.optim import SGD, Adam, AdamW, Optimizer
from tinynet.rng import Key
from tinynet.runs import recipe
from tinynet.stretch import RecordedSteps
from tinynet.training import StepEnd
from tinynet.types import Array

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (20, 9, 8, 2), np.uint8)
LABELS = RANDOM.integers(0, 5, 20)


def backend(record: bool) -> HostBackend:
    ops = HostBackend()
    if not record:
        ops.recorded_phases = ()
    return ops


def every_layer() -> list[Layer]:
    return [
        L.Rescale(),
        L.Conv2D(4, 3, padding="same", l2=0.01),
        L.BatchNorm(),
        L.ReLU(),
        L.MaxPool2D(),
        L.DepthwiseConv2D(padding="same"),
        L.Residual([L.Conv2D(4, 3, padding="same"), L.BatchNorm(), L.ReLU(), L.Dropout(0.25)]),
        L.ReLU(),
        L.Dropout(0.25),
        L.Conv2D(3, 2),
        L.ReLU(),
        L.AvgPool2D(2, stride=1),
        L.Reshape((2, 6)),
        L.Flatten(),
        L.Dense(7, l2=0.02),
        L.ELU(),
        L.Dense(6),
        L.GELU(),
        L.GELU("tanh"),
        L.LeakyReLU(),
        L.Dense(6),
        L.Sigmoid(),
        L.Dropout(0.5),
        L.Tanh(),
        L.Dense(5),
        L.Softmax(),
    ]


def plain_net() -> list[Layer]:
    return [L.Rescale(), L.Flatten(), L.Dense(8), L.ReLU(), L.Dropout(0.3), L.Dense(5)]


def trainer(make: Callable[[], list[Layer]], ops: Backend, **settings: Any) -> tn.Trainer:
    model = tn.Sequential(make(), IMAGES.shape[1:], backend=ops, seed=2)
    settings = {"epochs": 3, "batch_size": 8, **settings}  # batches of 8, 8 and 4
    return tn.Trainer(model, (IMAGES, LABELS), **settings)


def recordings(run: tn.Trainer) -> int:
    assert isinstance(run.learner, RecordedSteps)
    return len(run.learner.recordings)


def outcome(run: tn.Trainer) -> tuple[Any, ...]:
    """Every weight and average, each step's loss, and what each epoch came to."""
    losses = [float(event.loss) for event in run.events() if isinstance(event, StepEnd)]
    optimizer = {name: np.array(flat).tobytes() for name, flat in run.optimizer.state.items()}
    figures = [(record["loss"], record["accuracy"]) for record in run.state.history]
    return weights_sha256(run.model), optimizer, run.optimizer.steps, losses, figures


SETTINGS: dict[str, Callable[[], dict[str, Any]]] = {
    "Adam": lambda: {"optimizer": Adam(0.01)},
    "AdamW, clipped, averaged": lambda: {"optimizer": AdamW(0.01, clip=0.1), "ema_decay": 0.9},
    "SGD": lambda: {"optimizer": SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01)},
    "another rate each epoch": lambda: {"schedule": tn.Cosine(), "optimizer": SGD(0.1)},
    "weighted": lambda: {"sample_weight": np.linspace(0, 2, len(LABELS))},
    "augmented": lambda: {"augmentation": Augmentation(rotation=20, elastic=1, contrast=0.3)},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize(
    ("make", "loss"), [(every_layer, CrossEntropy), (plain_net, SoftmaxCrossEntropy)], ids=["every", "plain"]
)
def test_recorded_steps_are_those_steps(
    make: Callable[[], list[Layer]], loss: type[Loss], settings: Callable[[], dict[str, Any]]
) -> None:
    runs = [trainer(make, backend(record), loss=loss(), **settings()) for record in (True, False)]
    recorded, plain = map(outcome, runs)
    assert recorded == plain
    assert not runs[1].step.may_record
    assert runs[0].step.may_record
    assert recordings(runs[0]) == 2  # batches of 8 and of 4


@pytest.mark.parametrize("weighted", [False, True])
def test_recorded_steps_with_soft_targets(weighted: bool) -> None:
    """Of mixed images; the class with the largest share is found in the recording, too."""
    settings: dict[str, Any] = {"augmentation": Augmentation(mixup=0.4, cutmix=1)}
    settings |= {"sample_weight": np.linspace(0, 2, len(LABELS))} if weighted else {}
    runs = [trainer(plain_net, backend(record), **settings) for record in (True, False)]
    recorded, plain = map(outcome, runs)
    assert recorded == plain
    assert runs[0].step.may_record
    assert recordings(runs[0]) == 2


def test_every_layer_that_may_be_recorded_was_tried() -> None:
    tried = {type(layer) for layer in every_layer()}
    assert {kind for kind in L.LAYERS.values() if "step" in phases_of(kind)} == tried


@pytest.mark.parametrize("name", ["lenet", "cnn"])
def test_steps_are_those_of_the_reference(name: str) -> None:
    """Real nets on images of 28 x 28, dropout and Adam among it."""
    images, labels = RANDOM.integers(0, 256, (4, 28, 28, 1), np.uint8), np.arange(4)
    results = []
    for ops in (HostBackend(), NumpyBackend()):
        model = recipe.load(name).build_model(backend=ops, dtype="float64")
        run = tn.Trainer(model, (images, labels), epochs=3, batch_size=2)
        losses = [float(event.loss) for event in run.events() if isinstance(event, StepEnd)]
        results.append((losses, np.array(model.store.values.flat), np.array(model.store.state.flat)))
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-7)


def test_a_steady_step_allocates_nothing_and_launches_the_same() -> None:
    ops = HostBackend()
    run = trainer(every_layer, ops, loss=CrossEntropy(), batch_size=10)
    device = ops.device
    events = (event for event in run.events() if isinstance(event, StepEnd))
    launched = []
    for _ in range(6):  # three epochs
        before, device.launched = device.allocated, []
        next(events)
        launched.append(device.launched)
    assert launched[3] == launched[5]
    assert device.allocated == before


def test_numbers_of_a_step_are_read_at_every_repeat() -> None:
    """A recorded step with a rate of 0 moves nothing, whatever the rate was when it was recorded."""
    run = trainer(plain_net, HostBackend(), batch_size=10)
    events = run.events()
    next(events)
    before = np.array(run.model.store.values.flat)
    run.state.rate_scale = 0.0
    next(events)
    np.testing.assert_array_equal(run.model.store.values.flat, before)
    run.state.rate_scale = 1.0
    next(events), next(events)
    assert not np.array_equal(run.model.store.values.flat, before)


def test_a_resumed_run_is_the_same_run(tmp_path: Any) -> None:
    whole = trainer(every_layer, HostBackend(), loss=CrossEntropy())
    expected = outcome(whole)
    first = trainer(every_layer, HostBackend(), loss=CrossEntropy())
    events = first.events()
    for _ in range(5):
        next(events)
    save_training(tmp_path / "here.safetensors", first, (), {})
    again = trainer(every_layer, HostBackend(), loss=CrossEntropy())
    load_training(tmp_path / "here.safetensors", again, ())
    assert outcome(again)[0] == expected[0]


def test_predictions_are_recorded() -> None:
    model = trainer(every_layer, HostBackend(), loss=CrossEntropy()).model
    plain = trainer(every_layer, backend(False), loss=CrossEntropy()).model
    for start in range(0, 12, 4):
        x = IMAGES[start : start + 4]
        np.testing.assert_array_equal(model.predict(x), plain.predict(x))
    assert len(model.recorded_outputs) == 1


def test_two_models_in_two_threads_learn_as_each_alone() -> None:
    """On one device, with recordings, products and workspaces of both."""
    makes = (every_layer, plain_net)
    losses = (CrossEntropy, SoftmaxCrossEntropy)
    alone = [
        outcome(trainer(make, HostBackend(), loss=loss())) for make, loss in zip(makes, losses, strict=True)
    ]
    ops = HostBackend()
    together = [trainer(make, ops, loss=loss()) for make, loss in zip(makes, losses, strict=True)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(outcome, together)) == alone
    assert all(run.step.may_record for run in together)


@dataclass(eq=False)
class Twice(Layer):
    """A user's own layer, of array arithmetic."""

    def build(self, input_shape: Any) -> Any:
        return input_shape

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, None]:
        return 2 * x, None

    def backward(self, dy: Array, cache: None) -> Array:
        return 2 * dy


@dataclass(eq=False)
class Boastful(Twice):
    """Plants the mistake: the test enters it among what may be recorded."""


def test_array_arithmetic_in_a_recording_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECORDABLE, f"{__name__}.Boastful", ("evaluate", "step"))
    with pytest.raises(AssertionError, match="multiply: this does not go through the door"):
        outcome(trainer(lambda: [*plain_net(), Boastful()], HostBackend()))


@pytest.mark.parametrize(
    "settings",
    [
        {"make": lambda: [*plain_net(), Twice()]},
        {"loss": MeanSquaredError()},
        {"optimizer": "one of the user's"},
        {"make": lambda: [L.Rescale(), L.Flatten(), L.BatchNorm(), L.Dense(5)], "freeze": "batchnorm_1"},
    ],
    ids=["layer", "loss", "optimizer", "frozen statistics"],
)
def test_what_computes_otherwise_is_not_recorded(settings: dict[str, Any]) -> None:
    class Own(SGD):
        def update(self, values: Array, grads: Array, step: int, rate: float) -> None:
            values -= rate * grads

    make, freeze = settings.get("make", plain_net), settings.get("freeze", ())
    model = tn.Sequential(make(), IMAGES.shape[1:], backend=HostBackend(), freeze=freeze)
    targets = np.ones((20, 5), np.float32) if "loss" in settings else LABELS
    optimizer: Optimizer = Own() if "optimizer" in settings else Adam()
    run = tn.Trainer(model, (IMAGES, targets), loss=settings.get("loss"), optimizer=optimizer, epochs=1)
    assert not run.step.may_record
    run.run()
