"""Rung 10, Why it is fast: products in tiles, Winograd, and the place of a CUDA thread, graded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.learn.exercise import Exercise, Wrong
from tinynet.learn.grading import agree, answer
from tinynet.types import Array

ROWS, COLUMNS = 3, 4


def _grade_tiled(tiled_product: Callable[..., Any]) -> None:
    rng = np.random.default_rng(10)
    A, B = rng.normal(size=(8, 5)), rng.normal(size=(5, 9))  # the last tiles are 2 rows high, 1 column wide
    C = A @ B
    inside = np.zeros(C.shape)
    inside[:6, :8] = 1
    rows_only, columns_only = inside.max(axis=1, keepdims=True), inside.max(axis=0, keepdims=True)
    twice = np.ones(C.shape)
    twice[5] = 2
    agree(
        answer(tiled_product, A, B, ROWS, COLUMNS, shape=C.shape),
        C,
        "C",
        {
            "rows and columns that fill no whole tile are left out": C * inside,
            "rows that fill no whole tile are left out: the last tile may be lower": C * rows_only,
            "columns that fill no whole tile are left out: the last tile may be narrower": C * columns_only,
            "each step of the depth overwrites the sums; add to them": np.outer(A[:, -1], B[-1]),
            "the last step of the depth is left out": A[:, :-1] @ B[:-1],
            "rows are added twice: where the last tile is moved up, write its sums, do not add them": C
            * twice,
            "the tile is computed, and not written into C": np.zeros(C.shape),
        },
    )
    largest = _largest_result(tiled_product, A, B)
    if largest > ROWS * COLUMNS:
        raise Wrong(
            "C is right, and was not computed in tiles\n"
            f"  expected: no operation gives more than {ROWS} x {COLUMNS} = {ROWS * COLUMNS} numbers\n"
            f"  received: one that gives {largest}\n"
            "  likely slip: one product of whole matrices; take `rows` rows of A and `columns` columns of B"
        )


PRODUCTS = (np.dot, np.einsum, np.inner, np.outer, np.tensordot)
"""Functions of NumPy's that multiply, and are no ufuncs. Others may join tiles to a whole."""


class _Watched(np.ndarray[Any, np.dtype[Any]]):
    """An array that notes how many numbers each operation on it, or on its parts, gives."""

    sizes: list[int]

    def __array_finalize__(self, other: Any) -> None:
        self.sizes = getattr(other, "sizes", [])

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        plain = [np.asarray(each) if isinstance(each, _Watched) else each for each in inputs]
        if "out" in settings:
            settings["out"] = tuple(np.asarray(each) for each in settings["out"] if each is not None)
        return self._noted(getattr(ufunc, method)(*plain, **settings))

    def __array_function__(self, function: Any, types: Any, arguments: Any, settings: Any) -> Any:
        result = super().__array_function__(function, types, arguments, settings)
        return self._noted(result) if function in PRODUCTS else result

    def dot(self, other: Any, out: Any = None) -> Any:
        return self._noted(np.asarray(self).dot(np.asarray(other), out))

    def _noted(self, result: Any) -> Any:
        self.sizes.append(np.size(result))
        return np.asarray(result) if isinstance(result, _Watched) else result


def _largest_result(tiled_product: Callable[..., Any], A: Array, B: Array) -> int:
    sizes = [0]
    watched = [each.copy().view(_Watched) for each in (A, B)]
    for each in watched:
        each.sizes = sizes
    tiled_product(*watched, ROWS, COLUMNS)
    return max(sizes)


class Counted:
    """A number that counts how often two such numbers are multiplied; by a constant does not count."""

    def __init__(self, value: float, count: list[int]) -> None:
        self.value, self.count = value, count

    def _with(self, other: Any, result: Callable[[float, float], float], is_product: bool = False) -> Counted:
        if isinstance(other, Counted):
            self.count[0] += is_product
            other = other.value
        return Counted(result(self.value, other), self.count)

    def __add__(self, other: Any) -> Counted:
        return self._with(other, lambda a, b: a + b)

    def __sub__(self, other: Any) -> Counted:
        return self._with(other, lambda a, b: a - b)

    def __rsub__(self, other: Any) -> Counted:
        return self._with(other, lambda a, b: b - a)

    def __mul__(self, other: Any) -> Counted:
        return self._with(other, lambda a, b: a * b, is_product=True)

    def __truediv__(self, other: Any) -> Counted:
        return self._with(other, lambda a, b: a / b, is_product=True)

    def __neg__(self) -> Counted:
        return Counted(-self.value, self.count)

    __radd__, __rmul__ = __add__, __mul__


