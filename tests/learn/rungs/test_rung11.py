"""tinynet.learn, rung 11: right answers pass, and each typical wrong one gets its hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinynet.learn.exercise import Wrong
from tinynet.learn.ladder import exercise


def fit_box(points: Any, box: Any) -> Any:
    moved = points - points.min(axis=0)
    return moved * (box / (moved.max() or 1.0))


def distance(start: Any, end: Any, size: int, low: float = 0, high: float = 1, corner: float = 0) -> Any:
    y, x = np.mgrid[:size, :size] + corner
    (ax, ay), (dx, dy) = start, end - start
    t = ((x - ax) * dx + (y - ay) * dy) / (dx**2 + dy**2 or 1.0)
    t = np.clip(t, low, high)
    return np.hypot(x - ax - t * dx, y - ay - t * dy)


def ink(distances: Any, width: float) -> Any:
    return np.clip(width / 2 + 0.5 - distances, 0, 1)


def pen(start: Any, end: Any, width: float, size: int) -> Any:
    return ink(distance(start, end, size), width)


def divided_by_nothing(start: Any, end: Any, width: float, size: int) -> Any:
    with np.errstate(invalid="ignore", divide="ignore"):
        way = end - start
        y, x = np.mgrid[:size, :size]
        t = np.clip(((x - start[0]) * way[0] + (y - start[1]) * way[1]) / (way @ way), 0, 1)
        return ink(np.hypot(x - start[0] - t * way[0], y - start[1] - t * way[1]), width)


def mass(image: Any) -> Any:
    H, W = image.shape
    rows, columns = image.sum(axis=1) @ np.arange(H), image.sum(axis=0) @ np.arange(W)
    return np.array([rows, columns]) / image.sum()


def shift(image: Any, down: int, right: int) -> Any:
    far = max(image.shape)
    padded = np.pad(image, far)
    H, W = image.shape
    return padded[far - down : far - down + H, far - right : far - right + W]


def way_of(image: Any) -> Any:
    return np.array(image.shape) / 2 - mass(image)


def centre(image: Any) -> Any:
    down, right = np.rint(way_of(image)).astype(int)
    return shift(image, down, right)


def by(whole: Callable[[Any], Any], middle: Callable[[Any], Any] = mass) -> Callable[..., Any]:
    """centre, with another rounding or another middle."""
    return lambda image: shift(
        image, *(int(each) for each in whole(np.array(image.shape) / 2 - middle(image)))
    )


def middle_of_box(image: Any) -> Any:
    inked = np.argwhere(image)
    return (inked.min(axis=0) + inked.max(axis=0)) / 2


def in_place(image: Any) -> Any:
    image[...] = centre(image)
    return image


@pytest.mark.parametrize("right", [fit_box, pen, centre])
def test_a_right_answer_passes(right: Callable[..., Any]) -> None:
    exercise(f"11.{right.__name__}").grade(right)


def test_another_way_to_round_passes() -> None:
    exercise("11.centre").grade(by(lambda way: np.floor(way + 0.5)))


def own_scales(points: Any, box: Any) -> Any:
    moved = points - points.min(axis=0)
    return moved / np.where(moved.max(axis=0) > 0, moved.max(axis=0), 1) * box


def by_extent(choose: Callable[[Any], Any]) -> Callable[..., Any]:
    """fit_box, with another length to divide by."""
    return lambda p, box: (p - p.min(axis=0)) / choose(np.ptp(p, axis=0)) * box


WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("fit_box", own_scales, "stretched: x and y have one scale"),
    ("fit_box", by_extent(lambda e: e[0]), "the shorter side was scaled"),
    ("fit_box", by_extent(lambda e: e[1]), "the shorter side was scaled"),
    ("fit_box", by_extent(lambda e: e[::-1]), "x divided by the height, and y by the width"),
    ("fit_box", by_extent(np.max), "(?s)what your function returned is not finite.*nan"),
    ("fit_box", lambda p, box: p / np.ptp(p, axis=0).max() * box, "not moved"),
    ("fit_box", lambda p, box: fit_box(p, 1), "a box of 1"),
    ("fit_box", lambda p, box: fit_box(p, box).T, "transposed"),
    ("fit_box", lambda p, box: (p - p.min(axis=0)) / p.max() * box, "the largest coordinate"),
    ("fit_box", lambda p, box: (p - p.min()) / np.ptp(p, axis=0).max() * box, "x and y each have their own"),
    ("pen", lambda a, b, w, s: ink(distance(a, b, s, -np.inf, np.inf), w), "infinite: the line goes on"),
    ("pen", lambda a, b, w, s: ink(distance(a, b, s, 0, np.inf), w), "t is at most 1"),
    ("pen", lambda a, b, w, s: ink(distance(a, b, s, -np.inf, 1), w), "t is at least 0"),
    ("pen", lambda a, b, w, s: ink(distance(a, b, s, corner=0.5), w), "corners instead of middles"),
    ("pen", lambda a, b, w, s: pen(a, b, w, s).T, "transposed: rows count y"),
    ("pen", lambda a, b, w, s: ink(distance(a, b, s) ** 2, w), "take the root"),
    ("pen", lambda a, b, w, s: np.maximum(pen(a, a, w, s), pen(b, b, w, s)), "from both ends alone"),
    ("pen", lambda a, b, w, s: pen(a, b, 2 * w, s), "half of it lies on either side"),
    ("pen", lambda a, b, w, s: pen(a, b, w - 1, s), "1/2 is missing"),
    ("pen", lambda a, b, w, s: w / 2 + 0.5 - distance(a, b, s), "not cut off"),
    ("pen", lambda a, b, w, s: 1 - pen(a, b, w, s), "1 is ink, 0 is paper"),
    ("pen", lambda a, b, w, s: distance(a, b, s), "not yet the ink"),
    ("pen", divided_by_nothing, "not finite"),
    ("centre", lambda image: shift(image, *-np.rint(way_of(image)).astype(int)), "moved the wrong way"),
    (
        "centre",
        lambda image: shift(image, *np.rint(way_of(image)).astype(int)[::-1]),
        "rows are moved by y",
    ),
    ("centre", by(np.trunc), r"int\(\) cuts off"),
    ("centre", by(np.floor), "floor instead of rounding"),
    ("centre", by(np.rint, lambda image: mass(image) + 0.5), r"\(H - 1\)/2 for the middle"),
    ("centre", by(lambda way: way + 0.5), "does not round where x is negative"),
    ("centre", by(np.rint, middle_of_box), "the middle of the box"),
    ("centre", by(np.rint, lambda image: mass(image > 0)), "weigh each by its ink"),
    (
        "centre",
        lambda image: np.roll(image, tuple(np.rint(way_of(image)).astype(int)), (0, 1)),
        "what leaves is lost",
    ),
    ("centre", lambda image: image, "the image as it was"),
    ("centre", lambda image: centre(image).T, "transposed"),
    ("centre", in_place, "argument 1 was changed"),
]


@pytest.mark.parametrize(("name", "wrong", "hint"), WRONG, ids=[f"{name}: {hint}" for name, _, hint in WRONG])
def test_a_wrong_answer_gets_its_hint(name: str, wrong: Callable[..., Any], hint: str) -> None:
    with pytest.raises(Wrong, match=hint):
        exercise(f"11.{name}").grade(wrong)
