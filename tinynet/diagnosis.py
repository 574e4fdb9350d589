"""Where a NaN comes from."""

from __future__ import annotations

from tinynet.distributed.group import WHOLE
from tinynet.model import Sequential
from tinynet.rng import Key, Stream
from tinynet.types import Array


def first_non_finite(model: Sequential, x: Array, step: int = 0) -> str:
    """Where a NaN or an infinity first shows: a parameter, or a layer in the training forward of x."""
    xp, running = model.backend.xp, model.store.state.flat.copy()
    for name, view in (model.store.values.views | model.store.state.views).items():
        if not xp.isfinite(view).all():
            return f"the parameter {name}"
    for position, layer in enumerate(model.layers):
        layer.shard = WHOLE  # it looks at its samples alone
        x, _ = layer.forward(x, train=True, key=Key(model.seed, Stream.DROPOUT, position, step))
        model.store.state.flat[...] = running  # a diagnosis leaves no trace in the statistics
        if not xp.isfinite(x).all():
            return f"the output of {layer.label}"
    return "the loss itself (every layer's output is finite)"
