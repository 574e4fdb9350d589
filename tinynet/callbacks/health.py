"""What each layer does as a net learns: the figures that tell why a training goes badly."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinynet.blocks import Block, blocks
from tinynet.callbacks.log import append, as_lines, is_count, listed, parse_lines
from tinynet.checks import whole
from tinynet.errors import TinynetWarning
from tinynet.freezing import parameter_names
from tinynet.io.atomic import write_atomic
from tinynet.layers import ReLU
from tinynet.training import Callback, EpochEnd, StepEnd, Trainer
from tinynet.types import Array

FIGURES = ("mean", "deviation", "dead", "gradient_norm", "update_ratio")


class HealthLog(Callback):
    """One JSON object a line for each layer and epoch; `plots.health` draws them.

    A layer is told of together with the activation, normalisation and dropout behind it. Its line has `epoch`
    (0: before the first step), `step`, `layer`, and these figures, None where a layer has no such figure:

    `mean`, `deviation`   of all values (N, …) that come out of the layer
    `dead`                share 0 … 1 of its ReLU's units that give 0 for each of the N samples; of images
                          (N, H, W, C) a unit is a channel, 0 in every place
    `gradient_norm`       ‖∂L/∂θ‖, with θ all parameters of the layer that learn, L the loss with its penalty
    `update_ratio`        ‖Δθ‖ / ‖θ‖ of the last step of the epoch, θ taken before it; None for epoch 0, and
                          where a resume came between that step and the end of the epoch

    All but the last are measured on the first `samples` of the training set, as they are (not augmented), in
    training mode: BatchNorm normalises by these samples, dropout drops. That is done once an epoch and on a
    copy of the model, so what is learned stays the same, bit for bit.

    After a resume the lines of epochs that will be done again are dropped first, and those that are damaged,
    with a warning. Of several processes only one should have a HealthLog.
    """

    def __init__(self, path: str | Path, samples: int = 256) -> None:
        self.path = Path(path)
        self.samples = whole(samples, "HealthLog", "samples", least=1)

    def on_start(self, trainer: Trainer) -> None:
        self._copy, self._loss = deepcopy(trainer.model), replace(trainer.loss)
        self._loss.start(self._copy)
        self._before: Array | None = None
        state = trainer.state
        lines, damaged = parse_lines(self.path, _is_ours) if state.step else ([], [])
        if damaged:
            said = f"{self.path}: {listed(damaged)} damaged, and dropped"
            warnings.warn(said, TinynetWarning, stacklevel=2)
        kept = [line for line in lines if line["epoch"] <= state.epoch]
        write_atomic(self.path, as_lines(kept if state.step else self._measure(trainer)).encode())
        self._keep_before_last_step(trainer)

    def steps_to_look(self, trainer: Trainer) -> float:
        before_last = len(trainer.train) - 1 - trainer.state.batch
        return before_last if before_last > 0 else math.inf

    def on_step(self, trainer: Trainer, event: StepEnd) -> None:
        self._keep_before_last_step(trainer)

    def on_epoch(self, trainer: Trainer, event: EpochEnd) -> None:
        append(self.path, self._measure(trainer))
        self._before = None
        self._keep_before_last_step(trainer)

    def _keep_before_last_step(self, trainer: Trainer) -> None:
        """Keep the parameters where the next step is the last of an epoch."""
        if trainer.state.batch == len(trainer.train) - 1:
            self._before = trainer.model.store.values.flat.copy()

    def _measure(self, trainer: Trainer) -> list[dict[str, Any]]:
        """The lines of the present moment, one for each block that has parameters or a ReLU."""
        model, store = self._copy, self._copy.store
        with model.changing_weights():
            store.values.flat[...] = trainer.model.store.values.flat
            store.state.flat[...] = trainer.model.store.state.flat
        seen: dict[int, _Outputs] = {}

        def watch(position: int, output: Array) -> None:
            seen[position] = _Outputs.of(model.backend.to_host(output))

        x, *known = (array[: self.samples] for array in trainer.train.arrays)
        now = {"epoch": trainer.state.epoch, "step": trainer.state.step}
        with np.errstate(all="ignore"):  # what is not finite is left out
            outputs, tape = model.forward(model.as_input(x), train=True, step=now["step"], watch=watch)
            model.backward(self._loss.backward(self._loss.forward(outputs, *known)[1]), tape)
            model.regularize()
            return [now | self._line(block, seen) for block in blocks(model) if self._is_told_of(block)]

    def _is_told_of(self, block: Block) -> bool:
        layers = self._copy.layers[block.start : block.stop]
        return any(layer.param_specs or isinstance(layer, ReLU) for layer in layers)

    def _line(self, block: Block, seen: Mapping[int, _Outputs]) -> dict[str, Any]:
        """The figures of a block, given what came out of each layer."""
        layers, store = self._copy.layers[block.start : block.stop], self._copy.store
        dead = [
            seen[place].dead for place, layer in enumerate(layers, block.start) if isinstance(layer, ReLU)
        ]
        learning = [name for layer in layers for name in parameter_names(layer) if name not in store.frozen]
        gradient = ratio = None
        if learning:
            gradient = self._norm(store.grads.views[name] for name in learning)
        if learning and self._before is not None:
            before = store.values.split(self._before)
            moved = self._norm(store.values.views[name] - before[name] for name in learning)
            size = self._norm(before[name] for name in learning)
            ratio = moved / size if size else None
        out = seen[block.stop - 1]
        figures = (out.mean, out.deviation, max(dead, default=None), gradient, ratio)
        return {"layer": block.name} | {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in zip(FIGURES, figures, strict=True)
        }

    def _norm(self, arrays: Iterable[Array]) -> float:
        """√Σ a² over all values a of all arrays."""
        host = self._copy.backend.to_host
        return math.sqrt(sum(float(np.square(host(array), dtype=np.float64).sum()) for array in arrays))


class _Outputs(NamedTuple):
    """Of a layer's outputs (N, …): mean, deviation, and the share of units that are above 0 for no sample."""

    mean: float
    deviation: float
    dead: float

    @classmethod
    def of(cls, values: Array) -> _Outputs:
        lives = (values > 0).any(axis=tuple(range(values.ndim - 1)))
        mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
        return cls(float(mean), float(deviation), 1 - float(lives.mean()))


def read_health(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a HealthLog's file that are whole. Raises RunError where it cannot be read at all."""
    return parse_lines(Path(path), _is_ours)[0]


def _is_ours(line: Any) -> bool:
    if not isinstance(line, dict) or not {"layer", *FIGURES} <= line.keys():
        return False
    is_named = isinstance(line["layer"], str) and re.fullmatch(r"[\w +]{1,200}", line["layer"])
    return (
        bool(is_named)
        and is_count(line.get("epoch"))
        and is_count(line.get("step"))
        and all(_is_figure(line[name]) for name in FIGURES)
    )


def _is_figure(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return value is None or (isinstance(value, int | float) and math.isfinite(value))