MULTIPLICATIONS = 4


def _grade_winograd(winograd_1d: Callable[..., Any]) -> None:
    d, g = np.array([0.7, -1.3, 2.1, 0.4]), np.array([1.5, -0.6, 0.9])
    count = [0]

    def values(*given: Array) -> Any:
        found = winograd_1d(*([Counted(float(value), count) for value in each] for each in given))
        if not isinstance(found, tuple | list | np.ndarray):
            return found
        return np.array([each.value if isinstance(each, Counted) else each for each in found], np.float64)

    m1, m2 = (d[0] - d[2]) * g[0], (d[1] + d[2]) * g.sum() / 2
    m3, m4 = (d[2] - d[1]) * (g[0] - g[1] + g[2]) / 2, (d[1] - d[3]) * g[2]
    expected = np.array([d[:3] @ g, d[1:] @ g])
    agree(
        answer(values, d, g, shape=(2,)),
        expected,
        "(y0, y1)",
        {
            "the sign of m4: y1 = m2 - m3 - m4": np.array([m1 + m2 + m3, m2 - m3 + m4]),
            "the sign of m3 in y1: y1 = m2 - m3 - m4": np.array([m1 + m2 + m3, m2 + m3 - m4]),
            "the half in m2 and m3 is missing": np.array([m1 + 2 * m2 + 2 * m3, 2 * m2 - 2 * m3 - m4]),
            "m3 has d2 - d1, not d1 - d2": np.array([m1 + m2 - m3, m2 + m3 - m4]),
            "m1 has d0 - d2, not d0 + d2": np.array([m1 + 2 * d[2] * g[0] + m2 + m3, m2 - m3 - m4]),
            "the kernel is turned round; here it is laid on as it stands": np.array(
                [d[:3] @ g[::-1], d[1:] @ g[::-1]]
            ),
            "exchanged: y0 first": expected[::-1],
        },
    )
    if count[0] > MULTIPLICATIONS:
        raise Wrong(
            "the outputs are right, and took too many multiplications of two inputs\n"
            f"  expected: {MULTIPLICATIONS}\n"
            f"  received: {count[0]}\n"
            "  likely slip: each output by itself, or a product computed twice; name m1 … m4, use them twice"
        )


SIZES = {"OH": 3, "OW": 4, "KH": 2, "KW": 3, "C": 5}


def _grade_place(place_of_thread: Callable[..., Any]) -> None:
    OH, OW, KH, KW, C = SIZES.values()
    shape = (2, OH, OW, KH, KW, C)
    threads = np.array([0, 1, 6, 17, 71, 100, 359, 360, 719])
    order = np.stack(np.unravel_index(threads, shape), axis=1)

    def places(threads: Array) -> Any:
        found = [place_of_thread(int(i), *SIZES.values()) for i in threads]
        if not all(isinstance(each, tuple | list) for each in found):
            return next(each for each in found if not isinstance(each, tuple | list))
        return np.array(found, np.float64)

    swapped = np.stack(np.unravel_index(threads, (2, OW, OH, KW, KH, C)), axis=1)[:, [0, 2, 1, 4, 3, 5]]
    first_fastest = np.stack(np.unravel_index(threads, shape, order="F"), axis=1)
    agree(
        answer(places, threads, shape=(len(threads), 6)),
        order.astype(np.float64),
        f"(n, oh, ow, u, v, c) of the threads {', '.join(map(str, threads))}",
        {
            "the order is turned round: n first, c last": order[:, ::-1].astype(np.float64),
            "n runs fastest; c does, it lies innermost: begin with c = i % C": first_fastest.astype(
                np.float64
            ),
            "rows run faster than columns; of two neighbours, v and ow change first": swapped.astype(
                np.float64
            ),
            "a / where // belongs": _by_true_division(threads, shape),
        },
    )


def _by_true_division(threads: Array, shape: tuple[int, ...]) -> Array:
    places, left = [], threads.astype(np.float64)
    for size in shape[:0:-1]:
        places.append(left % size)
        left = left / size
    return np.stack([left, *places[::-1]], axis=1)


EXERCISES = (
    Exercise(
        "10.tiled_product",
        "A · B, computed tile by tile of C, with lower and narrower tiles where it does not divide.",
        _grade_tiled,
    ),
    Exercise(
        "10.winograd_1d",
        "Two outputs of a kernel of three weights, with four multiplications instead of six.",
        _grade_winograd,
    ),
    Exercise(
        "10.place_of_thread",
        "Which element of the matrix of windows a CUDA thread computes, from its number.",
        _grade_place,
    ),
)
