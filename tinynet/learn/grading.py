"""What graders have in common: call the student's function safely, and compare what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinynet.gradcheck.slips import likely_slip
from tinynet.learn.exercise import Wrong
from tinynet.types import Array, Shape


def answer(
    f: Callable[..., Any],
    *inputs: Any,
    shape: Shape,
    dtype: str = "float64",
    slips: Mapping[Shape, str] | None = None,
) -> Array:
    """What f returns for copies of the inputs: an array of `shape` and `dtype`, every element finite.

    Raises Wrong where that is not so, or where f has changed its inputs. `slips`: the shapes that typical
    wrong answers have, and the hint for each.
    """
    given = [each.copy() if isinstance(each, np.ndarray) else each for each in inputs]
    found = f(*given)
    check_unchanged(given, inputs)
    return checked(found, shape, dtype, slips=slips)


def answers(
    f: Callable[..., Any],
    *inputs: Any,
    shapes: Mapping[str, Shape],
    dtype: str = "float64",
    slips: Mapping[Shape, str] | None = None,
) -> tuple[Array, ...]:
    """What f returns for copies of the inputs: a tuple of arrays, whose names and shapes `shapes` gives.

    Raises Wrong as `answer` does, and where it is no tuple of so many. `slips` as there.
    """
    given = [each.copy() if isinstance(each, np.ndarray) else each for each in inputs]
    found = f(*given)
    check_unchanged(given, inputs)
    names = ", ".join(shapes)
    if found is None:
        raise Wrong(f"your function returned nothing\n  expected: {names}\n  likely slip: a missing `return`")
    if not isinstance(found, tuple) or len(found) != len(shapes):
        received = f"{len(found)} values" if isinstance(found, tuple) else f"one {type(found).__name__}"
        raise Wrong(
            f"your function returned something else\n  expected: {len(shapes)} arrays\n"
            f"  received: {received}\n  likely slip: end with `return {names}`"
        )
    pairs = zip(shapes.items(), found, strict=True)
    return tuple(checked(each, shape, dtype, name, slips) for (name, shape), each in pairs)


def answer_without_overflow(f: Callable[..., Any], *inputs: Any, shape: Shape, slip: str) -> Array:
    """As `answer`, where numbers are so large that a careless formula overflows; `slip` says which one."""
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            return answer(f, *inputs, shape=shape)
    except FloatingPointError as error:
        largest = max(float(np.abs(each).max()) for each in inputs if isinstance(each, np.ndarray))
        raise Wrong(
            f"inputs as large as {largest:g} do not come through: {error}\n"
            f"  expected: numbers of ordinary size on the way\n  likely slip: {slip}"
        ) from None


def check_single(f: Callable[..., Any], *inputs: Any, like: str = "x") -> None:
    """Raise Wrong unless f makes float32 of float32, as a net needs it. `inputs`: those f was right for.

    `like`: the argument whose element type the results should have.
    """
    single = [
        each.astype("float32") if isinstance(each, np.ndarray) and each.dtype == "float64" else each
        for each in inputs
    ]
    found = f(*single)
    for each in found if isinstance(found, tuple) else (found,):
        if each.dtype != "float32":
            raise Wrong(
                "what your function returns has the wrong element type where it is given float32\n"
                f"  expected: float32, the type that nets compute in\n  received: {each.dtype}\n"
                f"  likely slip: np.zeros without a type makes float64: np.zeros(…, {like}.dtype)"
            )


def check_unchanged(given: Any, inputs: Any) -> None:
    """Raise Wrong where an array in `given` no longer equals its original in `inputs`."""
    for number, (now, before) in enumerate(zip(given, inputs, strict=True), 1):
        if isinstance(before, np.ndarray) and not np.array_equal(now, before, equal_nan=True):
            raise Wrong(
                f"argument {number} was changed by your function\n"
                "  expected: inputs stay as they were\n"
                "  likely slip: += or [...] = on an input; start from a copy, or from np.zeros"
            )


def checked(
    found: Any,
    shape: Shape,
    dtype: str = "float64",
    what: str = "what your function returned",
    slips: Mapping[Shape, str] | None = None,
) -> Array:
    """`found`, an array of this shape and dtype without NaN. Raises Wrong where it is not.

    `slips`: the shapes that typical wrong answers have, and the hint for each.
    """
    if found is None:
        raise Wrong(f"{what}: nothing\n  expected: an array {shape}\n  likely slip: a missing `return`")
    if not isinstance(found, np.ndarray | np.generic):
        if shape == () and isinstance(found, int | float):
            found = np.asarray(found, dtype)
        else:
            slip = "\n  likely slip: np.array makes an array of a list" if isinstance(found, list) else ""
            raise Wrong(
                f"{what}\n  expected: an array {shape} of {dtype}\n  received: {type(found).__name__}{slip}"
            )
    if found.shape != shape:
        slip = _shape_slip(found.shape, shape, slips or {})
        raise Wrong(f"{what} has the wrong shape\n  expected: {shape}\n  received: {found.shape}{slip}")
    if found.dtype != np.dtype(dtype):
        slip = (
            "a comparison came last: put it in brackets, as in a * (b > 0)"
            if found.dtype == bool
            else "np.zeros or astype without the input's dtype"
        )
        raise Wrong(
            f"{what} has the wrong element type\n  expected: {dtype}\n  received: {found.dtype}\n"
            f"  likely slip: {slip}"
        )
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(found))[0])
        raise Wrong(f"{what} is not finite\n  expected: a number\n  received: {found[place]} at {place}")
    array: Array = np.asarray(found)
    return array


def _shape_slip(received: Shape, expected: Shape, slips: Mapping[Shape, str]) -> str:
    if received in slips:
        return f"\n  likely slip: {slips[received]}"
    if received == expected[::-1]:
        return "\n  likely slip: transposed"
    if len(received) > len(expected):
        return "\n  likely slip: a missing sum over an axis, most often the batch"
    return ""


def agree(
    received: Array,
    expected: Array,
    what: str,
    slips: Mapping[str, Array] | None = None,
    tolerance: float = 1e-7,
    misplaced: str | None = None,
) -> None:
    """Raise Wrong unless `received` equals `expected` up to rounding; both have one shape.

    `slips` names what typical wrong answers would give: where one of them is what came, its name is the hint.
    `misplaced`: the hint where numbers are to be put at places, none of `slips` fits, and the total is right.
    """
    scale = max(float(np.abs(expected).max(initial=0.0)), 1e-12)
    errors = np.abs(received - expected)
    if (errors <= tolerance * scale).all():
        return
    place = tuple(int(i) for i in np.unravel_index(int(errors.argmax()), errors.shape))
    where = f", most at [{', '.join(map(str, place))}]" if place else ""
    named = (name for name, value in (slips or {}).items() if _is(received, value))
    slip = next(named, None)
    if slip is None and misplaced and np.isclose(received.sum(), expected.sum()):
        slip = misplaced
    slip = slip or likely_slip(received, expected)
    raise Wrong(
        f"{what} is wrong{where}\n"
        f"  expected: {expected[place]:.6g}\n"
        f"  received: {received[place]:.6g}" + (f"\n  likely slip: {slip}" if slip else "")
    )


def _is(received: Array, value: Array) -> bool:
    return np.shape(value) == received.shape and np.allclose(received, value, rtol=1e-6, atol=1e-12)
