"""Listeners to training: each hears every step and every epoch, and may stop training or scale its rate.

`state()` and `arrays()` are what a listener must keep across a resume; `restore` puts both back.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinynet.checkpoint import save_model, save_training
from tinynet.errors import ConfigError
from tinynet.files import write_atomic
from tinynet.training import EpochEnd, StepEnd, Trainer
from tinynet.types import Array


class Callback:
    """Override what you want to hear."""

    def on_start(self, trainer: Trainer) -> None:
        """Training begins, or goes on after a resume."""

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        """A batch was learned."""

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        """An epoch was completed."""

    def on_end(self, trainer: Trainer) -> None:
        """Training ended: done, stopped early or interrupted (`trainer.state.stopped` says why)."""

    def state(self) -> dict[str, Any]:
        """Plain values to keep in a checkpoint."""
        return {}

    def arrays(self) -> dict[str, Array]:
        """Arrays to keep in a checkpoint."""
        return {}

    def restore(self, state: dict[str, Any], arrays: dict[str, Array]) -> None:
        """Take back what `state` and `arrays` gave."""


@dataclass(kw_only=True)
class Monitor(Callback):
    """Watches one figure of the epochs: the smallest so far, or the largest for an accuracy.

    It has improved when it beats the best by more than `min_delta`; `waited` counts epochs without.
    """

    monitor: str = "val_loss"
    min_delta: float = 0.0
    best: float = field(default=math.inf, init=False)
    best_epoch: int = field(default=0, init=False)
    waited: int = field(default=0, init=False)

    def check(self, trainer: Trainer) -> None:
        """Raise ConfigError unless the epochs of `trainer` will have the figure to watch."""
        figures = ["loss", "accuracy"] if trainer.classifies else ["loss"]
        if trainer.validation:
            figures += [f"val_{figure}" for figure in figures]
        if self.monitor not in figures:
            raise ConfigError(
                f"{type(self).__name__} cannot watch {self.monitor!r}",
                expected=", ".join(figures),
                received=self.monitor,
                fix="keep validation samples (validation = 0.1), or watch another figure",
            )

    def on_start(self, trainer: Trainer) -> None:
        self.check(trainer)

    def improved(self, record: dict[str, Any]) -> bool:
        """Look at an epoch's record; True if the figure improved."""
        figure = -record[self.monitor] if self.monitor.endswith("accuracy") else record[self.monitor]
        if figure < self.best - self.min_delta:
            self.best, self.best_epoch, self.waited = figure, record["epoch"], 0
            return True
        self.waited += 1
        return False

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def restore(self, state: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.best, self.best_epoch, self.waited = state["best"], state["best_epoch"], state["waited"]


@dataclass(kw_only=True)
class EarlyStopping(Monitor):
    """Stop after `patience` epochs without improvement; `restore_best` then puts the best weights back."""

    patience: int = 10
    restore_best: bool = True
    _weights: dict[str, Array] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        check_patience(self)

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        if self.improved(event.record):
            if self.restore_best:
                store = trainer.model.store
                with trainer.averaged():
                    self._weights = {"values": store.values.flat.copy(), "state": store.state.flat.copy()}
        elif self.waited >= self.patience:
            best = abs(self.best)
            trainer.stop(f"no better {self.monitor} than {best:.4f} (epoch {self.best_epoch}) since")

    def on_end(self, trainer: Trainer) -> None:
        if self._weights and trainer.state.stopped != "interrupted":
            trainer.model.store.values.flat[...] = self._weights["values"]
            trainer.model.store.state.flat[...] = self._weights["state"]

    def arrays(self) -> dict[str, Array]:
        return self._weights

    def restore(self, state: dict[str, Any], arrays: dict[str, Array]) -> None:
        super().restore(state, arrays)
        self._weights = arrays


@dataclass(kw_only=True)
class ReduceOnPlateau(Monitor):
    """Multiply the learning rate by `factor` after every `patience` epochs without improvement.

    In all it is scaled by no less than `min_scale`.
    """

    patience: int = 5
    factor: float = 0.2
    min_scale: float = 0.0

    def __post_init__(self) -> None:
        check_patience(self)

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        if not self.improved(event.record) and self.waited >= self.patience:
            trainer.state.rate_scale = max(trainer.state.rate_scale * self.factor, self.min_scale)
            self.waited = 0


@dataclass(kw_only=True)
class BestCheckpoint(Monitor):
    """Write the model to `path` whenever the monitored figure improves."""

    path: str | Path
    about: dict[str, Any] = field(default_factory=dict)

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        if self.improved(event.record):
            with trainer.averaged():
                save_model(self.path, trainer.model, trainer.loss, self.about)


class LastCheckpoint(Callback):
    """Write the whole training state to `path` at every epoch's end, every `seconds`, and when training ends.

    Put it last in the list: it saves what the `others` have become in the same event. To go on,
    `checkpoint.load_training(path, trainer, others)` before `trainer.run`.
    """

    def __init__(
        self,
        path: str | Path,
        others: Sequence[Callback] = (),
        about: dict[str, Any] | None = None,
        seconds: float = 30.0,
    ) -> None:
        self.path, self.others, self.about, self.seconds = Path(path), others, about or {}, seconds
        self._saved_at = time.monotonic()

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        if time.monotonic() - self._saved_at >= self.seconds:
            self._save(trainer)

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        self._save(trainer)

    def on_end(self, trainer: Trainer) -> None:
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        store, xp = trainer.model.store, trainer.model.backend.xp
        if not (xp.isfinite(store.values.flat).all() and xp.isfinite(store.state.flat).all()):
            return  # the last good one stays; the trainer stops at its next look at the loss
        save_training(self.path, trainer, self.others, self.about)
        self._saved_at = time.monotonic()


class JsonLog(Callback):
    """One JSON object a line: a `start`, every epoch's record, every so many steps, an `end`.

    After a resume the lines of work that is about to be done again are dropped first.
    """

    def __init__(self, path: str | Path, start: dict[str, Any] | None = None, every_steps: int = 50) -> None:
        self.path, self.start, self.every_steps = Path(path), start or {}, every_steps

    def on_start(self, trainer: Trainer) -> None:
        state = trainer.state
        kept = [
            line
            for line in read_log(self.path)
            if (line["event"] == "step" and line["step"] <= state.step)
            or (line["event"] == "epoch" and line["epoch"] <= state.epoch)
            or (line["event"] in ("start", "end") and line["step"] <= state.step)
        ]
        kept.append({"event": "start", "step": state.step, **self.start})
        write_atomic(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        if event.step % self.every_steps == 0:
            line = {
                "event": "step",
                "step": event.step,
                "loss": float(event.loss),
                "learning_rate": event.learning_rate,
            }
            self._append(line)

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        self._append({"event": "epoch", **event.record})

    def on_end(self, trainer: Trainer) -> None:
        self._append({"event": "end", "step": trainer.state.step, "stopped": trainer.state.stopped})

    def _append(self, line: dict[str, Any]) -> None:
        with open(self.path, "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
            log.flush()
            os.fsync(log.fileno()) if line["event"] != "step" else None


def check_patience(callback: EarlyStopping | ReduceOnPlateau) -> None:
    """Raise ConfigError unless the callback's patience is at least one epoch."""
    if callback.patience < 1:
        raise ConfigError(
            f"{type(callback).__name__} needs patience",
            expected="1 epoch or more",
            received=callback.patience,
        )


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSON log; a last line cut short by a kill is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
