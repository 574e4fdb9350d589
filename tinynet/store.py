"""The values, gradients and running state of a whole model, in three flat buffers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from tinynet import initializers
from tinynet.backends.base import Backend, Penalty
from tinynet.params import Buffer, Spec, Views
from tinynet.rng import Key, Stream
from tinynet.types import Array

if TYPE_CHECKING:
    from tinynet.layers.base import Layer


class ParameterStore:
    """The flat buffers `values`, `grads` and `state` of a model, and every layer's views into them.

    `frozen` names the parameters that must not move. `learning` is the length of the prefix that an optimiser
    moves, `decayed` that of the prefix of it that takes weight decay.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        backend: Backend,
        dtype: str,
        seed: int,
        frozen: Collection[str] = (),
    ) -> None:
        self.frozen = frozenset(frozen)
        asked = _by_full_name(layers, "param_specs")
        order = sorted(asked, key=lambda name: (name in self.frozen, not asked[name].weight_decay))  # stable
        self.specs = {name: asked[name] for name in order}
        self.state_specs = _by_full_name(layers, "state_specs")
        self.values = Buffer(backend, self.specs, dtype)
        self.grads = Buffer(backend, self.specs, dtype)
        self.state = Buffer(backend, self.state_specs, dtype)
        self.learning = self._prefix(lambda name: name not in self.frozen)
        self.decayed = min(self.learning, self._prefix(lambda name: self.specs[name].weight_decay))
        for position, layer in enumerate(layers):
            for specs, buffer in ((layer.param_specs, self.values), (layer.state_specs, self.state)):
                for tensor, spec in enumerate(specs):
                    key = Key(seed, Stream.WEIGHTS, position, step=tensor)
                    initial = initializers.get(spec.init)(spec.shape, key)
                    buffer.views[f"{layer.name}.{spec.name}"][...] = backend.asarray(initial.astype(dtype))

    def views_of(self, layer: Layer) -> tuple[Views, Views, Views]:
        """A layer's own views of the values, the gradients and the running state."""
        return (
            _views_of(layer, self.values, "self.params"),
            _views_of(layer, self.grads, "self.grads"),
            _views_of(layer, self.state, "self.state"),
        )

    @property
    def learning_values(self) -> Array:
        """All parameters that are not frozen, one flat array."""
        return self.values.flat[: self.learning]

    @property
    def learning_gradients(self) -> Array:
        """Their gradients, one flat array."""
        return self.grads.flat[: self.learning]

    def _prefix(self, belongs: Callable[[str], bool]) -> int:
        """The length of the prefix of tensors that belong, up to the first that does not."""
        others = (offset for name, offset in self.values.offsets.items() if not belongs(name))
        return next(others, self.values.size)

    def penalties(self) -> list[Penalty]:
        """Those of the parameters whose spec has an `l2`, where they lie in the flat buffers, in order."""
        return [
            Penalty(offset, offset + spec.size, spec.l2)
            for (name, offset), spec in zip(self.values.offsets.items(), self.specs.values(), strict=True)
            if spec.l2
        ]

    @property
    def count(self) -> int:
        """Trainable numbers, frozen ones among them, padding not counted."""
        return sum(spec.size for spec in self.specs.values())

    @property
    def learning_count(self) -> int:
        """Trainable numbers that are not frozen."""
        return sum(spec.size for name, spec in self.specs.items() if name not in self.frozen)

    @property
    def state_count(self) -> int:
        """Numbers that are tracked but not trained (running statistics)."""
        return sum(spec.size for spec in self.state_specs.values())


def _by_full_name(layers: Sequence[Layer], kind: str) -> dict[str, Spec]:
    return {f"{layer.name}.{spec.name}": spec for layer in layers for spec in getattr(layer, kind)}


def _views_of(layer: Layer, buffer: Buffer, owner: str) -> Views:
    return Views(buffer.views, owner).within(layer.name)
