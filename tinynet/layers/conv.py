from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tinynet.checks import real, whole
from tinynet.geometry import PaddingSetting, Size, Window, as_pair, window_padding, window_size
from tinynet.layers.base import Layer
from tinynet.rng import Key
from tinynet.types import Array, Shape


@dataclass(eq=False)
class Conv2D(Layer):
    """y[n,i,j,f] = b[f] + Σ_{u,v,c} x[n, i·s + u, j·s + v, c] · W[u,v,c,f]

        x (N, H, W, C) zero-padded    W (KH, KW, C, F)    b (F,)    y (N, OH, OW, F)    s: the stride

    im2col turns this into the dense layer: write the window of each output pixel as one row,
    cols (N·OH·OW, KH·KW·C), and W as a matrix (KH·KW·C, F). Then y = cols W + b, and with dy = ∂L/∂y
    as rows (N·OH·OW, F):

        ∂L/∂W = colsᵀ dy      ∂L/∂b = Σ dy      ∂L/∂cols = dy Wᵀ      ∂L/∂x = col2im(∂L/∂cols)

    col2im is im2col transposed: a pixel that was copied into several windows gets the sum of their gradients.
    (LeCun et al., "Gradient-based learning applied to document recognition", 1998; im2col: Chellapilla, Puri,
    Simard, "High performance convolutional neural networks for document processing", 2006. Like every
    framework this computes a cross-correlation: the kernel is not flipped.)

    `filters` is F; `kernel` and `stride` are a number or (rows, columns); `padding` is "same", "valid", a
    number, (rows, columns) or ((top, bottom), (left, right)); `init` names the initialiser of W (b starts
    at 0); `l2` = λ adds λ ΣW² to the loss.
    """

    filters: int
    kernel: Size = 3
    stride: Size = 1
    padding: PaddingSetting = "valid"
    init: str = "glorot_uniform"
    l2: float = 0.0
    geometry: Window = field(init=False, repr=False)

    def check_settings(self) -> None:
        self.settle("filters", whole, least=1)
        self.settle("kernel", window_size)
        self.settle("stride", window_size)
        self.settle("padding", window_padding)
        self.settle("l2", real, least=0)

    def build(self, input_shape: Shape) -> Shape:
        self.expect_input_rank(input_shape, "(H, W, C)", "images are height, width, channels; see Reshape")
        kernel, stride = as_pair(self.kernel), as_pair(self.stride)
        self.geometry = Window.resolve(input_shape, kernel, stride, self.padding, label=self.label)
        self.add_param("W", (*kernel, input_shape[2], self.filters), self.init, weight_decay=True, l2=self.l2)
        self.add_param("b", (self.filters,), "zeros")
        return (*self.geometry.output(input_shape), self.filters)

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Any]:
        return self.ops.conv2d(x, self.params.W, self.params.b, self.geometry)

    def backward(self, dy: Array, cache: Any) -> Array | None:
        p, g = self.params, self.grads
        return self.ops.conv2d_backward(dy, cache, p.W, g.W, g.b, self.geometry, self.needs_dx)

    def multiply_adds(self) -> int:
        OH, OW, F = self.output_shape
        return OH * OW * F * self.param_specs[0].size // F

    def algorithm(self, images: int) -> str:
        return self.ops.algorithm_for((images, *self.input_shape), self.param_specs[0].shape, self.geometry)
