"""Weights for samples: by how much the loss of each counts in training.

A weight of 2 adds a sample's loss twice, 0 leaves it out. See `Loss.forward` for what becomes of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet.checks import as_array
from tinynet.errors import DataError, DTypeError, ShapeError
from tinynet.types import Array


def checked_weights(weights: Any, samples: int) -> Array:
    """A finite number from 0 for each sample, float64 (M,), not all 0. DataError, DTypeError, ShapeError."""
    found = as_array(weights, "sample weights")
    if found.shape != (samples,):
        raise ShapeError(
            "there is not one weight for each sample", expected=f"({samples},)", received=found.shape
        )
    if found.dtype.kind not in "fiub":
        raise DTypeError("sample weights are no numbers", expected="numbers from 0", received=found.dtype)
    found = found.astype(np.float64)
    wrong = ~(np.isfinite(found) & (found >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            "a sample weight is negative or no finite number",
            expected="numbers from 0",
            received=f"{found[row]} at row {row} (such rows: {int(wrong.sum())} of {samples})",
        )
    if not found.any():
        raise DataError("all sample weights are zero", expected="at least one above 0")
    return found
