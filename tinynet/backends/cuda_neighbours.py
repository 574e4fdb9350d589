"""What an operation on the GPU does for its neighbours: which ones, what they leave for each other.

A kernel less saves its launch and a pass over memory. `layers.fusion` says who stands beside whom. What an
operation returns is all there, whoever looks; what it leaves for a neighbour lies in the workspace.

    a product       applies the ReLU or ELU that follows, and in its backward carries dx back through the
                    dropout and the activation before it: their backward returns what it is given
    `maxpool`       finds the statistics of the BatchNorm that follows
    `begin_step`    rescales the images that it gathers, where a Rescale follows
    a loss          counts the right answers, for the `count_correct` behind it
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinynet.backends.base import Backend
from tinynet.backends.compiled import CompiledBackend
from tinynet.types import Array

NO_ACTIVATION = -1.0
"""Its `alpha`. 0 is that of a ReLU; else it is an ELU's."""


class Neighbours(CompiledBackend):
    """The part of the GPU backend that knows of neighbours."""

    def fuse_elu(self, before: Backend, alpha: Callable[[], float]) -> None:
        assert isinstance(before, Neighbours)
        if before.convolution != "im2col":
            before.fusion.alpha, self.fusion.is_applied = alpha, True

    def fuse_backward_of(self, before: Backend) -> None:
        assert isinstance(before, Neighbours)
        if self.convolution != "im2col":
            self.fusion.before.append(before.memory.owner)
            before.fusion.gradient_is_masked = True

    def fuse_statistics(self, before: Backend) -> None:
        assert isinstance(before, Neighbours)
        before.fusion.finds_statistics, self.fusion.pool = True, before.memory.owner

    def fuse_gathering(self, before: Backend, settings: Callable[[], tuple[float, float, str]]) -> None:
        assert isinstance(before, Neighbours)
        before.fusion.rescales, self.fusion.gathering = settings, before

    def _activation(self) -> float:
        """The alpha of the one that follows: a ReLU's is 0."""
        if self.fusion.alpha:
            return self.fusion.alpha()
        return 0.0 if self.fusion.floor == 0 else NO_ACTIVATION

    def _gather_before(self) -> None:
        """Keep for the backward what those before have passed, whose backward dx goes through."""
        self._pass(**{n: value for owner in self.fusion.before for n, value in self._taken(owner).items()})

    def _before(self) -> dict[str, Any]:
        """What they have passed, by the names of a kernel's parameters."""
        workspace = self.memory.workspace if self.memory.is_training else None
        return workspace.passed.get(self.memory.owner, {}) if workspace else {}

    def _pass(self, **values: Any) -> None:
        """Leave values of this forward to the layer behind, whose dx may go back through this one, too."""
        if self.memory.workspace and self.memory.is_training:
            self.memory.workspace.passed[self.memory.owner] = values

    def _taken(self, owner: str) -> dict[str, Any]:
        """What another has left in the forward of now."""
        passed = self.memory.workspace.passed if self.memory.workspace and self.memory.is_training else {}
        return passed.pop(owner, {})

    def _rescaled(self, x: Array, settings: tuple[float, float, str]) -> Array | None:
        """x rescaled so, where who gathered it has done that."""
        before = self.fusion.gathering
        if before is None:
            return None
        assert isinstance(before, Neighbours)
        passed = before._taken(before.memory.owner)
        is_it = passed.get("gathered") is x and passed["settings"] == settings
        return passed["rescaled"] if is_it else None

    @property
    def _is_masked(self) -> bool:
        """Whether the layer behind has done the backward of this one, too."""
        return self.fusion.gradient_is_masked and self.memory.is_training

    def relu(self, x: Array) -> Array:
        y = x if self.fusion.is_applied else self._map("relu", x)
        self._pass(y=y, alpha=0.0)
        return y

    def elu(self, x: Array, alpha: float) -> Array:
        y = x if self.fusion.is_applied else self._map("elu", x, scalars=(alpha,))
        self._pass(y=y, alpha=alpha)
        return y

    def elu_backward(self, dy: Array, y: Array, alpha: float) -> Array:
        return dy if self._is_masked else self._map("elu_backward", dy, y, scalars=(alpha,))

    def dropout_backward(self, dy: Array, saved: Any, rate: float) -> Array:
        if self._is_masked:
            return dy
        return self._map("dropout_backward", dy, saved, scalars=(1.0 / (1.0 - rate),))
