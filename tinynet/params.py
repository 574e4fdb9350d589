"""All parameters of a model in one flat buffer, all gradients in another, all running state in a third.

A layer declares what it needs; the store allocates once and hands back views. Then Adam, clipping, a
checkpoint and an all-reduce over the whole model are each ONE operation on one array. Tensors that take
weight decay come first, so decay is a slice; frozen ones come last, so what learns is one too, and an
optimiser never sees the rest. Each tensor starts on a 64-byte boundary (a cache line).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from tinynet import initializers
from tinynet.rng import Key, Stream
from tinynet.types import Array, Shape

if TYPE_CHECKING:
    from tinynet.backends.base import Backend
    from tinynet.layers.base import Layer

CACHE_LINE = 64  # bytes


@dataclass(frozen=True)
class Spec:
    """One tensor a layer asks for. `decay`: takes part in weight decay; `l2`: the λ of its own penalty."""

    name: str
    shape: Shape
    init: str
    decay: bool = False
    l2: float = 0.0

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Views(Mapping[str, Array]):
    """Named views into a flat buffer: `p.W` reads one, `p.W[...] = a` writes into it, rebinding raises."""

    __slots__ = ("_views",)

    def __init__(self, views: Mapping[str, Array] | None = None) -> None:
        object.__setattr__(self, "_views", dict(views or {}))

    def __getitem__(self, name: str) -> Array:
        array: Array = self._views[name]
        return array

    def __getattr__(self, name: str) -> Array:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no tensor {name!r} here; there are: {', '.join(self) or 'none'}") from None

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            f"{name!r} is a view into the model's flat buffer and cannot be rebound; "
            f"write into it: p.{name}[...] = value"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Views, (self._views,)  # else `__getattr__` is asked for `_views` before there is any

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)


class Buffer:
    """One flat array and the views into it, by full name ("dense_1.W")."""

    def __init__(self, backend: Backend, specs: Mapping[str, Spec], dtype: str) -> None:
        unit = CACHE_LINE // backend.xp.dtype(dtype).itemsize
        self.offsets: dict[str, int] = {}
        self.size = 0
        for name, spec in specs.items():
            self.offsets[name] = self.size
            self.size += -(-spec.size // unit) * unit
        self.shapes = {name: spec.shape for name, spec in specs.items()}
        self.flat = backend.zeros_flat(self.size, dtype)
        self.views = self.split(self.flat)

    def split(self, flat: Array) -> dict[str, Array]:
        """Views of each tensor into `flat`, an array laid out as this buffer or as the front of it."""
        return {
            name: flat[offset : offset + math.prod(self.shapes[name])].reshape(self.shapes[name])
            for name, offset in self.offsets.items()
            if offset < len(flat)
        }


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
        order = sorted(asked, key=lambda name: (name in self.frozen, not asked[name].decay))  # stable
        self.specs = {name: asked[name] for name in order}
        self.state_specs = _by_full_name(layers, "state_specs")
        self.values = Buffer(backend, self.specs, dtype)
        self.grads = Buffer(backend, self.specs, dtype)
        self.state = Buffer(backend, self.state_specs, dtype)
        self.learning = self._prefix(lambda name: name not in self.frozen)
        self.decayed = min(self.learning, self._prefix(lambda name: self.specs[name].decay))
        for position, layer in enumerate(layers):
            layer.params = _views_of(layer, self.values)
            layer.grads = _views_of(layer, self.grads)
            layer.state = _views_of(layer, self.state)
            for specs, views in ((layer.param_specs, layer.params), (layer.state_specs, layer.state)):
                for spec in specs:
                    initial = _initial_value(spec, layer, Key(seed, Stream.WEIGHTS, position))
                    views[spec.name][...] = backend.asarray(initial.astype(dtype))

    def _prefix(self, belongs: Callable[[str], bool]) -> int:
        """The length of the prefix of tensors that belong, up to the first that does not."""
        others = (offset for name, offset in self.values.offsets.items() if not belongs(name))
        return next(others, self.values.size)

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


def _views_of(layer: Layer, buffer: Buffer) -> Views:
    prefix = f"{layer.name}."
    return Views({n.removeprefix(prefix): v for n, v in buffer.views.items() if n.startswith(prefix)})


def _initial_value(spec: Spec, layer: Layer, key: Key) -> Any:
    tensor = [s.name for s in layer.param_specs].index(spec.name) if spec in layer.param_specs else 0
    return initializers.get(spec.init)(spec.shape, key._replace(step=tensor))
