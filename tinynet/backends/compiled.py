"""What the backends of compiled kernels share: buffers, fusion of neighbours, elementwise operations."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from tinynet.backends.base import Backend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.backends.workspace import Memory, Workspace
from tinynet.types import Array, Shape


@dataclass
class Fusion:
    """Which steps a layer and its neighbours do for each other; each layer's backend has one of its own.

    A layer before a ReLU can apply it as it writes its output, and a max pooling behind a ReLU can apply its
    mask: where the largest value of a window is 0, no pixel gets a gradient. Each saves a pass over memory.
    """

    floor: float = -math.inf
    """Of layers with weights and `residual`: the least value they write; 0 applies the ReLU that follows."""
    is_applied: bool = False
    """`relu`, `elu`: the layer before has applied it."""
    masks_gradient: bool = False
    """`maxpool` in training: its backward applies the mask of the ReLU before it."""
    gradient_is_masked: bool = False
    """`relu_backward` and the like in training: the layer behind has done what they do."""
    alpha: Callable[[], float] | None = None
    """Of layers with weights, whose ELU that follows has this alpha: they apply it."""
    norm: str = ""
    """Of layers with weights and `maxpool` in training: the owner of the BatchNorm that follows, whose
    statistics they find."""
    pool: CompiledBackend | None = None
    """Of a convolution and a BatchNorm in training: the max pooling that follows its ReLU, which it does."""
    image: Shape = ()
    """The (H, W, C) that it pools."""
    rescales: Callable[[], tuple[float, float, str]] | None = None
    """`begin_step`: scale, offset and dtype of the Rescale that is given what it gathers."""
    gathering: Backend | None = None
    """The backend of that `begin_step`, for the Rescale."""
    before: list[str] = field(default_factory=list)
    """Of layers with weights in training: owners of those whose backward their dx goes through, the nearest
    first."""


class CompiledBackend(NumpyBackend):
    """Results go into buffers that are there already; a subclass has the kernels, called by their names."""

    memory: Memory
    fusion: Fusion

    def __init__(self, convolution: str, precision: str, memory: Memory) -> None:
        super().__init__(convolution, precision)
        self.memory, self.fusion = memory, Fusion()

    def bound_to(self, workspace: Workspace, owner: str) -> Self:
        bound = object.__new__(type(self))  # copy.copy would go the way of pickle, which makes a new device
        vars(bound).update(vars(self))
        bound.memory, bound.fusion = replace(self.memory, workspace=workspace, owner=owner), Fusion()
        return bound

    # --- fusion -------------------------------------------------------------------------------------------

    @property
    def is_rectified(self) -> bool:
        return self.fusion.is_applied

    def fuse_relu(self, before: Backend) -> None:
        assert isinstance(before, CompiledBackend)
        before.fusion.floor, self.fusion.is_applied = 0.0, True

    def fuse_max_pool(self, relu: Backend) -> None:
        assert isinstance(relu, CompiledBackend)
        self.fusion.masks_gradient = relu.fusion.gradient_is_masked = True

    def _rectified(self, y: Array) -> Array:
        """What the reference has computed for this layer, with the ReLU that the layer is to apply."""
        return y if self.fusion.floor == -math.inf else self.xp.maximum(y, self.fusion.floor)

    # --- kernels ------------------------------------------------------------------------------------------

    @abstractmethod
    def _map(self, kernel: str, *inputs: Array, scalars: tuple[float, ...] = (), role: str = "") -> Array:
        """output = kernel(*inputs, *scalars), elementwise, like the first input in shape and dtype.

        The output lies in the memory called `role`, by default as the kernel.
        """

    @abstractmethod
    def _loss(
        self, kernel: str, outputs: Array, targets: Array, setting: float, weights: Array | None
    ) -> tuple[Array, Array]:
        """(the mean of the losses of all rows (0-d float64), its gradient (N, K)) by kernel `kernel`, from
        targets that are labels (N,) or probabilities (N, K).

        With weights (N,), the kernel "weigh" then multiplies each row's loss and gradient by its own.
        """

    # --- operations ---------------------------------------------------------------------------------------

    def zeros_flat(self, size: int, dtype: str) -> Array:
        buffer = self.memory.allocate(size, np.dtype(dtype))
        buffer[...] = 0
        return buffer

    def rescale_backward(self, dy: Array, scale: float) -> Array:
        return self._map("rescale", dy, scalars=(scale, 0.0), role="rescale_backward")

    def dropout_backward(self, dy: Array, saved: Any, rate: float) -> Array:
        return self._map("dropout_backward", dy, saved, scalars=(1.0 / (1.0 - rate),))

    def residual(self, f: Array, s: Array) -> Array:
        return self._map("residual", f, s, scalars=(self.fusion.floor,))

    def residual_backward(self, df: Array, ds: Array) -> Array:
        return self._map("residual", df, ds, scalars=(-math.inf,), role="residual_backward")

    def relu(self, x: Array) -> Array:
        return x if self.fusion.is_applied else self._map("relu", x)

    def relu_backward(self, dy: Array, y: Array) -> Array:
        is_masked = self.fusion.gradient_is_masked and self.memory.is_training
        return dy if is_masked else self._map("relu_backward", dy, y)

    def leaky_relu(self, x: Array, slope: float) -> Array:
        return self._map("leaky_relu", x, scalars=(slope,))

    def leaky_relu_backward(self, dy: Array, x: Array, slope: float) -> Array:
        return self._map("leaky_relu_backward", dy, x, scalars=(slope,))

    def elu(self, x: Array, alpha: float) -> Array:
        return self._map("elu", x, scalars=(alpha,))

    def elu_backward(self, dy: Array, y: Array, alpha: float) -> Array:
        return self._map("elu_backward", dy, y, scalars=(alpha,))

    def gelu(self, x: Array) -> Array:
        return self._map("gelu", x)

    def gelu_backward(self, dy: Array, x: Array) -> Array:
        return self._map("gelu_backward", dy, x)

    def gelu_tanh(self, x: Array) -> Array:
        return self._map("gelu_tanh", x)

    def gelu_tanh_backward(self, dy: Array, x: Array) -> Array:
        return self._map("gelu_tanh_backward", dy, x)

    def sigmoid(self, x: Array) -> Array:
        return self._map("sigmoid", x)

    def sigmoid_backward(self, dy: Array, y: Array) -> Array:
        return self._map("sigmoid_backward", dy, y)

    def tanh(self, x: Array) -> Array:
        return self._map("tanh_forward", x)

    def tanh_backward(self, dy: Array, y: Array) -> Array:
        return self._map("tanh_backward", dy, y)

    def softmax_cross_entropy(
        self, logits: Array, labels: Array, smoothing: float, weights: Array | None = None
    ) -> tuple[Array, Array]:
        return self._loss("softmax_cross_entropy", logits, labels, float(smoothing), weights)

    def soft_cross_entropy(
        self, logits: Array, targets: Array, smoothing: float, weights: Array | None = None
    ) -> tuple[Array, Array]:
        return self._loss("soft_cross_entropy", logits, targets, float(smoothing), weights)

    def cross_entropy(
        self, scores: Array, labels: Array, floor: float, weights: Array | None = None
    ) -> tuple[Array, Array]:
        return self._loss("cross_entropy", scores, labels, scores.dtype.type(floor), weights)
