"""What was done wrong, guessed from a wrong gradient and the right one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from tinynet.types import Array


def likely_slip(received: Array, expected: Array, counts: Mapping[str, int] | None = None) -> str | None:
    """The mistake that turns `expected` into `received`, arrays of one shape; None where none is known.

    Where `expected` is NaN it is not known, and not compared. `counts`: how many there are of what a mean
    could be taken over, such as {"the batch": 3}.
    """
    known = np.isfinite(expected)
    if not known.any():
        return None
    if not np.isfinite(received).all():
        return f"{np.count_nonzero(~np.isfinite(received))} of {received.size} elements are no numbers"
    scale = float(np.abs(expected[known]).max())

    def gives(candidate: Array) -> bool:
        """Whether this, made of `received`, is `expected`."""
        return np.allclose(candidate[known], expected[known], rtol=1e-5, atol=1e-6 * scale)

    if scale == 0.0:
        return None
    if gives(received):  # all but right
        return "computed in float32" if is_single(received) and not is_single(expected[known]) else None
    if not received.any():
        return "it is 0 everywhere"
    if gives(-received):
        return "the sign"
    return (
        next(_rearranged(received, gives), None)
        or _factor(received, expected, counts or {})
        or (_summed(received, expected) if known.all() else None)
        or _rounded(received, expected)
    )


def _rearranged(received: Array, gives: Callable[[Array], bool]) -> Iterator[str]:
    """Ways in which all the right elements stand in wrong places."""
    if received.ndim == 2 and gives(received.reshape(received.shape[::-1]).T):
        yield "transposed"
    axes = range(received.ndim)
    for i, j in itertools.combinations(axes, 2):
        if received.shape[i] == received.shape[j] and gives(received.swapaxes(i, j)):
            yield f"transposed: axes {i} and {j} are exchanged"
    for count in range(1, received.ndim + 1):
        for some in itertools.combinations(axes, count):
            if gives(np.flip(received, some)):
                yield f"flipped along axis {' and '.join(map(str, some))}"


def _factor(received: Array, expected: Array, counts: Mapping[str, int]) -> str | None:
    known = np.isfinite(expected)
    scale = np.abs(expected[known]).max()
    used = np.abs(expected) > 1e-4 * scale  # False for NaN
    factor = float(np.median(received[used] / expected[used]))
    rest = received[known] - factor * expected[known]
    if not np.allclose(rest, 0.0, atol=1e-6 * scale * max(abs(factor), 1e-6)):
        return None
    for name, count in counts.items():
        if count > 1 and np.isclose(factor, 1 / count):
            return f"the mean over {name} instead of the sum: everything is 1/{count} of what it should be"
        if count > 1 and np.isclose(factor, count):
            return f"the sum over {name} instead of the mean: everything is {count} times what it should be"
    return f"a factor: everything is {factor:.6g} times what it should be"


def _summed(received: Array, expected: Array) -> str | None:
    """Sums and orders that went over the wrong axis: all elements of `expected` are known."""
    for axis in range(expected.ndim):
        if expected.shape[axis] > 1 and np.allclose(received, expected.sum(axis=axis, keepdims=True)):
            return f"summed over axis {axis} of the gradient as well"
    if np.allclose(np.sort(received, axis=None), np.sort(expected, axis=None)):
        return "the right elements in the wrong order"
    total = float(expected.sum())
    if abs(total) > 1e-3 * float(np.linalg.norm(expected)) and np.isclose(received.sum(), total, rtol=1e-6):
        return "summed over the wrong axis: the elements are wrong, and their total is right"
    return None


def _rounded(received: Array, expected: Array) -> str | None:
    if not is_single(received):
        return None
    near = np.linalg.norm(np.nan_to_num(received - expected)) < 1e-2 * np.linalg.norm(np.nan_to_num(expected))
    return "computed in float32" if near else None


def is_single(numbers: Array) -> bool:
    """Whether all numbers are some that float32 has."""
    with np.errstate(over="ignore"):
        return bool((numbers == numbers.astype(np.float32)).all())
