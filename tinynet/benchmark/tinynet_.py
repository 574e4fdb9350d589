"""tinynet as a contender. The mode is the backend or, as "cupy bf16", the backend and its precision.

Images stay uint8: the net's first layer scales them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinynet import backends
from tinynet.benchmark.net import ADAM, Net
from tinynet.data.batches import Batches
from tinynet.distributed.group import ALONE, Shard
from tinynet.extras import DISTRIBUTION
from tinynet.losses import LOSSES
from tinynet.model import Sequential
from tinynet.optim import Adam
from tinynet.schedules import Schedule
from tinynet.training import StepEnd, Trainer
from tinynet.types import Array

DISTRIBUTIONS = (DISTRIBUTION, "numpy", "numba")


class Peer:
    """The loop is `Trainer`'s, as its users get it."""

    def __init__(self, net: Net, mode: str) -> None:
        layers = [{"type": layer.kind, **layer.settings} for layer in net.layers]
        table = {"layers": layers, "input_shape": net.layers[0].input_shape}
        name, _, precision = mode.partition(" ")
        ops = backends.get(name, precision=precision or "float32")
        self.model = Sequential.from_config(table, backend=ops, seed=net.seed)
        for built, layer in zip(self.model.layers, net.layers, strict=True):
            for name, values in layer.weights.items():
                built.params[name][...] = self.model.backend.asarray(values)
        self.loss = LOSSES[net.loss]()
        self.batches = HandedIn(self.model)
        trainer = Trainer(self.model, self.batches.handed_in, loss=self.loss, optimizer=_adam(ADAM["rate"]))
        trainer.train = self.batches
        self.events = trainer.events()

    def put(self, images: Array, labels: Array) -> tuple[Array, Array]:
        return self.model.backend.asarray(images), self.model.backend.asarray(labels)

    def step(self, x: Array, labels: Array) -> Any:
        self.batches.handed_in = x, labels
        event = next(self.events)
        assert isinstance(event, StepEnd), "an epoch of batches handed in has no end"
        return event.loss

    def epoch(self, x: Array, labels: Array, batch: int) -> float:
        return self.train(x, labels, batch, [ADAM["rate"]] * -(-len(x) // batch))

    def train(self, x: Array, labels: Array, batch: int, rates: Sequence[float]) -> float:
        """The mean loss of the last epoch."""
        steps = -(-len(x) // batch)
        samples = x, self.model.backend.to_host(labels)
        trainer = Trainer(
            self.model,
            samples,
            loss=self.loss,
            optimizer=_adam(1.0),
            schedule=Listed(rates=rates),
            epochs=len(rates) // steps,
            batch_size=batch,
        )
        loss: float = trainer.run()[-1]["loss"]
        return loss

    def infer(self, x: Array) -> Array:
        if not self.model.is_packed:
            self.model.pack()
        return self.model.predict(x)


class HandedIn(Batches):
    """One epoch without end, of the batches handed in."""

    def __init__(self, model: Sequential) -> None:
        self.handed_in = np.zeros((1, *model.input_shape), np.uint8), np.zeros(1, np.int64)
        super().__init__(*self.handed_in, 1, model.backend)

    gathers = False

    def __len__(self) -> int:
        return sys.maxsize

    def shuffle(self, seed: int, epoch: int) -> None:
        """The order is that in which they are handed in."""

    def shard(self, number: int) -> Shard:
        return ALONE.shard(len(self.handed_in[0]))

    def batch(self, number: int) -> tuple[Array, Array]:
        return self.handed_in


@dataclass(frozen=True)
class Listed(Schedule):
    """factor = the number listed for this step"""

    rates: Sequence[float] = ()

    def shape(self, epoch: float, epochs: float) -> float:
        return self.rates[round(epoch / epochs * len(self.rates))]


def _adam(rate: float) -> Adam:
    return Adam(rate, beta1=ADAM["beta1"], beta2=ADAM["beta2"], epsilon=ADAM["epsilon"])
