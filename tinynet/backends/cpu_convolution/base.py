"""What the ways to convolve on a CPU have in common: `im2col`, `direct` and `winograd` beside this file.

Each writes into arrays that it is handed and takes scratch memory from `Memory`. Each gives the same bits for
any number of threads: a sum over images is cut into groups by shape alone, and the groups are added in order.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from tinynet import threads
from tinynet.backends.workspace import Memory
from tinynet.geometry import Window
from tinynet.kernels.cpu import product
from tinynet.types import Array, Shape

MAX_GROUPS = 32
"""Groups of images that each have a kernel gradient of their own."""
MAX_GROUP_ELEMENTS = 1 << 22
"""Elements of all these gradients together, where that leaves at least `MIN_GROUPS`."""
MIN_GROUPS = 4
MIN_MULTIPLY_ADDS_PER_PART = 1 << 21
"""Below this, handing a part to another thread costs more than it saves: it is at least 20 µs of work."""


class Convolution(ABC):
    """y = max(x * W + b, floor), and the gradients of x * W, for one set of shapes.

    x (N, H, W, C)    W (KH, KW, C, F)    b (F,)    y (N, OH, OW, F); dx, dW and dy like x, W and y
    """

    def __init__(self, x: Shape, W: Shape, window: Window, memory: Memory) -> None:
        self.images, self.channels, self.filters = x[0], x[3], W[3]
        self.window, self.memory = window, memory
        self.output = window.output(x[1:])
        self.depth = math.prod(W[:3])

    @abstractmethod
    def forward(self, x: Array, W: Array, b: Array, floor: float, y: Array) -> None:
        """Write y = max(x * W + b, floor)."""

    @abstractmethod
    def kernel_gradient(self, x: Array, dy: Array, dW: Array) -> None:
        """Write dW = Σ over images and output pixels of windowᵀ · dy."""

    @abstractmethod
    def input_gradient(self, dy: Array, W: Array, dx: Array) -> None:
        """Write dx: each pixel's share of the gradients of all windows it lies in."""


def images_per_group(x: Shape, W: Shape) -> int:
    """Images whose kernel gradient is summed up in one array."""
    groups = min(MAX_GROUPS, max(MIN_GROUPS, MAX_GROUP_ELEMENTS // math.prod(W)))
    return max(1, -(-x[0] // groups))


def packed(W: Array, width: int, memory: Memory) -> Array:
    """W (I, O) in panels (O / width, I, width): what a tile reads lies in one piece."""

    def pack(panels: Array) -> None:
        threads.over(product.pack, len(panels), W, panels)

    return memory.from_weights("panels", (-(-W.shape[1] // width), len(W), width), W.dtype, pack)


def lines(x: Array) -> Array:
    """(N, H, W, C) as (N, H, W·C)."""
    N, H, W, C = x.shape
    return x.reshape(N, H, W * C)
