"""Rung 10: what each typical wrong answer is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinynet.learn.exercise import Wrong
from tinynet.learn.ladder import exercise
from tinynet.types import Array


def tiled(A: Array, B: Array, rows: int, columns: int) -> Array:
    (M, K), N = A.shape, B.shape[1]
    C = np.zeros((M, N))
    for i in range(0, M, rows):
        for j in range(0, N, columns):
            sums = np.zeros((min(rows, M - i), min(columns, N - j)))
            for k in range(K):
                sums += np.outer(A[i : i + rows, k], B[k, j : j + columns])
            C[i : i + rows, j : j + columns] = sums
    return C


def joined(A: Array, B: Array, rows: int, columns: int) -> Array:
    """Tiles by the method `dot`, put together at the end."""
    down, across = range(0, len(A), rows), range(0, B.shape[1], columns)
    return np.block([[A[i : i + rows].dot(B[:, j : j + columns]) for j in across] for i in down])


def whole_tiles(A: Array, B: Array, rows: int, columns: int) -> Array:
    C = np.zeros((len(A), B.shape[1]))
    down, across = len(A) // rows * rows, B.shape[1] // columns * columns
    C[:down, :across] = A[:down] @ B[:, :across]
    return C


def no_low_tiles(A: Array, B: Array, rows: int, columns: int) -> Array:
    down = len(A) // rows * rows
    return np.concatenate([A[:down] @ B, np.zeros((len(A) - down, B.shape[1]))])


def overwritten(A: Array, B: Array, rows: int, columns: int) -> Array:
    C = np.zeros((len(A), B.shape[1]))
    for k in range(len(B)):
        C[...] = np.outer(A[:, k], B[k])
    return C


def moved_up(A: Array, B: Array, rows: int, columns: int) -> Array:
    C = np.zeros((len(A), B.shape[1]))
    for start in range(0, len(A), rows):
        i = min(start, len(A) - rows)
        C[i : i + rows] += A[i : i + rows] @ B
    return C


def winograd(d: Any, g: Any, *, m4_sign: int = -1, half: float = 0.5, turned: int = 1) -> Any:
    m1, m4 = (d[0] - d[2]) * g[0], (d[1] - d[3]) * g[2]
    m2 = (d[1] + d[2]) * ((g[0] + g[1] + g[2]) * half)
    m3 = turned * (d[2] - d[1]) * ((g[0] - g[1] + g[2]) * half)
    return m1 + m2 + m3, m2 - m3 + m4_sign * m4


def directly(d: Any, g: Any) -> Any:
    return [d[i] * g[0] + d[i + 1] * g[1] + d[i + 2] * g[2] for i in range(2)]


def place(i: int, OH: int, OW: int, KH: int, KW: int, C: int) -> tuple[int, ...]:
    return tuple(map(int, np.unravel_index(i, (10, OH, OW, KH, KW, C))))


def rows_first(i: int, OH: int, OW: int, KH: int, KW: int, C: int) -> tuple[int, ...]:
    n, ow, oh, v, u, c = np.unravel_index(i, (10, OW, OH, KW, KH, C))
    return tuple(map(int, (n, oh, ow, u, v, c)))


def true_division(i: int, OH: int, OW: int, KH: int, KW: int, C: int) -> tuple[float, ...]:
    window = i / C / KW / KH
    return window / OW / OH, window / OW % OH, window % OW, i / C / KW % KH, i / C % KW, i % C


RIGHT: dict[str, list[Callable[..., Any]]] = {
    "10.tiled_product": [tiled, joined],
    "10.winograd_1d": [winograd, lambda d, g: list(winograd(d, g))],
    "10.place_of_thread": [place],
}
WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("10.tiled_product", whole_tiles, "rows and columns that fill no whole tile"),
    ("10.tiled_product", no_low_tiles, "rows that fill no whole tile are left out"),
    ("10.tiled_product", overwritten, "overwrites the sums"),
    ("10.tiled_product", moved_up, "added twice"),
    ("10.tiled_product", lambda A, B, rows, columns: A @ B, "was not computed in tiles"),
    ("10.tiled_product", lambda A, B, rows, columns: np.dot(A, B), "one that gives 72"),
    ("10.tiled_product", lambda A, B, rows, columns: A.dot(B), "one that gives 72"),
    ("10.tiled_product", lambda A, B, rows, columns: (A @ B).T, "wrong shape"),
    ("10.winograd_1d", lambda d, g: winograd(d, g, m4_sign=1), "the sign of m4"),
    ("10.winograd_1d", lambda d, g: winograd(d, g, half=1), "the half"),
    ("10.winograd_1d", lambda d, g: winograd(d, g, turned=-1), "not d1 - d2"),
    ("10.winograd_1d", lambda d, g: winograd(d, g[::-1]), "turned round"),
    ("10.winograd_1d", directly, "received: 6"),
    ("10.winograd_1d", lambda d, g: None, "missing `return`"),
    ("10.place_of_thread", lambda i, *sizes: place(i, *sizes)[::-1], "turned round"),
    ("10.place_of_thread", rows_first, "rows run faster than columns"),
    ("10.place_of_thread", true_division, "a / where // belongs"),
    ("10.place_of_thread", lambda i, *sizes: place(i, *sizes)[1:], "wrong shape"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_answer_is_right(name: str) -> None:
    for solution in RIGHT[name]:
        exercise(name).grade(solution)


@pytest.mark.parametrize(("name", "slip", "hint"), WRONG, ids=[f"{name}-{hint}" for name, _, hint in WRONG])
def test_a_typical_wrong_answer_gets_its_hint(name: str, slip: Callable[..., Any], hint: str) -> None:
    with pytest.raises(Wrong, match=hint):
        exercise(name).grade(slip)
