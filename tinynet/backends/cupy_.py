"""The GPU backend: the reference operations on CuPy arrays. Data stays on the device; nothing is read back."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from tinynet.backends.numpy_ import NumpyBackend
from tinynet.types import Array


class CupyBackend(NumpyBackend):
    """cuBLAS for products, CuPy's own kernels for the rest."""

    name = "cupy"
    xp: Any = cupy
    loss_check_every = 50

    def asarray(self, array: Array) -> Array:
        return cupy.ascontiguousarray(cupy.asarray(array))

    def to_host(self, array: Array) -> Array:
        return np.asarray(cupy.asnumpy(array))
