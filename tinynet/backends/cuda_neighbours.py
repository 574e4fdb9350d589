"""What an operation on the GPU does for its neighbours: which ones, what they leave for each other.

A kernel less saves its launch and a pass over memory. `layers.fusion` says who stands beside whom. What an
operation returns is all there, whoever looks; what it leaves for a neighbour lies in the workspace.

    a product       applies the ReLU or ELU that follows, and in its backward carries dx back through the
                    dropout and the activation before it: their backward returns what it is given;
                    finds the statistics of the BatchNorm that follows
    a convolution, `batchnorm`    does the max pooling by 2 x 2 that follows its ReLU
    `maxpool`       finds the statistics of the BatchNorm that follows
    `begin_step`    rescales the images that it gathers, where a Rescale follows
    a loss          counts the right answers, for the `count_correct` behind it
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.backends.base import Backend
from tinynet.backends.compiled import CompiledBackend
from tinynet.geometry import Window
from tinynet.types import Array, Shape

HALVING = Window((2, 2), (2, 2))
"""The max pooling that a convolution does."""
WINNER = np.dtype(np.int8)
"""The number of a window's pixel."""
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
        before.fusion.norm = self.memory.owner

    def fuse_pool(self, before: Backend, image: Shape, window: Window) -> None:
        assert isinstance(before, Neighbours)
        is_even = image[0] % 2 == image[1] % 2 == 0
        if self.convolution != "im2col" and window == HALVING and is_even:
            before.fusion.pool, before.fusion.image = self, image

    def _pooled(self, N: int, dtype: Any) -> tuple[Array, Array]:
        """Memory for what the pooling behind returns of N images: the largest values and their places."""
        assert self.fusion.pool is not None
        H, W, C = self.fusion.image
        pooled, winner = (self.memory.own("pooled", (N, H // 2, W // 2, C), each) for each in (dtype, WINNER))
        self._pass_to(self.fusion.pool.memory.owner, pooled=(pooled, winner))
        return pooled, winner

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
        self._pass_to(self.memory.owner, **values)

    def _pass_to(self, owner: str, **values: Any) -> None:
        """Leave values of this forward where `_taken(owner)` finds them."""
        if self.memory.workspace and self.memory.is_training:
            self.memory.workspace.passed[owner] = values

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
