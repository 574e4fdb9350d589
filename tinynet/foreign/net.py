"""What a reader makes of a file: layers with their weights, for a Sequential."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinynet.errors import ConfigError, ShapeError
from tinynet.layers import Dense, Layer, Sigmoid, Softmax
from tinynet.losses import BinaryCrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.types import Array, Shape


@dataclass
class Read:
    """Layers as they are found, and the weights and statistics of each by tinynet's names (`W`, `mean`)."""

    source: str
    """The file, for messages."""
    layers: list[Layer] = field(default_factory=list)
    weights: list[dict[str, Array]] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    def add(self, layer: Layer, weights: Mapping[str, Array] | None = None) -> None:
        self.layers.append(layer)
        self.weights.append(dict(weights or {}))

    def refuse(self, what: str, expected: str, received: object, fix: str = "") -> ConfigError:
        """What to raise of something in the file that tinynet does not have."""
        return ConfigError(f"{self.source}: {what}", expected=expected, received=received, fix=fix or None)

    def build(self, input_shape: Shape, dtype: str = "float32") -> tuple[Sequential, Loss]:
        """The model for samples of that shape, with the weights, and the loss that its outputs are meant for.

        A softmax at the end, or the sigmoid of a single unit, becomes a part of the loss: the model then
        gives logits.
        """
        if not self.layers:
            raise self.refuse("there is no layer in it", "one or more", 0)
        layers, weights = list(self.layers), list(self.weights)
        ends_in_softmax = isinstance(layers[-1], Softmax) and len(layers) > 1
        ends_in_yes = isinstance(layers[-1], Sigmoid) and _is_single(layers[:-1])
        if ends_in_softmax or ends_in_yes:
            layers.pop()
            weights.pop()
        model = Sequential(layers, input_shape, backend="numpy", dtype=dtype)
        for layer, own in zip(model.layers, weights, strict=True):
            for name, values in own.items():
                self._fill(model, f"{layer.name}.{name}", values)
        if ends_in_yes:
            return model, BinaryCrossEntropy()
        is_classifier = ends_in_softmax or (len(model.output_shape) == 1 and model.output_shape[0] > 1)
        return model, SoftmaxCrossEntropy() if is_classifier else MeanSquaredError()

    def _fill(self, model: Sequential, name: str, values: Array) -> None:
        views: dict[str, Any] = {**model.store.values.views, **model.store.state.views}
        view = views[name]
        if view.shape != values.shape:
            raise ShapeError(
                f"{self.source}: the weights do not fit {name}", expected=view.shape, received=values.shape
            )
        if not np.isfinite(values).all():
            raise ConfigError(
                f"{self.source}: the weights of {name} are not finite",
                expected="numbers",
                received="a NaN or an infinity",
            )
        view[...] = values


def _is_single(layers: Sequence[Layer]) -> bool:
    """Whether they end in a single unit."""
    return bool(layers) and isinstance(layers[-1], Dense) and layers[-1].units == 1
