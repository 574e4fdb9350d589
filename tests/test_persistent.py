"""Small nets by one kernel for many steps: the same results as the general way, whoever looks; and which fit.

On the stand-in for a GPU (`cuda_host`), whose launches are counted.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_host import HostBackend, HostDevice

import tinynet as tn
from tinynet import layers as L
from tinynet import persistent
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.checkpoint import load_training, save_training, weights_sha256
from tinynet.data.augmentation import Augmentation
from tinynet.kernels.cuda.source import read
from tinynet.layers.base import Layer
from tinynet.losses import CrossEntropy, SoftmaxCrossEntropy
from tinynet.optim import SGD, Adam, AdamW
from tinynet.persistent import KERNEL, PersistentSteps
from tinynet.stretch import RecordedSteps, Row
from tinynet.training import StepEnd, Trainer

RANDOM = np.random.default_rng(1)
IMAGES = RANDOM.integers(0, 256, (45, 4, 5, 1), np.uint8)
LABELS = RANDOM.integers(0, 3, 45)


def mlp() -> list[Layer]:
    return [L.Rescale(), L.Flatten(), L.Dense(4), L.ReLU(), L.Dense(3)]


def linear() -> list[Layer]:
    return [L.Rescale(), L.Flatten(), L.Dense(3)]


def sigmoids() -> list[Layer]:
    return [L.Rescale(1 / 100, 0.1), L.Flatten(), L.Dense(3), L.Sigmoid()]


def trainer(
    make: Callable[[], list[Layer]], ops: Any = None, *, dtype: str = "float32", **settings: Any
) -> Trainer:
    images, frozen = settings.pop("images", IMAGES), settings.pop("freeze", ())
    ops = ops or HostBackend()
    model = tn.Sequential(make(), images.shape[1:], backend=ops, seed=2, dtype=dtype, freeze=frozen)
    settings = {"epochs": 5, "batch_size": 2, "optimizer": Adam(0.01, epsilon=1e-3), **settings}
    return Trainer(model, (images, np.resize(LABELS, len(images))), **settings)


def in_general(make: Callable[[], list[Layer]], ops: Any, **settings: Any) -> Trainer:
    """The same, never by the kernel."""
    run = trainer(make, ops, **settings)
    run.learner = RecordedSteps(run.step) if run.step.may_record else run.learner
    return run


def values(run: Trainer) -> np.ndarray:
    return np.concatenate(
        [np.ravel(run.model.backend.to_host(a)) for a in run.model.store.values.views.values()]
    )


NETS: dict[str, tuple[Callable[[], list[Layer]], dict[str, Any]]] = {
    "mlp": (mlp, {}),
    "linear": (linear, {}),
    "sigmoids": (sigmoids, {"loss": CrossEntropy()}),
    "smoothed": (mlp, {"loss": SoftmaxCrossEntropy(smoothing=0.1)}),
    "decayed": (mlp, {"optimizer": AdamW(0.01, weight_decay=0.1, epsilon=1e-3)}),
    "scheduled": (mlp, {"schedule": tn.Cosine(warmup=0.5)}),
    "not rescaled": (lambda: mlp()[1:], {"images": (IMAGES / 255).astype(np.float32)}),
    "flat": (lambda: mlp()[2:], {"images": (IMAGES / 255).astype(np.float32).reshape(45, 20)}),
    "distorted": (mlp, {"augmentation": Augmentation(rotation=9, elastic=1, contrast=0.2)}),
    "a hidden layer and sigmoids": (lambda: [*mlp(), L.Sigmoid()], {"loss": CrossEntropy()}),
}  # fmt: skip


fresh = copy.deepcopy
"""Settings with a loss and an optimiser of their own."""


@pytest.mark.parametrize("name", NETS)
def test_the_results_are_those_of_the_general_way_up_to_rounding(name: str) -> None:
    """Both are as near to float64."""
    make, settings = NETS[name]
    ops = HostBackend()
    run = trainer(make, ops, **fresh(settings))
    general = in_general(make, HostBackend(), **fresh(settings))
    exact = trainer(make, NumpyBackend(), dtype="float64", **fresh(settings))
    for each in (run, general, exact):
        each.run()
    assert ops.device.launched.count(KERNEL) > 5
    errors = [abs(values(each) - values(exact)).max() for each in (run, general)]
    assert errors[0] < 2e-6
    assert errors[0] <= 2 * errors[1] + 1e-7
    for mine, other in zip(run.state.history, exact.state.history, strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-6)
        assert mine["accuracy"] == other["accuracy"]


@pytest.mark.parametrize("name", ["mlp", "linear", "distorted"])
def test_the_same_bits_whoever_looks(name: str) -> None:
    make, settings = NETS[name]
    found = []
    for steps in (1, 7, math.inf):
        run = trainer(make, **fresh(settings))
        events = run.events(partial(float, steps))
        losses = {event.step: float(event.loss) for event in events if isinstance(event, StepEnd)}
        found.append((weights_sha256(run.model), [r["loss"] for r in run.state.history], losses))
    assert found[0][:2] == found[1][:2] == found[2][:2]
    for other in found[1:]:
        assert other[2].items() <= found[0][2].items()


@pytest.mark.parametrize("name", ["mlp", "distorted"])
def test_a_resumed_run_is_the_same_run(name: str, tmp_path: Path) -> None:
    make, settings = NETS[name]
    whole, half, rest = (trainer(make, **fresh(settings)) for _ in range(3))
    whole.run()
    for event in half.events(lambda: 3):
        if isinstance(event, StepEnd) and event.step > 60:
            break
    save_training(tmp_path / "half", half, (), {})
    load_training(tmp_path / "half", rest)
    rest.run()
    assert weights_sha256(rest.model) == weights_sha256(whole.model)
    assert [{**r, "seconds": 0} for r in rest.state.history] == [
        {**r, "seconds": 0} for r in whole.state.history
    ]


def test_a_stretch_is_one_launch() -> None:
    ops = HostBackend()
    run = trainer(mlp, ops, batch_size=1, epochs=3)
    steps = [event.step for event in run.events(lambda: math.inf) if isinstance(event, StepEnd)]
    assert steps == [45, 50, 90, 100, 135]  # epochs end, and losses are looked at before step 51 and step 101
    assert ops.device.launched.count(KERNEL) == len(steps)


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    run = trainer(mlp)
    run.model.store.values.flat[...] = np.nan
    with pytest.raises(tn.errors.NonFiniteError):
        run.run()


# --- what the kernel cannot do ------------------------------------------------------------------------------


class OtherDense(L.Dense):
    """It may compute otherwise."""


ELSEWISE: dict[str, tuple[Callable[[], list[Layer]], dict[str, Any]]] = {
    "another activation": (lambda: [*mlp()[:3], L.Tanh(), L.Dense(3)], {}),
    "two hidden layers": (lambda: [*mlp()[:4], L.Dense(4), L.ReLU(), L.Dense(3)], {}),
    "dropout": (lambda: [*mlp()[:4], L.Dropout(0.5), L.Dense(3)], {}),
    "a penalty": (lambda: [*mlp()[:2], L.Dense(3, l2=0.1)], {}),
    "a kind of Dense": (lambda: [*mlp()[:2], OtherDense(3)], {}),
    "each line for itself": (lambda: [L.Rescale(), L.Reshape((20,)), L.Dense(3)], {}),
    "frozen weights": (mlp, {"freeze": "dense_1"}),
    "sigmoids with the loss of logits": (sigmoids, {"loss": SoftmaxCrossEntropy()}),
    "another optimiser": (mlp, {"optimizer": SGD(0.1)}),
    "clipped": (mlp, {"optimizer": Adam(0.01, clip=1.0)}),
    "averaged": (mlp, {"ema_decay": 0.9}),
    "mixed": (mlp, {"augmentation": Augmentation(mixup=0.4)}),
    "weighted": (mlp, {"sample_weight": np.linspace(0, 2, 45)}),
    "float64": (mlp, {"dtype": "float64"}),
    "pixels of another type": (mlp, {"images": IMAGES.astype(np.int64)}),
    "a large batch": (mlp, {"images": np.resize(IMAGES, (514, 4, 5, 1)), "batch_size": 257}),
    "many inputs": (mlp, {"images": np.resize(IMAGES, (45, 34, 34, 1))}),
}  # fmt: skip


@pytest.mark.parametrize("name", ELSEWISE)
def test_what_the_kernel_cannot_do_goes_the_general_way(name: str) -> None:
    make, settings = ELSEWISE[name]
    settings = {"epochs": 1, **settings}
    ops = HostBackend()
    run, general = trainer(make, ops, **fresh(settings)), in_general(make, HostBackend(), **fresh(settings))
    run.run()
    general.run()
    assert KERNEL not in ops.device.launched
    assert weights_sha256(run.model) == weights_sha256(general.model)


WHY = {
    "another activation": "its layers are not one Dense, or two with a ReLU between",
    "sigmoids with the loss of logits": "its loss is not CrossEntropy",
    "another optimiser": "its optimiser is not Adam or AdamW",
    "clipped": "its gradients are clipped",
    "averaged": "its weights are averaged",
    "a penalty": "it has an L2 penalty",
    "frozen weights": "some of its weights are frozen",
    "float64": "its numbers are not float32",
    "pixels of another type": "its samples are int64, not uint8 or float32",
    "a large batch": "257 samples in a batch, at most 256",
    "many inputs": "1,163 parameters of a unit, at most 1,152",
}


@pytest.mark.parametrize("name", WHY)
def test_why_the_kernel_cannot_train_a_net(name: str) -> None:
    make, settings = ELSEWISE[name]
    run = trainer(make, **fresh(settings))
    assert isinstance(run.learner, PersistentSteps)
    assert run.learner.net(run.train.batch_size, run.train.inputs.dtype) == WHY[name]


def test_a_device_without_room_for_all_units() -> None:
    for room, launches in ((3, False), (4, True)):
        ops = HostBackend()
        ops.device.room = room
        run = trainer(mlp, ops, epochs=1)
        run.run()
        assert (KERNEL in ops.device.launched) == launches
        assert isinstance(run.learner, PersistentSteps)
        crowded = run.learner.net(2, IMAGES.dtype) == "4 units, of which this GPU holds 3 at a time"
        assert crowded == (not launches)


def test_a_setting_that_changes_between_two_stretches_counts() -> None:
    ops = HostBackend()
    run = trainer(mlp, ops)
    events = run.events(lambda: 4)
    next(events), next(events)
    assert ops.device.launched.count(KERNEL) == 2
    run.optimizer.clip = 1.0
    next(events)
    assert ops.device.launched.count(KERNEL) == 2


def test_a_batch_of_another_size_may_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistent, "MOST_ROWS", 1)
    ops = HostBackend()
    trainer(mlp, ops, epochs=2).run()  # 22 batches of 2, and one of 1
    assert ops.device.launched.count(KERNEL) == 2


def test_the_limits_are_those_of_the_kernel() -> None:
    code = read("perceptron.cu")
    for name in ("MOST_ROWS", "MOST_SCORES", "MOST_OWNED"):
        assert f"constexpr int {name} = {getattr(persistent, name)};" in code
    assert f"enum {{ {', '.join(Row._fields).upper()}, COLUMNS }};" in code


def test_other_backends_have_no_such_kernel() -> None:
    assert not isinstance(trainer(mlp, NumpyBackend()).learner, PersistentSteps)
    assert isinstance(trainer(mlp, HostBackend(device=HostDevice())).learner, PersistentSteps)
