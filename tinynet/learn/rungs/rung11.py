"""Rung 11, Your own hand: strokes fitted into a box, drawn by a pen, and moved to their centre, graded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.learn.exercise import Exercise
from tinynet.learn.grading import agree, answer
from tinynet.types import Array

WIDE = np.array([[30.0, 12.0], [90.0, 20.0], [50.0, 47.0], [42.0, 33.0]])
TALL = np.array([[-4.0, 100.0], [6.0, 260.0], [31.0, 180.0]])
BOX = 20.0


def _grade_fit_box(fit_box: Callable[..., Any]) -> None:
    for points in (TALL, WIDE):
        low = points.min(axis=0)
        moved, extent = points - low, points.max(axis=0) - low
        longest = extent.max()
        agree(
            answer(fit_box, points, BOX, shape=points.shape),
            moved / longest * BOX,
            f"the points of a box {extent[0]:g} wide and {extent[1]:g} high",
            {
                "stretched: x and y have one scale, that of the longer side": moved / extent * BOX,
                "the shorter side was scaled to the box; the longer one then sticks out": moved
                / extent.min()
                * BOX,
                "always divided by the width; a tall digit sticks out": moved / extent[0] * BOX,
                "always divided by the height; a wide digit sticks out": moved / extent[1] * BOX,
                "x divided by the height, and y by the width": moved / extent[::-1] * BOX,
                "not moved: the least x and the least y come to 0": points / longest * BOX,
                "the box is not used: that is a box of 1": moved / longest,
                "divided by the largest coordinate instead of the longer side": moved / points.max() * BOX,
                "one least number for both axes; x and y each have their own": (points - points.min())
                / longest
                * BOX,
            },
        )
    dot = np.array([[7.0, 5.0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        agree(answer(fit_box, dot, BOX, shape=dot.shape), np.zeros((1, 2)), "a dot: one point")


ENDS = (((4.3, 8.6), (12.1, 2.4)), ((3.0, 1.5), (5.0, 9.75)), ((6.25, 6.5), (6.25, 6.5)))
SIZE, WIDTH = 14, 2.7


def _grade_pen(pen: Callable[..., Any]) -> None:
    for start, end in (map(np.array, ends) for ends in ENDS):
        what = f"the ink of a line from {start.tolist()} to {end.tolist()}"
        received = answer(pen, start, end, WIDTH, SIZE, shape=(SIZE, SIZE))
        right = _distances(start, end)
        slips = {
            "infinite: the line goes on beyond its ends; keep t within 0 … 1": _distances(start, end, None),
            "the line goes on beyond its end; t is at most 1": _distances(start, end, (0, np.inf)),
            "the line goes on beyond its start; t is at least 0": _distances(start, end, (-np.inf, 1)),
            "corners instead of middles: the middle of pixel (row, column) is at x = column, y = row": (
                _distances(start - 0.5, end - 0.5)
            ),
            "the same half a pixel, the other way": _distances(start + 0.5, end + 0.5),
            "transposed: rows count y, columns count x": right.T,
            "squared: take the root of dx² + dy²": right**2,
            "the distance from the start alone; every point of the line is drawn": _distances(start, start),
            "the distance from both ends alone, without the line between": np.minimum(
                _distances(start, start), _distances(end, end)
            ),
        }
        named = {name: _ink(distances) for name, distances in slips.items()}
        named["that is the distance, not yet the ink"] = right
        named["the width, where half of it lies on either side"] = _ink(right, 2 * WIDTH)
        named["1/2 is missing: the edge runs through the pixel at width / 2"] = _ink(right, WIDTH - 1)
        named["not cut off: ink is at least 0 and at most 1"] = WIDTH / 2 + 0.5 - right
        named["inverted: 1 is ink, 0 is paper"] = 1 - _ink(right)
        agree(received, _ink(right), what, named)


def _distances(start: Array, end: Array, within: tuple[float, float] | None = (0, 1)) -> Array:
    """Of each pixel's middle from start + t (end - start), t kept `within`: (SIZE, SIZE)."""
    low, high = within or (-np.inf, np.inf)
    pixels = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1)
    way = end - start
    t = ((pixels - start) @ way) / max(float(way @ way), 1e-300)
    distances: Array = np.linalg.norm(pixels - start - np.clip(t, low, high)[..., None] * way, axis=-1)
    return distances


