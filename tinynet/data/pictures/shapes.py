"""The connected shapes of a mask, found by its runs: stretches of set pixels within a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinynet.types import Array


@dataclass(frozen=True)
class Shapes:
    """N shapes, numbered from 0; pixels that touch, corners included, belong to one."""

    labels: Array
    """The number of each pixel's shape, int (h, w); -1 outside all."""
    areas: Array
    """In pixels, (N,)."""
    boxes: Array
    """The first row, the first column, and those after the last, (N, 4)."""

    def __len__(self) -> int:
        return len(self.areas)

    @property
    def heights(self) -> Array:
        return self.boxes[:, 2] - self.boxes[:, 0]

    @property
    def widths(self) -> Array:
        return self.boxes[:, 3] - self.boxes[:, 1]

    def mask(self, chosen: Array) -> Array:
        """The pixels of the shapes for which `chosen` (N,) is true, bool (h, w)."""
        return np.append(chosen, False)[self.labels]


def shapes(mask: Array) -> Shapes:
    """The shapes of a mask, bool (h, w), in the order of their first rows."""
    rows, starts, stops = _runs(mask)
    roots = _roots(len(rows), *_touching(rows, starts, stops, mask.shape[1]))
    _, numbers = np.unique(roots, return_inverse=True)
    count = int(numbers.max()) + 1 if len(numbers) else 0
    areas = np.bincount(numbers, weights=stops - starts, minlength=count).astype(np.int64)
    boxes = np.tile(np.array([*mask.shape, 0, 0]), (count, 1))
    for column, (extreme, values) in enumerate(
        [(np.minimum, rows), (np.minimum, starts), (np.maximum, rows + 1), (np.maximum, stops)]
    ):
        extreme.at(boxes[:, column], numbers, values)
    labels = np.full(mask.shape, -1, np.int64)
    labels[mask] = np.repeat(numbers, stops - starts)
    return Shapes(labels, areas, boxes)


def _runs(mask: Array) -> tuple[Array, Array, Array]:
    """Row, first column and the column after the last of every run, row by row."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    return rows, starts, np.nonzero(edges == -1)[1]


def _touching(rows: Array, starts: Array, stops: Array, width: int) -> tuple[Array, Array]:
    """The pairs of runs in neighbouring rows that touch."""
    stride = width + 2
    first = np.searchsorted(rows * stride + stops, (rows + 1) * stride + starts, side="left")
    last = np.searchsorted(rows * stride + starts, (rows + 1) * stride + stops, side="right")
    counts = last - first
    above = np.repeat(np.arange(len(rows)), counts)
    return above, np.arange(len(above)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(
        first, counts
    )


def _roots(count: int, one: Array, other: Array) -> Array:
    """The lowest number among all that are connected with each of 0 … count - 1."""
    roots = np.arange(count)
    while (roots[one] != roots[other]).any():
        low, high = np.minimum(roots[one], roots[other]), np.maximum(roots[one], roots[other])
        np.minimum.at(roots, high, low)
        while (roots != roots[roots]).any():
            roots = roots[roots]
    return roots
