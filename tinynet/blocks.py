"""The blocks of a net: a layer that computes, with the activation or normalisation behind it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from tinynet.layers import BatchNorm, Dropout
from tinynet.layers.activation import Activation
from tinynet.model import Sequential

ABSORBED = (Activation, BatchNorm, Dropout)
"""Layers that finish what the one before began; shown with it, as one block."""


@dataclass(frozen=True)
class Block:
    """The layers from `start` to before `stop`: one that computes, and the followers behind it.

    A backend may compute such neighbours in one step, so only the output of the whole is the same on all.
    """

    start: int
    stop: int
    name: str


def blocks(model: Sequential) -> list[Block]:
    """The layers of `model`, each with its followers."""
    starts = [i for i, layer in enumerate(model.layers) if i == 0 or not isinstance(layer, ABSORBED)]
    return [
        Block(start, stop, " + ".join(layer.name for layer in model.layers[start:stop]))
        for start, stop in pairwise([*starts, len(model.layers)])
    ]