def _ink(distances: Array, width: float = WIDTH) -> Array:
    ink: Array = np.clip(width / 2 + 0.5 - distances, 0, 1)
    return ink


def _grade_centre(centre: Callable[..., Any]) -> None:
    for seed, corner in ((13, (0, 11)), (14, (7, 1))):
        image = _blot(seed, corner)
        H, W = image.shape
        inked = np.array(np.nonzero(image))
        mass = inked @ image[tuple(inked)] / image.sum()
        middle = np.array([H, W]) / 2
        way = middle - mass
        of_box = (inked.min(axis=1) + inked.max(axis=1)) / 2
        agree(
            answer(centre, image, shape=image.shape, slips={(W, H): "transposed: rows come first"}),
            _moved(image, np.rint(way)),
            f"an image whose centre of mass lies at row {mass[0]:.2f}, column {mass[1]:.2f}, centred",
            {
                "the image as it was; return the moved one": image,
                "moved the wrong way: the centre of mass is to come to the middle": _moved(
                    image, -np.rint(way)
                ),
                "transposed axes: rows are moved by y, columns by x": _moved(image, np.rint(way)[::-1]),
                "int() cuts off towards 0; round to the nearest whole pixel": _moved(image, np.trunc(way)),
                "floor instead of rounding, or (H - 1)/2 for the middle instead of H/2": _moved(
                    image, np.floor(way)
                ),
                "ceil instead of rounding": _moved(image, np.ceil(way)),
                "the middle of the box instead of the centre of mass": _moved(
                    image, np.rint(middle - of_box)
                ),
                "int(x + 1/2) does not round where x is negative; floor(x + 1/2) does": _moved(
                    image, np.trunc(way + 0.5)
                ),
                "every inked pixel counts the same; weigh each by its ink": _moved(
                    image, np.rint(middle - inked.mean(axis=1))
                ),
                "only the rows are moved": _moved(image, np.rint(way) * (1, 0)),
                "only the columns are moved": _moved(image, np.rint(way) * (0, 1)),
                "np.roll brings back on one side what leaves on the other; what leaves is lost": np.roll(
                    image, tuple(np.rint(way).astype(int)), axis=(0, 1)
                ),
            },
        )


def _blot(seed: int, corner: tuple[int, int]) -> Array:
    """An image (13, 18) of ink that is densest in one place, and a faint dot far away in a corner."""
    rng = np.random.default_rng(seed)
    image = np.zeros((13, 18))
    row, column = corner
    image[row : row + 5, column : column + 6] = rng.random((5, 6)) * np.linspace(1, 0.1, 6) ** 2
    image[-1 if row < 4 else 0, 0 if column > 6 else -1] = 0.4
    return image


def _moved(image: Array, way: Array) -> Array:
    """The image moved by whole pixels, down and to the right; zeros come in."""
    H, W = image.shape
    (down, right), moved = way.astype(int), np.zeros_like(image)
    kept = image[max(-down, 0) : H - max(down, 0), max(-right, 0) : W - max(right, 0)]
    moved[max(down, 0) : H - max(-down, 0), max(right, 0) : W - max(-right, 0)] = kept
    return moved


EXERCISES = (
    Exercise(
        "11.fit_box",
        "Scale points so that the longer side of their box has a given length, and its corner lies at 0.",
        _grade_fit_box,
    ),
    Exercise(
        "11.pen",
        "The ink of every pixel under a round pen that goes from one point to another.",
        _grade_pen,
    ),
    Exercise(
        "11.centre",
        "Move an image by whole pixels, so that its centre of mass comes to the middle.",
        _grade_centre,
    ),
)
