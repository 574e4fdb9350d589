"""Stretches of steps: what is done by few launches is what is done step by step, seen by whom and when.

On the stand-in for a GPU (`cuda_host`), whose graphs are counted.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_host import HostBackend, HostDevice
from nets import StopAt

import tinynet as tn
from tinynet import layers as L
from tinynet.callbacks.checkpoints import LastCheckpoint
from tinynet.callbacks.health import HealthLog
from tinynet.callbacks.log import JsonLog
from tinynet.checkpoint import load_training, save_training, weights_sha256
from tinynet.data.augmentation import Augmentation
from tinynet.errors import ConfigError, NonFiniteError
from tinynet.layers.base import Layer
from tinynet.losses import class_weights
from tinynet.optim import SGD, AdamW
from tinynet.stretch import GRAPH_STEPS, RecordedSteps, SingleSteps
from tinynet.training import Callback, EpochEnd, StepEnd, Trainer, steps_to_look

RANDOM = np.random.default_rng(1)
IMAGES = RANDOM.integers(0, 256, (45, 8, 8, 1), np.uint8)
LABELS = RANDOM.integers(0, 5, 45)
BATCH = 2
"""22 batches of 2 and one of 1."""
EVERY = 15
"""Steps from one line of the log to the next: epochs and looks at the loss fall in between."""


def net() -> list[Layer]:
    return [
        L.Rescale(),
        L.Conv2D(3, 3, padding="same", l2=0.01),
        L.BatchNorm(),
        L.ReLU(),
        L.MaxPool2D(),
        L.Flatten(),
        L.LeakyReLU(0.1),
        L.Dropout(0.3),
        L.Dense(5),
    ]


def trainer(ops: HostBackend | None = None, *, dtype: Any = np.uint8, **settings: Any) -> Trainer:
    model = tn.Sequential(net(), IMAGES.shape[1:], backend=ops or HostBackend(), seed=2)
    settings = {"epochs": 3, "batch_size": BATCH, **settings}
    return Trainer(model, (IMAGES.astype(dtype), LABELS), **settings)


def one_by_one() -> HostBackend:
    """The same arithmetic, called operation by operation."""
    ops = HostBackend()
    ops.recorded_phases = ()
    return ops


def flats(run: Trainer) -> dict[str, bytes]:
    """All that a step moves."""
    store = run.model.store
    kept = {"values": store.values.flat, "state": store.state.flat, **run.optimizer.state}
    return {name: np.array(flat).tobytes() for name, flat in {**kept, **run.average.tensors()}.items()}


def lines(path: Path) -> list[dict[str, Any]]:
    """A log without the time that anything took."""
    read = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in read]


def told(run: Trainer, folder: Path, *callbacks: Callback) -> tuple[Any, ...]:
    """What a training came to, and what was said of it."""
    folder.mkdir()
    run.run([JsonLog(folder / "log", every_steps=EVERY), HealthLog(folder / "health"), *callbacks])
    history = [{**record, "seconds": 0} for record in run.state.history]
    logs = [lines(folder / name) for name in ("log", "health")]
    return flats(run), run.state.step, run.optimizer.steps, history, logs


SETTINGS: dict[str, Callable[[], dict[str, Any]]] = {
    "Adam": dict,
    "AdamW, clipped, averaged": lambda: {"optimizer": AdamW(0.01, clip=0.1), "ema_decay": 0.9},
    "another rate each step": lambda: {
        "schedule": tn.Cosine(warmup=0.5),
        "optimizer": SGD(0.1, momentum=0.9),
    },
    "weights of classes": lambda: {"sample_weight": class_weights("balanced", LABELS, 5)},
    "distorted": lambda: {"augmentation": Augmentation(rotation=20, elastic=1, contrast=0.3, erase=0.2)},
    "distorted, batches of one size": lambda: {"augmentation": Augmentation(erase=0.5), "batch_size": 5},
    "mixed": lambda: {"augmentation": Augmentation(shift=0.1, mixup=0.4)},
    "values of another type": lambda: {"dtype": np.float64},
    "batches of one size": lambda: {"batch_size": 5},
    "distorted, of another type": lambda: {"dtype": np.float64, "augmentation": Augmentation(rotation=9)},
    "validated": lambda: {"validation": (IMAGES[:7], LABELS[:7]), "ema_decay": 0.9},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_stretches_are_the_same_steps(
    settings: Callable[[], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinynet.data.batches.DRAWN_TOGETHER", 8)
    stretched, single = trainer(**settings()), trainer(one_by_one(), **settings())
    assert told(stretched, tmp_path / "stretched") == told(single, tmp_path / "single")
    assert isinstance(stretched.learner, RecordedSteps)
    assert isinstance(single.learner, SingleSteps)


@pytest.mark.parametrize(
    ("settings", "most"), [("Adam", 64), ("distorted", 64), ("mixed", 1), ("distorted, of another type", 1)]
)
def test_what_cannot_be_gathered_on_the_device_is_done_step_by_step(settings: str, most: int) -> None:
    run = trainer(**SETTINGS[settings]())
    assert run.learner.most(run.train) == most


def test_an_epoch_is_few_launches() -> None:
    ops = HostBackend()
    run, graphs = trainer(ops, epochs=2), ops.device.graphs
    for event in run.events(lambda: math.inf):
        if isinstance(event, EpochEnd):
            break
    graphs.clear()
    ends = [event.step for event in run.events(lambda: math.inf) if isinstance(event, StepEnd)]
    assert ends == [45, 46]  # the last batch is smaller; no loss is looked at
    alone = graphs[-1]
    assert graphs == [GRAPH_STEPS * alone] * 3 + [alone] * 2  # 22 steps, and one


def test_each_step_draws_the_distortions_of_its_images() -> None:
    """By one kernel, with numbers that are there: the epoch's is put there for its order, once."""
    ops = HostBackend()
    run, launched = trainer(ops, epochs=2, **SETTINGS["distorted"]()), ops.device.launched
    for event in run.events(lambda: math.inf):
        if isinstance(event, EpochEnd):
            break
    launched.clear()
    run.run()
    assert launched.count("distortions") == launched.count("begin_step") == 23
    assert launched.count("put") == 1


