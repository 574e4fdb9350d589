"""A run: one training in a folder of its own, from its configuration to its report.

config.json          the settings: recipe, data set and its hash, seed, backend, weights to start from
log.jsonl            what happened, one JSON object a line
last.safetensors     the whole training state: `resume` goes on from it
best.safetensors     the model of the best epoch by the recipe's `monitor`
model.safetensors    the model at the end
tensorboard/         the log's figures as TensorBoard reads them, on request
health.jsonl, .png   what each layer did, epoch by epoch, on request
predictions.csv      label, prediction and its probability for every test image; of pictures the file
report.md, .json     figures computed from the log and the predictions, with two plots
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from tinynet import backends, checkpoint, plots
from tinynet.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from tinynet.callbacks.health import HealthLog, read_health
from tinynet.callbacks.log import JsonLog, read_log
from tinynet.callbacks.monitors import Monitor
from tinynet.callbacks.tensorboard import TensorBoardLog
from tinynet.data.datasets import Dataset
from tinynet.distributed.group import ALONE, Group
from tinynet.errors import ConfigError, RunError
from tinynet.interrupt import Interrupted
from tinynet.io.atomic import write_atomic
from tinynet.io.lock import FolderLock
from tinynet.plots.health import verdict
from tinynet.printable import printable, quoted
from tinynet.runs import folders
from tinynet.runs.leakage import find_leakage
from tinynet.runs.predictions import Predictions, predict, write_predictions
from tinynet.runs.provenance import check_own_data, load_data
from tinynet.runs.recipe import Training
from tinynet.runs.report import Report, read_report, write_report
from tinynet.runs.settings import Settings, final_model, origin, read_settings
from tinynet.runs.trainers import build_monitors, trainer_from_recipe
from tinynet.training import Callback

MAX_LISTED_DIFFERENCES = 5
"""So many are named where a run had other settings."""


class Run:
    """A training ready to go: `train()`, then `finish()`.

    Several processes in a `group` have a Run of the same folder each; only the first one writes into it, and
    finishes.
    """

    def __init__(self, folder: Path, settings: Settings, dataset: Dataset, group: Group = ALONE) -> None:
        self.folder, self.settings, self.dataset, self.group = folder, settings, dataset, group
        self.lock: FolderLock | None = None
        """While it is held, no other process trains or resumes this run."""
        group.choose_device(partial(backends.use_device, settings.backend))
        self.trainer = trainer_from_recipe(
            dataset.train,
            settings.recipe,
            backend=backends.get(
                settings.backend, convolution=settings.convolution, precision=settings.precision
            ),
            dtype=settings.dtype,
            seed=settings.seed,
            freeze=settings.freeze,
            group=group,
        )
        self.about = {
            "name": settings.name,
            "classes": list(dataset.classes),
            "dataset": dataset.name,
            "data_sha256": dataset.sha256,
            **({"whole": True} if dataset.whole else {}),
        }
        self.listeners = self._listeners(settings.recipe.training)
        for listener in self.listeners:
            listener.check(self.trainer)

    @classmethod
    def start(cls, folder: Path | None, settings: Settings, dataset: Dataset, group: Group = ALONE) -> Run:
        """A new run in `folder`, which must be new or empty; None: in the next one, runs/NAME-1, -2, …

        Raises RunError where it is not empty, FolderInUseError where another process has it.
        """
        # Everything is checked before the folder is made.
        run = cls(folder or Path("runs") / settings.name, settings, dataset, group)
        run._take_weights()
        if group.rank > 0:
            return run
        if folder is None:
            run.lock = folders.take_next(settings.name)
        else:
            other = f"choose another --out, or go on with that run: tinynet train --resume {quoted(folder)}"
            run.lock = folders.take(folder, other)
        with ExitStack() as undo:
            undo.callback(run.close)
            run.lock.clean()
            run._is_in(run.lock.folder)
            text = json.dumps(run.settings.as_table(), indent=1)
            write_atomic(run.folder / "config.json", text.encode())
            undo.pop_all()
        return run

    @classmethod
    def resume(cls, folder: Path, settings: Settings, dataset: Dataset, group: Group = ALONE) -> Run:
        """The run in `folder`, as `read_settings` found it, where its last checkpoint left it.

        Raises FolderInUseError where another process has the run, RunError where config.json is not what the
        run was started with, or its checkpoint is gone.
        """
        check_own_data(settings, dataset)
        run = cls(folder, settings, dataset, group)
        if group.rank == 0:
            run.lock = FolderLock(folder)
            run.lock.clean()
        with ExitStack() as undo:
            undo.callback(run.close)
            run._find_place()
            undo.pop_all()
        return run

    def _find_place(self) -> None:
        """Go to where the last checkpoint was, or to the beginning where there was none yet."""
        folder = self.folder
        last, log = folder / "last.safetensors", read_log(folder / "log.jsonl")
        if last.exists():
            about = checkpoint.load_training(last, self.trainer, self.listeners)
            check_same(folder, self.settings, about.get("settings"))
            return
        if done := max((line["step"] for line in log), default=0):
            raise RunError(
                f"the checkpoint of the run in {folder} is gone",
                expected=f"last.safetensors, as log.jsonl tells of {done:,} steps done",
                received="no such file",
                fix="put it back; to train from the beginning, delete log.jsonl, too",
            )
        for line in log:
            check_same(folder, self.settings, line.get("settings"))
        self._take_weights()  # killed before its first checkpoint: it starts again

    def close(self) -> None:
        """Let other processes have the folder. `finish` does it, too."""
        if self.lock is not None:
            self.lock.release()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_in(self, folder: Path) -> None:
        self.folder = folder
        self.listeners = self._listeners(self.settings.recipe.training)

    def agree_on_folder(self) -> None:
        """Let all processes know which folder the first one made."""
        made = self.folder.name.rpartition("-")[2]
        number = int(made) if self.lock is not None and made.isdecimal() else 0
        number = int(self.group.total(number)[0])
        if self.group.rank > 0 and self.folder == Path("runs") / self.settings.name:
            self.folder = self.folder.with_name(f"{self.settings.name}-{number}")

    def _take_weights(self) -> None:
        """Load the weights to start from, if the settings name some."""
        wanted, model = self.settings.start, self.trainer.model
        if wanted is None:
            return
        start = checkpoint.start_from(final_model(Path(wanted.path)), model, self.dataset.classes)
        if start.weights_sha256 != wanted.weights_sha256:
            raise RunError(
                f"the weights in {wanted.path} are not those that this run started from",
                expected=wanted.weights_sha256,
                received=start.weights_sha256,
                fix="start a new run from them",
            )
        layer = start.reinitialised
        if layer and any(name.startswith(f"{layer}.") for name in model.store.frozen):
            raise ConfigError(
                f"{layer} starts from random weights, since its classes are others, so it must be trained",
                expected="patterns that do not freeze it",
                received=", ".join(self.settings.freeze),
            )
        self.settings = dataclasses.replace(
            self.settings, start=dataclasses.replace(wanted, reinitialised=start.reinitialised)
        )

    def train(
        self,
        callbacks: Sequence[Callback] = (),
        *,
        save_every: float = 30.0,
        tensorboard: bool = False,
        inspect: bool = False,
    ) -> bool:
        """Train to the end, `callbacks` listening too; False when it was interrupted.

        A checkpoint is written at every epoch's end and, within an epoch, every `save_every` seconds.
        `tensorboard` and `inspect` ask for a TensorBoardLog and a HealthLog: a run that was started with one
        continues it on a resume in any case.
        """
        self._check_same_state()
        if self.group.rank > 0:
            with suppress(Interrupted):
                self.trainer.run([each for each in self.listeners if not isinstance(each, BestCheckpoint)])
            return self._is_complete()
        opening = {"settings": self.settings.as_table(), "notice": self.dataset.notice}
        logs: list[Callback] = [JsonLog(self.folder / "log.jsonl", opening)]
        events = self.folder / "tensorboard"
        if tensorboard or events.exists():
            logs.append(TensorBoardLog(events))
        if inspect or self._health.exists():
            logs.append(HealthLog(self._health))
        file, about = self.folder / "last.safetensors", {**self.about, "settings": self.settings.as_table()}
        if not file.exists():  # from here on the log never knows more than there is a checkpoint of
            checkpoint.save_training(file, self.trainer, self.listeners, about)
        last = LastCheckpoint(file, self.listeners, about, save_every)
        with suppress(Interrupted):
            self.trainer.run([*self.listeners, *logs, last, *callbacks])
        return self._is_complete()

    def finish(self, *, threads: int | None = None) -> Report:
        """Save the model, predict the test images, write predictions and report; return the report.

        The folder is then free for other processes.
        """
        model, loss = self.trainer.model, self.trainer.loss
        checkpoint.save_model(self.folder / "model.safetensors", model, loss, self.about)
        began, test = time.perf_counter(), self.dataset.test
        nothing = Predictions(np.zeros((0, len(self.dataset.classes))))
        predictions = predict(model, loss, test.images) if len(test) else nothing
        seconds = time.perf_counter() - began
        write_predictions(self.folder / "predictions.csv", test, predictions, self.dataset.classes)
        layers = read_health(self._health)
        if layers:
            plots.health(layers, self.folder / "health.png")
        report = write_report(
            self.folder,
            config=self.settings.as_table(),
            history=self.trainer.state.history,
            best_by=self.settings.recipe.training.best_by,
            labels=self.dataset.test.labels,
            predicted=predictions.classes,
            classes=self.dataset.classes,
            facts={
                "command": self.settings.command,
                "notice": self.dataset.notice,
                "backend": model.backend.name,
                "processes": self.group.size if self.group.size > 1 else None,
                "threads": threads,
                "dtype": model.dtype,
                "seed": model.seed,
                "parameters": model.store.count + model.store.state_count,
                "weights_sha256": checkpoint.weights_sha256(model),
                **origin(self.settings),
                "stopped": self.trainer.state.stopped,
                "evaluation_seconds": seconds,
                "health": verdict(layers) if layers else None,
                "leakage": find_leakage(
                    self.dataset.test.images, self.settings, load_data, self.dataset
                ).facts(),
                "data": {
                    "name": self.dataset.name,
                    "source": self.dataset.source,
                    "hash": self.dataset.sha256,
                    **({"parts": self.dataset.parts} if self.dataset.parts else {}),
                },
            },
        )
        self.close()
        return report

    @property
    def _health(self) -> Path:
        return self.folder / "health.jsonl"

    def _check_same_state(self) -> None:
        """Raise RunError unless all processes have the same data, weights and place in the run."""
        if self.group.size == 1:
            return
        weights = checkpoint.weights_sha256(self.trainer.model)
        text = f"{self.dataset.sha256} {weights} {self.trainer.state.step}"
        number = int(hashlib.sha256(text.encode()).hexdigest()[:10], 16)  # sums stay exact
        if self.group.any(self.group.total(number)[0] != number * self.group.size):
            raise RunError(
                "the processes do not start from the same state",
                expected="the same data set, weights and number of steps in each",
                received=f"{self.dataset.name} and step {self.trainer.state.step} in this one",
                fix="give all machines the same data and, for --resume or --from, the same folders",
            )

    def _is_complete(self) -> bool:
        return not self.group.any(self.trainer.state.stopped == "interrupted")

    def _listeners(self, plan: Training) -> list[Monitor]:
        if self.trainer.validation is None:
            return build_monitors(plan)
        best = self.folder / "best.safetensors"
        by = plan.best_by
        saved = BestCheckpoint(path=best, about=self.about, monitor=by.monitor, min_delta=by.min_delta)
        return [saved, *build_monitors(plan)]


def train_once(
    folder: Path,
    settings: Settings,
    dataset: Dataset,
    *,
    listen: Callable[[], Callback] = Callback,
    threads: int | None = None,
) -> Report:
    """The report of the run in `folder`: one that is there and finished, that goes on, or that begins.

    `listen()` makes a listener for the training, if any is left to do. Raises RunError if what is there had
    other settings, and KeyboardInterrupt when training is interrupted; it goes on in another call.
    """
    there = (folder / "config.json").exists()
    if there:
        fix = "choose another --out, or delete that folder"
        check_same(folder, settings, read_settings(folder).as_table(), fix)
    if not (folder / "report.md").exists():
        run = (Run.resume if there else Run.start)(folder, settings, dataset)
        with run:
            if not run.train([listen()]):
                raise KeyboardInterrupt
            run.finish(threads=threads)
    return read_report(folder)


def check_same(
    folder: Path,
    settings: Settings,
    before: object,
    fix: str = "put config.json back as it was: a run is changed by starting another one",
) -> None:
    """Raise RunError unless the table `before` says what the settings say, wherever the data lie."""
    found, wanted = (dict(_leaves(table)) for table in (before or {}, settings.as_table()))
    names = [name for name in wanted | found if name not in ("command", "dataset", "data_dir")]
    different = [name for name in names if found.get(name) != wanted.get(name)]
    if different:
        more = ", …" if len(different) > MAX_LISTED_DIFFERENCES else ""
        shown = different[:MAX_LISTED_DIFFERENCES]
        raise RunError(
            f"the run in {folder} had other settings",
            expected=", ".join(f"{name} {wanted.get(name)}" for name in shown) + more,
            received=", ".join(f"{name} {found.get(name)}" for name in shown) + more,
            fix=fix,
        )


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in nested tables and lists, by the path to it; texts as a checkpoint keeps them."""
    if isinstance(value, dict | list | tuple):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(each, f"{place}.{key}" if place else str(key))
    else:
        yield place, printable(value) if isinstance(value, str) else value
