"""What every layer is: a shape rule, a forward, and right below it the backward."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tinynet.backends.base import Backend
from tinynet.checks import Checked
from tinynet.distributed.group import WHOLE, Shard
from tinynet.errors import ConfigError, ShapeError
from tinynet.params import Spec, Views
from tinynet.rng import Key
from tinynet.types import Array, Shape

MAX_ELEMENTS = 2**40
"""Numbers in one tensor, far more than any memory holds: NumPy has no sentence for shapes beyond 2⁶³."""


@dataclass(eq=False)
class Layer(Checked, ABC):
    """A differentiable function with parameters.

    A subclass is a dataclass of its settings, checked in `check_settings`, and implements three methods:

    - `build(input_shape)`: check the shape of one sample, declare parameters, return the output's shape;
    - `forward(x, train=, key=)`: return the output and whatever `backward` needs;
    - `backward(dy, cache)`: given ∂L/∂y, write ∂L/∂θ into `self.grads` and return ∂L/∂x.

    The model sets the rest: `name`, the views `params`, `grads` and `state`, the backend's operations `ops`,
    whether it is `frozen`, and which `shard` of a batch the samples are. It checks shape, dtype and device of
    x and dy before each call, so that a layer is nothing but its equations.
    """

    name: str = field(default="", init=False, repr=False)
    input_shape: Shape = field(default=(), init=False, repr=False)
    output_shape: Shape = field(default=(), init=False, repr=False)
    dtype: str = field(default="float32", init=False, repr=False)
    needs_dx: bool = field(default=True, init=False, repr=False)
    """False where nothing before this layer learns: then `backward` need not return ∂L/∂x."""
    shard: Shard = field(default=WHOLE, init=False, repr=False)
    """Which samples of the batch `forward` was given: another process may have the others."""
    frozen: bool = field(default=False, init=False, repr=False)
    """Whether it has parameters and all of them are frozen: then nothing that it keeps may move."""
    param_specs: list[Spec] = field(default_factory=list, init=False, repr=False)
    state_specs: list[Spec] = field(default_factory=list, init=False, repr=False)
    params: Views = field(default_factory=Views, init=False, repr=False)
    grads: Views = field(default_factory=Views, init=False, repr=False)
    state: Views = field(default_factory=Views, init=False, repr=False)
    ops: Backend = field(init=False, repr=False)
    operations: Callable[[Layer], Backend] = field(init=False, repr=False)
    """The operations for a layer of the same model: for a layer that has others inside it."""

    @property
    def is_fixed(self) -> bool:  # type: ignore[override]
        """Whether a model was built by its settings, so that they cannot change: parameters, shapes or
        windows depend on them."""
        decides = self.param_specs or self.output_shape != self.input_shape or hasattr(self, "geometry")
        return bool(self.name) and bool(decides)

    takes_any_dtype: ClassVar[bool] = False
    """Whether `forward` takes arrays of any real dtype, and not just of the model's."""

    @property
    def branches(self) -> tuple[Sequence[Layer], ...]:
        """The layers inside this one: each branch goes from its input to its output."""
        return ()

    def bind(self, params: Views, grads: Views, state: Views, frozen: Collection[str]) -> None:
        """Take the model's views of what `build` has declared; `frozen`: full names of parameters."""
        self.params, self.grads, self.state = params, grads, state
        self.frozen = bool(self.param_specs) and all(
            f"{self.name}.{spec.name}" in frozen for spec in self.param_specs
        )

    def release(self) -> None:
        """Undo what a model that could not be built has set, so that the layer can go into another."""
        self.name = ""
        self.param_specs, self.state_specs = [], []

    @abstractmethod
    def build(self, input_shape: Shape) -> Shape:
        """Declare parameters for one sample of `input_shape`; return the shape of one output sample."""

    @abstractmethod
    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Any]:
        """(y, cache) for a batch x (N, *input_shape); `key` draws this step's random numbers."""

    @abstractmethod
    def backward(self, dy: Array, cache: Any) -> Array | None:
        """∂L/∂x (N, *input_shape) from dy (N, *output_shape), the gradients written into `self.grads`."""

    def multiply_adds(self) -> int:
        """Multiply-adds that one sample costs in `forward`; elementwise work is not counted."""
        return 0

    def algorithm(self, images: int) -> str:
        """How the backend computes `forward` for a batch of `images`, where it has a choice."""
        return ""

    # --- for subclasses -----------------------------------------------------------------------------------

    def add_param(
        self, name: str, shape: Shape, init: str, *, weight_decay: bool = False, l2: float = 0.0
    ) -> None:
        """Ask for a trainable tensor, found as `self.params.<name>` and `self.grads.<name>`."""
        if math.prod(shape) > MAX_ELEMENTS:
            raise ConfigError(
                f"{self.label} is too large",
                expected=f"a tensor of at most {MAX_ELEMENTS:,} numbers",
                received=f"{name} of {' × '.join(map(str, shape))}",
            )
        self.param_specs.append(Spec(name, shape, init, weight_decay, l2))

    def add_state(self, name: str, shape: Shape, init: str) -> None:
        """Ask for a tensor that is kept but not trained, found as `self.state.<name>`."""
        self.state_specs.append(Spec(name, shape, init))

    def expect_input_rank(self, input_shape: Shape, meaning: str, fix: str) -> None:
        """Raise ShapeError unless `input_shape` has as many axes as `meaning` names, e.g. "(H, W, C)"."""
        if len(input_shape) != meaning.rstrip(",)").count(",") + 1:
            raise ShapeError(
                f"{self.label} cannot take this input", expected=meaning, received=input_shape, fix=fix
            )

    @property
    def label(self) -> str:
        """How errors call this layer."""
        return f"{type(self).__name__} {self.name!r}" if self.name else type(self).__name__
