"""Optimisers: each is one pass over the model's flat buffers, so its cost does not depend on the layers.

`start(model)` allocates the running averages, `step(rate)` moves the parameters; frozen ones lie behind all
others and are left out. `state` holds what a checkpoint must keep. Weight decay is decoupled from the
gradient (Loshchilov & Hutter, 2019) and touches kernels only, never biases or normalisation; for an L2
penalty inside the loss, give a layer its `l2`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from tinynet.backends.base import Backend
from tinynet.checks import Checked, real, refusal, yes_or_no
from tinynet.store import ParameterStore
from tinynet.types import Array

if TYPE_CHECKING:
    from tinynet.model import Sequential


@dataclass(eq=False)
class Optimizer(Checked, ABC):
    """Moves parameters along their gradients. `learning_rate` is the base a schedule scales."""

    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    clip: float | None = None
    steps: int = field(default=0, init=False)
    state: dict[str, Array] = field(default_factory=dict, init=False, repr=False)
    store: ParameterStore = field(init=False, repr=False)
    ops: Backend = field(init=False, repr=False)
    user: object = field(default=None, init=False, repr=False)
    """A token of the last Trainer that was given it."""

    averages: ClassVar[tuple[str, ...]] = ("m", "v")
    """Names of the running averages, each as long as what learns."""

    handed_over: ClassVar[tuple[str, ...]] = ("learning_rate",)

    def check_settings(self) -> None:
        self.settle("learning_rate", real, least=0)
        self.settle("weight_decay", real, least=0)
        if self.clip is not None:
            self.settle("clip", real, above=0)

    def start(self, model: Sequential) -> None:
        """Take charge of the parameters of `model`, with running averages that begin at 0."""
        self.store, self.steps = model.store, 0
        self.ops = model.backend.bound_to(model.workspace, "optimizer")
        self.state = {name: self.ops.zeros_flat(self.store.learning, model.dtype) for name in self.averages}

    def step(self, rate: float) -> None:
        """Clip the gradients to global norm `clip` if that is set, then update with learning rate `rate`."""
        self.steps += 1
        self.move(self.steps, rate)

    def move(self, step: Any, rate: Any) -> None:
        """What step number `step` (from 1) does on the device; both numbers may be in its memory."""
        values, grads = self.store.learning_values, self.store.learning_gradients
        if self.clip is not None:
            self.ops.clip_global_norm(grads, self.clip)
        self.update(values, grads, step, rate)

    @abstractmethod
    def update(self, values: Array, grads: Array, step: int, rate: float) -> None:
        """Step number `step` (from 1), in place on what learns of the flat buffers (P,)."""


@dataclass(eq=False)
class SGD(Optimizer):
    """v ← μ v + g,   θ ← θ - α v        α: the learning rate, μ: `momentum`, g: the gradient

    With `nesterov`, θ ← θ - α (g + μ v): the gradient looks one step ahead (Sutskever et al., "On the
    importance of initialization and momentum in deep learning", 2013, in the form PyTorch uses).
    """

    learning_rate: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False

    averages: ClassVar[tuple[str, ...]] = ("velocity",)

    def check_settings(self) -> None:
        super().check_settings()
        self.settle("momentum", real, least=0, below=1)
        self.settle("nesterov", yes_or_no)
        if self.nesterov and self.momentum == 0:
            raise refusal(self.nesterov, "SGD", "nesterov", "a momentum above 0 with it")

    def update(self, values: Array, grads: Array, step: int, rate: float) -> None:
        velocity, decayed = self.state["velocity"], self.store.decayed
        self.ops.sgd(values, grads, velocity, rate, self.momentum, self.nesterov, self.weight_decay, decayed)


@dataclass(eq=False)
class Adam(Optimizer):
    """m ← β₁ m + (1-β₁) g,   v ← β₂ v + (1-β₂) g²,   θ ← θ - α m̂ / (√v̂ + ε)

    with m̂ = m / (1-β₁ᵗ) and v̂ = v / (1-β₂ᵗ), which undo the pull of starting at 0; ε stands outside the
    root of the corrected average. (Kingma & Ba: "Adam", 2015, algorithm 1.)
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def check_settings(self) -> None:
        super().check_settings()
        self.settle("beta1", real, least=0, below=1)
        self.settle("beta2", real, least=0, below=1)
        self.settle("epsilon", real, above=0)

    def update(self, values: Array, grads: Array, step: int, rate: float) -> None:
        self.ops.adam(
            values,
            grads,
            self.state["m"],
            self.state["v"],
            step,
            rate,
            self.beta1,
            self.beta2,
            self.epsilon,
            self.weight_decay,
            self.store.decayed,
        )


@dataclass(eq=False)
class AdamW(Adam):
    """Adam whose kernels also shrink by α · λ a step, λ = `weight_decay`, apart from the gradient's averages.

    θ ← θ - α · λ · θ, then Adam's step. (Loshchilov & Hutter: "Decoupled weight decay
    regularization", 2019; λ is multiplied by the scheduled rate, as in PyTorch.)
    """

    weight_decay: float = 0.01


OPTIMIZERS: dict[str, type[Optimizer]] = {kind.__name__: kind for kind in (SGD, Adam, AdamW)}
