"""The GPU backend: the reference operations on CuPy arrays, which stay on the device."""

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
        there: Array = cupy.ascontiguousarray(cupy.asarray(array))
        return there

    def to_host(self, array: Array) -> Array:
        return np.asarray(cupy.asnumpy(array))
