from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tinynet.checks import real, whole
from tinynet.geometry import PaddingSetting, Size, Window, as_pair, window_padding, window_size
from tinynet.layers.base import Layer
from tinynet.rng import Key
from tinynet.types import Array, Shape


@dataclass(eq=False)
class DepthwiseConv2D(Layer):
    """y[n,i,j,f] = b[f] + Σ_{u,v} x[n, i·s + u, j·s + v, f // M] · W[u,v,0,f]

        x (N, H, W, C) zero-padded    W (KH, KW, 1, C·M)    b (C·M,)    y (N, OH, OW, C·M)    s: the stride

    A convolution that mixes no channels: each has M kernels of its own, M = `multiplier`. With
    p = x[n, i·s + u, j·s + v, f // M] for the pixel under a weight, and dy = ∂L/∂y,

        ∂L/∂W[u,v,0,f] = Σ_{n,i,j} dy[n,i,j,f] · p        ∂L/∂b[f] = Σ_{n,i,j} dy[n,i,j,f]
        ∂L/∂x[pixel, c] = Σ dy[n,i,j,f] · W[u,v,0,f]      over the windows it lies in, and f // M = c

    Followed by a Conv2D of kernel 1, which mixes the channels, it does much of a full convolution's work with
    1/F + 1/(KH·KW) of its multiplications. (Sifre: "Rigid-motion scattering for image classification", 2014,
    section 6.2; Howard et al.: "MobileNets", 2017.)

    `kernel`, `stride`, `padding`, `init` and `l2` are as in Conv2D. Each output sees KH·KW values: that is
    the fan-in by which `init` scales W, and its default goes by the fan-in alone.
    """

    kernel: Size = 3
    stride: Size = 1
    padding: PaddingSetting = "valid"
    multiplier: int = 1
    init: str = "he_normal"
    l2: float = 0.0
    geometry: Window = field(init=False, repr=False)

    def check_settings(self) -> None:
        self.settle("kernel", window_size)
        self.settle("stride", window_size)
        self.settle("padding", window_padding)
        self.settle("multiplier", whole, least=1)
        self.settle("l2", real, least=0)

    def build(self, input_shape: Shape) -> Shape:
        self.expect_input_rank(input_shape, "(H, W, C)", "images are height, width, channels; see Reshape")
        kernel, stride = as_pair(self.kernel), as_pair(self.stride)
        self.geometry = Window.resolve(input_shape, kernel, stride, self.padding, label=self.label)
        filters = input_shape[2] * self.multiplier
        self.add_param("W", (*kernel, 1, filters), self.init, weight_decay=True, l2=self.l2)
        self.add_param("b", (filters,), "zeros")
        return (*self.geometry.output(input_shape), filters)

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Any]:
        return self.ops.depthwise_conv2d(x, self.params.W, self.params.b, self.geometry)

    def backward(self, dy: Array, cache: Any) -> Array | None:
        p, g = self.params, self.grads
        return self.ops.depthwise_conv2d_backward(dy, cache, p.W, g.W, g.b, self.geometry, self.needs_dx)

    def multiply_adds(self) -> int:
        OH, OW, _ = self.output_shape
        return OH * OW * self.param_specs[0].size
