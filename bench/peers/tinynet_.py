"""tinynet itself. The mode is the backend. Images stay uint8: the net's first layer scales them."""

from __future__ import annotations

from typing import Any

import numpy as np
from net import ADAM, Net

from tinynet import Sequential, Trainer
from tinynet.losses import LOSSES
from tinynet.optim import Adam

DISTRIBUTIONS = ("tinynet", "numpy", "numba")


class Peer:
    def __init__(self, net: Net, mode: str) -> None:
        layers = [{"type": layer.kind, **layer.settings} for layer in net.layers]
        table = {"layers": layers, "input_shape": net.layers[0].input_shape}
        self.model = Sequential.from_config(table, backend=None if mode == "auto" else mode)
        for built, layer in zip(self.model.layers, net.layers, strict=True):
            for name, values in layer.weights.items():
                built.params[name][...] = values
        self.loss, self.optimizer = (
            LOSSES[net.loss](),
            Adam(ADAM["rate"], beta1=ADAM["beta1"], beta2=ADAM["beta2"], epsilon=ADAM["epsilon"]),
        )
        self.loss.start(self.model)
        self.optimizer.start(self.model)

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images, labels

    def step(self, x: np.ndarray, labels: np.ndarray) -> Any:
        outputs, tape = self.model.forward(x, train=True, step=self.optimizer.steps)
        loss, cache = self.loss.forward(outputs, labels)
        self.model.backward(self.loss.backward(cache), tape)
        loss = loss + self.model.regularize()
        self.optimizer.step(ADAM["rate"])
        return loss

    def epoch(self, x: np.ndarray, labels: np.ndarray, batch: int) -> float:
        trainer = Trainer(
            self.model, (x, labels), loss=self.loss, optimizer=self.optimizer, epochs=1, batch_size=batch
        )
        return trainer.run()[-1]["loss"]

    def infer(self, x: np.ndarray) -> np.ndarray:
        return self.model.predict(x)
