"""What every layer is: a shape rule, a forward, and right below it the backward."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tinynet.backends.base import Backend, kind_of
from tinynet.backends.recording import may_record
from tinynet.distributed.group import WHOLE, Shard
from tinynet.errors import ConfigError, DeviceError, DTypeError, ShapeError
from tinynet.params import Spec, Views
from tinynet.rng import Key
from tinynet.types import Array, Shape


@dataclass(eq=False)
class Layer(ABC):
    """A differentiable function with parameters.

    A subclass is a dataclass of its settings and implements three methods:

    - `build(input_shape)`: check the shape of one sample, declare parameters, return the output's shape;
    - `forward(x, train=, key=)`: return the output and whatever `backward` needs;
    - `backward(dy, cache)`: given ∂L/∂y, write ∂L/∂θ into `self.grads` and return ∂L/∂x.

    The model sets the rest: `name`, the views `params`, `grads` and `state`, the backend's operations `ops`,
    whether it is `frozen`, and of which `shard` of a batch the samples are.
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

    recordable: ClassVar[tuple[str, ...]] = ()
    """The phases in which each batch takes the same operations of `ops`, each once, and no other arithmetic,
    in training backward too, so that a backend may record them (`Backend.record`): "evaluate"; "train", with
    the same numbers each time; "step", with the key's step from the device (`Backend.records_steps`).

    A subclass says so anew. With phases, `ops` writes each result where the last one lay, in every phase; a
    layer without gets fresh arrays, and may take an operation as often as it likes."""

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

    def is_recordable(self, phase: str) -> bool:
        """Whether that phase of this layer, as it is built, may be recorded."""
        return phase in may_record(self)

    def algorithm(self, images: int) -> str:
        """How the backend computes `forward` for a batch of `images`, where it has a choice."""
        return ""

    # --- for subclasses -----------------------------------------------------------------------------------

    def add_param(
        self, name: str, shape: Shape, init: str, *, weight_decay: bool = False, l2: float = 0.0
    ) -> None:
        """Ask for a trainable tensor, found as `self.params.<name>` and `self.grads.<name>`."""
        self.param_specs.append(Spec(name, shape, init, weight_decay, l2))

    def add_state(self, name: str, shape: Shape, init: str) -> None:
        """Ask for a tensor that is kept but not trained, found as `self.state.<name>`."""
        self.state_specs.append(Spec(name, shape, init))

    def check_shape(self, x: Array) -> None:
        """Raise ShapeError unless x is (N, *input_shape), DeviceError unless it is the backend's."""
        if not self.ops.holds(x):
            raise DeviceError(
                f"{self.label} got an array that the {self.ops.name} backend cannot compute with",
                expected=kind_of(self.ops.xp.ndarray),
                received=kind_of(type(x)),
                fix="model.backend.asarray(x)",
            )
        if x.shape[1:] != self.input_shape or x.ndim == 0:
            raise ShapeError(
                f"{self.label} got an input of the wrong shape",
                expected=_batch_of(self.input_shape),
                received=x.shape,
                fix="reshape the data, or build the model for this input shape",
            )

    def check_input(self, x: Array) -> None:
        """Raise ShapeError or DTypeError unless x is (N, *input_shape) of the model's dtype."""
        self.check_shape(x)
        if x.dtype != self.dtype:
            raise DTypeError(
                f"{self.label} got an input of the wrong dtype",
                expected=self.dtype,
                received=x.dtype,
                fix=f'x.astype("{self.dtype}"), or put Rescale() first, which accepts any dtype',
            )

    def check_gradient(self, dy: Array) -> None:
        """Raise ShapeError or DTypeError unless dy is (N, *output_shape) of the model's dtype."""
        if dy.shape[1:] != self.output_shape or dy.dtype != self.dtype:
            raise (DTypeError if dy.dtype != self.dtype else ShapeError)(
                f"{self.label} got an output gradient that does not match its output",
                expected=f"{_batch_of(self.output_shape)} of {self.dtype}",
                received=f"{dy.shape} of {dy.dtype}",
                fix="backward takes ∂L/∂y, of the shape that forward returned",
            )

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


def check_setting(condition: bool, layer: Layer, setting: str, expected: str) -> None:
    """Raise ConfigError unless `condition` holds for the layer's field `setting`."""
    if not condition:
        raise ConfigError(
            f"{type(layer).__name__} cannot use this {setting}",
            expected=expected,
            received=f"{setting}={getattr(layer, setting)!r}",
        )


def check_count(layer: Layer, setting: str) -> None:
    """Raise ConfigError unless the layer's field `setting` is a whole number of at least 1."""
    count = getattr(layer, setting)
    check_setting(isinstance(count, int) and count > 0, layer, setting, "a whole number of at least 1")


def _batch_of(shape: Shape) -> str:
    return f"(N, {', '.join(map(str, shape))})" if shape else "(N,)"
