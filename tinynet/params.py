"""All parameters of a model in one flat buffer, all gradients in another, all running state in a third.

A layer declares what it needs; the store allocates once and hands back views. Then Adam, clipping, a
checkpoint and an all-reduce over the whole model are each ONE operation on one array. Tensors that take
weight decay come first, so decay is a slice; frozen ones come last, so what learns is one too, and an
optimiser never sees the rest. Each tensor starts on a 64-byte boundary (a cache line).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from tinynet.types import Array, Shape

if TYPE_CHECKING:
    from tinynet.backends.base import Backend

CACHE_LINE = 64  # bytes


@dataclass(frozen=True)
class Spec:
    """One tensor a layer asks for. `weight_decay`: decay shrinks it; `l2`: the λ of its own penalty."""

    name: str
    shape: Shape
    init: str
    weight_decay: bool = False
    l2: float = 0.0

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Views(Mapping[str, Array]):
    """Named views into a flat buffer: `p.W` reads one, `p.W[...] = a` writes into it, rebinding raises.

    `owner` is what a layer calls them, for that error.
    """

    __slots__ = ("_owner", "_views")
    _owner: str
    _views: dict[str, Array]

    def __init__(self, views: Mapping[str, Array] | None = None, owner: str = "self.params") -> None:
        object.__setattr__(self, "_views", dict(views or {}))
        object.__setattr__(self, "_owner", owner)

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
            f"write into it: {self._owner}.{name}[...] = …"
        )

    def within(self, name: str) -> Views:
        """The views whose names begin with "name.", by what follows."""
        views = {n.removeprefix(f"{name}."): v for n, v in self.items() if n.startswith(f"{name}.")}
        return Views(views, self._owner)

    def __reduce__(self) -> tuple[Any, ...]:
        return Views, (
            self._views,
            self._owner,
        )  # else `__getattr__` is asked for `_views` before there is any

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
