"""A net as every contender gets it: tinynet's layers and initial weights, to be built in its own way.

A contender is a file with a class `Peer`:

    Peer(net, mode)                    the net built, with Adam(ADAM) ready
    .put(images, labels)               uint8 images (N, 28, 28, 1) and labels (N,) as `step` likes them best
    .step(x, labels) -> loss           one training step; float(loss) waits until it is done
    .epoch(x, labels, batch)           an epoch in random order, as its users write it, the losses added up
    .infer(x) -> outputs               in evaluation mode; np.asarray(outputs) waits until they are there
    .train(x, labels, batch, rates)    for races: whole epochs in random order, a learning rate for each step

`DISTRIBUTIONS` names the packages whose versions matter. This file imports nothing of tinynet.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ADAM = {"rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))
FLOOR = 1e-7
"""The least score that `CrossEntropy` takes the logarithm of."""


class Layer(NamedTuple):
    """One layer with its settings as in tinynet/zoo; weights as in tinynet: (KH, KW, C, F), (I, O)."""

    kind: str
    settings: dict[str, Any]
    input_shape: tuple[int, ...]
    weights: dict[str, Any]

    def for_channels_first(self, before: Layer | None) -> dict[str, Any]:
        """The weights as (F, C, KH, KW) and (O, I), for a framework that flattens (C, H, W)."""
        if self.kind == "Conv2D":
            return self.weights | {"W": np.ascontiguousarray(self.weights["W"].transpose(3, 2, 0, 1))}
        if self.kind != "Dense":
            return self.weights
        W = self.weights["W"]
        if before and before.kind == "Flatten":
            W = W.reshape(*before.input_shape, -1).transpose(2, 0, 1, 3).reshape(W.shape)
        return self.weights | {"W": np.ascontiguousarray(W.T)}


class Net(NamedTuple):
    name: str
    layers: list[Layer]
    loss: str
    """SoftmaxCrossEntropy, of logits; or CrossEntropy, of scores that are first divided by their sum."""
    seed: int
    """For batch order and dropout."""

    def without_dropout(self) -> Net:
        """The same net, whose losses do not depend on anyone's random numbers."""
        quiet = [
            layer._replace(settings={"rate": 0.0}) if layer.kind == "Dropout" else layer
            for layer in self.layers
        ]
        return self._replace(layers=quiet)


def read(folder: Path, name: str) -> Net:
    """The net that `harness.write_net` wrote down."""
    table = json.loads((folder / f"{name}.json").read_text("utf-8"))
    with np.load(folder / f"{name}.npz") as arrays:
        weights = dict(arrays)
    layers = []
    for position, (settings, shape) in enumerate(zip(table["layers"], table["input_shapes"], strict=True)):
        prefix = f"{position}."
        own = {key.removeprefix(prefix): a for key, a in weights.items() if key.startswith(prefix)}
        kind = settings.pop("type")
        layers.append(Layer(kind, settings, tuple(shape), own))
    return Net(name, layers, table["loss"], table["seed"])


def scaled(images: Any) -> Any:
    """What tinynet's first layer does, done beforehand."""
    return images / np.float32(255)