def test_a_look_at_the_loss_costs_a_launch() -> None:
    ops = HostBackend()
    run, graphs = trainer(ops, epochs=5), ops.device.graphs
    found = []
    for event in run.events(lambda: math.inf):
        if isinstance(event, StepEnd):
            found.append((event.step, len(graphs)))
            graphs.clear()
    assert [step for step, _ in found] == [22, 23, 45, 46, 50, 68, 69, 91, 92, 100, 114, 115]
    launches = dict(found)
    assert launches[68] == 2 + 2 + 3  # from step 50 on: one in two halves, then 17
    assert launches[91] == 3 + 1


# --- who sees which step ------------------------------------------------------------------------------------


class Told(Callback):
    """Notes the steps that it is told of."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        assert event.step == trainer.state.step
        self.steps.append(event.step)


class ToldSeldom(Told):
    def steps_to_look(self, trainer: Trainer) -> float:
        return 5 - trainer.state.step % 5

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        super().on_step(trainer, event)


class ToldMore(ToldSeldom):
    """Inherits when it is told, and does something else then."""

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        super().on_step(trainer, event)


def test_a_callback_is_told_of_every_step_unless_it_says_otherwise() -> None:
    every, seldom = Told(), ToldSeldom()
    trainer(epochs=1).run([seldom, every])
    assert every.steps == list(range(1, 24))
    seldom.steps.clear()
    trainer(epochs=1).run([seldom])
    assert seldom.steps == [5, 10, 15, 20, 22, 23]


def test_what_a_class_says_does_not_hold_for_what_a_subclass_does() -> None:
    run = trainer()
    assert steps_to_look(run, [ToldSeldom()]) == 5
    assert steps_to_look(run, [ToldMore()]) == 1
    assert steps_to_look(run, [Callback(), StopAt(3)]) == 1
    assert steps_to_look(run, []) == math.inf


def test_a_checkpoint_of_every_step_is_one_of_every_step(tmp_path: Path) -> None:
    saving = LastCheckpoint(tmp_path / "last.safetensors", seconds=0)
    assert steps_to_look(trainer(), [saving]) == 1
    assert steps_to_look(trainer(), [LastCheckpoint(tmp_path / "last.safetensors")]) == math.inf


def test_events_asked_for_one_by_one_are_single_steps() -> None:
    steps = [event.step for event in trainer(epochs=1).events() if isinstance(event, StepEnd)]
    assert steps == list(range(1, 24))


# --- resuming -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [4, 22, 23, 37])
def test_a_run_that_stops_in_what_was_a_stretch_goes_on_as_it_would_have(stop: int, tmp_path: Path) -> None:
    settings = SETTINGS["AdamW, clipped, averaged"]
    augmentation = Augmentation(rotation=20, elastic=1)
    whole = trainer(**settings(), augmentation=augmentation)
    whole.run()
    first = trainer(**settings(), augmentation=augmentation)
    first.run([StopAt(stop), LastCheckpoint(tmp_path / "last.safetensors")])
    assert first.state.step == stop
    again = trainer(**settings(), augmentation=augmentation)
    load_training(tmp_path / "last.safetensors", again, [])
    again.run()
    assert flats(again) == flats(whole)
    for one, other in zip(again.state.history, whole.state.history, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_a_setting_that_changes_holds_from_the_next_stretch_on() -> None:
    class Steeper(Callback):
        def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
            layer = trainer.model.layers[6]
            assert isinstance(layer, L.LeakyReLU)
            layer.slope += 0.2
            trainer.state.rate_scale *= 0.5

    runs = [trainer(), trainer(one_by_one())]
    for run in runs:
        run.run([Steeper()])
    assert flats(runs[0]) == flats(runs[1])


# --- what goes wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1e8, 1e30])
def test_a_loss_that_is_no_number_is_found_at_the_same_step(rate: float) -> None:
    runs = [trainer(ops, optimizer=SGD(rate), epochs=20) for ops in (HostBackend(), one_by_one())]
    said = []
    for run in runs:
        with np.errstate(all="ignore"), pytest.raises(NonFiniteError) as caught:
            run.run()
        said.append((str(caught.value), run.state.step, flats(run)))
        run.check_whole()  # nothing was learned from that loss
    assert said[0] == said[1]


class Failing(HostDevice):
    """Its graphs fail after so many launches."""

    left = math.inf

    def repeated(self, calls: list[Callable[[], object]]) -> Callable[[], object]:
        repeat = super().repeated(calls)

        def launch() -> None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            repeat()

        return launch


def test_a_training_cut_off_in_a_stretch_is_lost_and_its_checkpoint_is_not(tmp_path: Path) -> None:
    whole = trainer()
    whole.run()
    device = Failing()
    cut = trainer(HostBackend(device=device))
    saved = tmp_path / "last.safetensors"
    for event in cut.events(lambda: math.inf):
        if isinstance(event, EpochEnd):
            save_training(saved, cut, (), {})
            device.left = 2
            break
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    before = saved.read_bytes()
    for use in (cut.run, lambda: save_training(saved, cut, (), {})):
        with pytest.raises(ConfigError, match=r"cut off in the middle of a step\n.*\n  fix: a new Trainer"):
            use()
    assert saved.read_bytes() == before
    again = trainer()
    load_training(saved, again)
    again.run()
    assert weights_sha256(again.model) == weights_sha256(whole.model)


@pytest.mark.parametrize("ops", [HostBackend, one_by_one], ids=["recorded", "single"])
def test_so_is_one_cut_off_while_the_weights_move(ops: Callable[[], HostBackend]) -> None:
    run = trainer(ops())

    def cut(gain: Any) -> None:
        raise KeyboardInterrupt

    run.average.move = cut  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run.run()
    with pytest.raises(ConfigError, match="cut off"):
        run.run()


def test_an_interruption_before_the_weights_move_loses_nothing() -> None:
    class Once(HostBackend):
        is_planted = True

        def begin_step(self, *arguments: Any) -> Any:
            if Once.is_planted:
                Once.is_planted = False
                raise KeyboardInterrupt
            return super().begin_step(*arguments)

    run, whole = trainer(Once()), trainer()
    with pytest.raises(KeyboardInterrupt):
        run.run()
    run.run()
    whole.run()
    assert flats(run) == flats(whole)


class Broken(HostBackend):
    """Something of each step goes by no door, so it cannot be recorded."""

    def rescale(self, x: Any, scale: float, offset: float, dtype: str) -> Any:
        self.device.break_recording()
        return super().rescale(x, scale, offset, dtype)


def test_steps_that_cannot_be_recorded_are_called_one_by_one() -> None:
    ops, whole = Broken(), trainer()
    run = trainer(ops)
    run.run()
    whole.run()
    assert flats(run) == flats(whole)
    assert len(set(ops.device.graphs)) == 1  # of the halves that move the weights, where there was a look


def test_two_models_on_one_device_learn_as_each_alone() -> None:
    def result(run: Trainer) -> tuple[Any, ...]:
        run.run()
        return flats(run), [record["loss"] for record in run.state.history]

    def runs(make: Callable[[], HostBackend]) -> list[Trainer]:
        return [trainer(make(), **SETTINGS[name]()) for name in ("distorted", "weights of classes")]

    alone = [result(run) for run in runs(HostBackend)]
    shared = HostBackend()
    with ThreadPoolExecutor(2) as pool, warnings.catch_warnings():
        assert list(pool.map(result, runs(lambda: shared))) == alone
