from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tinynet.errors import ConfigError
from tinynet.geometry import PaddingSetting, Size, Window, as_pair, window_padding, window_size
from tinynet.layers.base import Layer
from tinynet.rng import Key
from tinynet.types import Array, Shape


@dataclass(eq=False)
class Pool2D(Layer):
    """What max and average pooling share: one output pixel a window and channel, no parameters.

    `window` is a number or (rows, columns); `stride` likewise, the window itself when not given;
    `padding` as in Conv2D.
    """

    window: Size = 2
    stride: Size | None = None
    padding: PaddingSetting = "valid"
    geometry: Window = field(init=False, repr=False)

    def check_settings(self) -> None:
        self.settle("window", window_size)
        if self.stride is not None:
            self.settle("stride", window_size)
        self.settle("padding", window_padding)

    def build(self, input_shape: Shape) -> Shape:
        self.expect_input_rank(input_shape, "(H, W, C)", "pooling works on images; see Reshape")
        window = as_pair(self.window)
        stride = window if self.stride is None else as_pair(self.stride)
        self.geometry = Window.resolve(input_shape, window, stride, self.padding, label=self.label)
        for pads, extent in zip(self.geometry.padding, window, strict=True):
            if max(pads) >= extent:
                raise ConfigError(
                    f"{self.label}: a window could lie wholly in the padding",
                    expected="padding smaller than the window on every side",
                    received=f"window={self.window!r}, padding={self.padding!r}",
                )
        return (*self.geometry.output(input_shape), input_shape[2])


@dataclass(eq=False)
class MaxPool2D(Pool2D):
    """y[n,i,j,c] = max over the window of x[n, i·s + u, j·s + v, c]        x (N, H, W, C)   y (N, OH, OW, C)

    Only the largest pixel moves y, so with dy = ∂L/∂y

        ∂L/∂x[pixel] = Σ dy of the windows it won      (the first of several equal ones wins)

    (Ranzato et al., "Unsupervised learning of invariant feature hierarchies", 2007.)
    """

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Any]:
        return self.ops.maxpool(x, self.geometry)

    def backward(self, dy: Array, cache: Any) -> Array | None:
        return self.ops.maxpool_backward(dy, cache, self.geometry)


@dataclass(eq=False)
class AvgPool2D(Pool2D):
    """y[n,i,j,c] = mean over the window of x[n, i·s + u, j·s + v, c]       x (N, H, W, C)   y (N, OH, OW, C)

    Padding does not count in the mean. Each of the m pixels in a window moves y by 1/m, so with dy = ∂L/∂y

        ∂L/∂x[pixel] = Σ dy / m over the windows it lies in

    (LeCun et al., "Gradient-based learning applied to document recognition", 1998: subsampling.)
    """

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Shape]:
        return self.ops.avgpool(x, self.geometry), x.shape

    def backward(self, dy: Array, cache: Shape) -> Array | None:
        return self.ops.avgpool_backward(dy, cache, self.geometry)


@dataclass(eq=False)
class GlobalAveragePool(Layer):
    """y[n,c] = mean of x[n,:,:,c]        x (N, H, W, C)   y (N, C)

        ∂L/∂x[n,i,j,c] = dy[n,c] / (H·W)

    (Lin, Chen, Yan: "Network in network", 2013.)
    """

    def build(self, input_shape: Shape) -> Shape:
        self.expect_input_rank(input_shape, "(H, W, C)", "pooling works on images; see Reshape")
        return input_shape[2:]

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Shape]:
        mean: Array = x.mean(axis=(1, 2), dtype="float64")  # it adds row after row: see `column_sums`
        return mean.astype(x.dtype), x.shape

    def backward(self, dy: Array, cache: Shape) -> Array | None:
        N, H, W, C = cache
        share = (dy / (H * W)).reshape(N, 1, 1, C)
        dx: Array = self.ops.xp.empty(cache, dtype=dy.dtype)
        dx[...] = share
        return dx
