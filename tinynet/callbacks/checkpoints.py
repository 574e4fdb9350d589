"""Callbacks that save: the best model, and the whole state of the training."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinynet.callbacks.monitors import Monitor
from tinynet.checkpoint import save_model, save_training
from tinynet.checks import real
from tinynet.training import Callback, EpochEnd, StepEnd, Trainer


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
        self.path, self.others, self.about = Path(path), others, about or {}
        self.seconds = real(seconds, "LastCheckpoint", "seconds", least=0)
        self._saved_at = time.monotonic()

    def on_start(self, trainer: Trainer) -> None:
        self._saved_at = time.monotonic()

    def steps_to_look(self, trainer: Trainer) -> float:
        return math.inf if self.seconds else 1

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
