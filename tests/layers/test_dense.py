"""Dense: values worked out by hand."""

from __future__ import annotations

import numpy as np
from one_layer import built, forward

from tinynet import layers as L


def test_dense(backend: str) -> None:
    layer = built(L.Dense(2), (3,), backend, W=[[1, 2], [3, 4], [5, 6]], b=[0.5, -0.5])
    y = forward(layer, np.array([[1.0, 0, -1], [2, 1, 0]]))
    np.testing.assert_allclose(y, [[1 - 5 + 0.5, 2 - 6 - 0.5], [2 + 3 + 0.5, 4 + 4 - 0.5]])
