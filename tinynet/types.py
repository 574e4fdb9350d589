"""The two names every signature uses."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
"""An array of the backend in use: numpy.ndarray, or cupy.ndarray on a GPU (same interface)."""

Shape: TypeAlias = tuple[int, ...]
"""The shape of one sample or of one array; which of the two, the docstring says."""
