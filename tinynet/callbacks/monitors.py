"""Callbacks that watch one figure of the epochs: stop early, lower the rate on a plateau."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass, field
from typing import Any

from tinynet.checks import Checked, real, whole, yes_or_no
from tinynet.errors import CheckpointError, ConfigError
from tinynet.history import LARGEST_IS_BEST
from tinynet.training import Callback, EpochEnd, Trainer
from tinynet.types import Array


@dataclass(kw_only=True)
class Monitor(Checked, Callback):
    """Watches one figure of the epochs: the smallest so far, or the largest for accuracy and r2.

    It has improved when it beats the best by more than `min_delta`; `waited` counts epochs without. With
    another Trainer it starts anew, unless `checkpoint.load_training` has restored it for that one.
    """

    monitor: str = "val_loss"
    min_delta: float = 0.0
    best: float = field(default=math.inf, init=False)
    best_epoch: int = field(default=0, init=False)
    waited: int = field(default=0, init=False)
    _trainer: weakref.ref[Trainer] | None = field(default=None, init=False, repr=False, compare=False)
    _is_restored: bool = field(default=False, init=False, repr=False, compare=False)

    def check_settings(self) -> None:
        self.settle("min_delta", real, least=0)

    def check(self, trainer: Trainer) -> None:
        """Raise ConfigError unless the epochs of `trainer` will have the figure to watch."""
        figures = ["loss", *trainer.measure.names]
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
        is_known = self._trainer is not None and self._trainer() is trainer
        if not is_known and not self._is_restored:
            self.start_anew()
        self._trainer, self._is_restored = weakref.ref(trainer), False

    def start_anew(self) -> None:
        """Forget what another training was like."""
        self.best, self.best_epoch, self.waited = math.inf, 0, 0

    def improved(self, record: dict[str, Any]) -> bool:
        """Look at an epoch's record; True if the figure improved."""
        figure = -record[self.monitor] if self.monitor.endswith(LARGEST_IS_BEST) else record[self.monitor]
        if figure < self.best - self.min_delta:
            self.best, self.best_epoch, self.waited = figure, record["epoch"], 0
            return True
        self.waited += 1
        return False

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def restore(self, state: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.best, self.best_epoch, self.waited = state["best"], state["best_epoch"], state["waited"]
        self._is_restored = True


@dataclass(kw_only=True)
class EarlyStopping(Monitor):
    """Stop after `patience` epochs without improvement; `restore_best` then puts the best weights back."""

    patience: int = 10
    restore_best: bool = True
    _weights: dict[str, Array] = field(default_factory=dict, init=False, repr=False)

    def check_settings(self) -> None:
        super().check_settings()
        self.settle("patience", whole, least=1)
        self.settle("restore_best", yes_or_no)

    def on_start(self, trainer: Trainer) -> None:
        super().on_start(trainer)
        store = trainer.model.store
        wanted = {"values": store.values.flat.shape, "state": store.state.flat.shape}
        found = {name: weights.shape for name, weights in self._weights.items()}
        if found not in ({}, wanted):  # they come from a checkpoint
            raise CheckpointError(
                "the best weights kept are of another model", expected=wanted, received=found
            )

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
            with trainer.model.changing_weights():
                trainer.model.store.values.flat[...] = self._weights["values"]
                trainer.model.store.state.flat[...] = self._weights["state"]

    def start_anew(self) -> None:
        super().start_anew()
        self._weights = {}

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

    def check_settings(self) -> None:
        super().check_settings()
        self.settle("patience", whole, least=1)
        self.settle("factor", real, above=0, below=1)
        self.settle("min_scale", real, least=0, most=1)

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        if not self.improved(event.record) and self.waited >= self.patience:
            trainer.state.rate_scale = max(trainer.state.rate_scale * self.factor, self.min_scale)
            self.waited = 0
