"""What was done wrong, guessed from a wrong gradient and the right one."""

from __future__ import annotations

import numpy as np

from tinynet.types import Array


def likely_slip(received: Array, expected: Array) -> str | None:
    """The mistake that turns `expected` into `received`, arrays of one shape; None where none is known."""
    if received.shape == expected.shape[::-1] and received.ndim == 2 and np.allclose(received, expected.T):
        return "transposed"
    if np.allclose(received, -expected):
        return "the sign"
    used = np.abs(expected) > 1e-9
    if used.any():
        ratios = received[used] / expected[used]
        factor = float(np.median(ratios))
        if np.allclose(ratios, factor, rtol=1e-5) and np.allclose(received[~used], 0.0, atol=1e-9):
            return f"a factor: everything is {factor:.6g} times what it should be"
    return None
