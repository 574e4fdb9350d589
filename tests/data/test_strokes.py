"""Strokes to pixels: the same bytes in Python and in JavaScript, and where the ink lies."""

from __future__ import annotations

import base64
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import node
import numpy as np
import pytest
from data import make_strokes
from hypothesis import given, settings
from hypothesis import strategies as st

from tinynet.data.datasets import load
from tinynet.data.strokes import BOX, PEN, rasterize
from tinynet.errors import DataError
from tinynet.types import Array

FOLDER = Path(__file__).parent / "strokes"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def kept(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return table


def pixels(table: dict[str, Any]) -> Array:
    return np.frombuffer(base64.b64decode(table["pixels"]), np.uint8).reshape(28, 28)


def in_javascript(drawings: list[Any], size: int = 28) -> list[Any]:
    code = "return data.drawings.map((strokes) => tinynet.rasterize(strokes, { size: data.size }))"
    found: list[Any] = node.run(code, {"drawings": drawings, "size": size}, bare=True)
    return found


@cache
def kept_in_javascript() -> dict[str, Any]:
    return dict(zip(NAMES, in_javascript([kept(name)["strokes"] for name in NAMES]), strict=True))


def test_there_are_at_least_fifty_drawings_as_the_script_makes_them() -> None:
    made = {name: make_strokes.as_json(*drawing) for name, drawing in make_strokes.drawings().items()}
    assert made == {name: (FOLDER / f"{name}.json").read_text("utf-8") for name in NAMES}
    assert len(made) >= 50


@pytest.mark.parametrize("name", NAMES)
def test_a_drawing_becomes_these_bytes(name: str) -> None:
    np.testing.assert_array_equal(rasterize(kept(name)["strokes"]), pixels(kept(name)))


@node.NEEDS_NODE
@pytest.mark.parametrize("name", NAMES)
def test_javascript_makes_the_same_bytes(name: str) -> None:
    np.testing.assert_array_equal(kept_in_javascript()[name], pixels(kept(name)).ravel())


COORDINATES = st.floats(allow_nan=False, allow_infinity=False) | st.floats(-300, 300) | st.integers(-50, 50)
DRAWINGS = st.lists(st.lists(st.tuples(COORDINATES, COORDINATES), max_size=6), max_size=4)


@node.NEEDS_NODE
@given(st.lists(DRAWINGS, min_size=20, max_size=40), st.integers(8, 40))
@settings(max_examples=15, deadline=None)
def test_both_agree_on_whatever_is_drawn(drawings: list[Any], size: int) -> None:
    drawings = [strokes for strokes in drawings if extent(strokes) < math.inf]
    found = in_javascript(drawings, size)
    for strokes, bytes_ in zip(drawings, found, strict=True):
        np.testing.assert_array_equal(rasterize(strokes, size).ravel(), bytes_)


def extent(strokes: Any) -> float:
    points = np.array([point for stroke in strokes for point in stroke], float).reshape(-1, 2)
    with np.errstate(over="ignore"):
        return float(np.ptp(points, axis=0).max()) if len(points) else 0.0


REFUSED = {
    "NaN": [[[0, 0], [math.nan, 1]]],
    "infinite": [[[0, math.inf]]],
    "too far apart": [[[-1e308, 0], [1e308, 0]]],
    "three numbers": [[[0, 0, 0.5]]],
    "one number": [[[0]]],
    "no pair": [[1, 2]],
    "a text": [[["1", "2"]]],
    "truth": [[[True, 0.5]]],
    "null": [None],
    "null for a number": [[[None, 1]]],
    "no list": {"strokes": []},
    "nothing at all": None,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_drawing_is_refused(name: str) -> None:
    strokes: Any = REFUSED[name]
    with pytest.raises(DataError, match=r"(?s)no stroke.*expected: a list of points"):
        rasterize(strokes)


@node.NEEDS_NODE
def test_javascript_refuses_them_too() -> None:
    code = """
      const { NaN: nan, infinite, ...rest } = data;
      const drawings = { ...rest, "NaN": [[[0, 0], [NaN, 1]]], "infinite": [[[0, Infinity]]] };
      const refused = ([name, strokes]) => {
        try { tinynet.rasterize(strokes); } catch (error) { return [name, error.constructor.name]; }
        return [name, null];
      };
      return Object.fromEntries(Object.entries(drawings).map(refused));
    """
    finite = {**REFUSED, "NaN": None, "infinite": None}
    assert node.run(code, finite) == dict.fromkeys(REFUSED, "RangeError")


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("edge")])
def test_the_box_is_twenty_pixels_and_the_mass_in_the_middle(name: str) -> None:
    image = pixels(kept(name)).astype(float)
    rows, columns = (np.flatnonzero((image > 127).any(axis=axis)) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(BOX, abs=1)
    middle = [image.sum(axis=axis) @ np.arange(28) / image.sum() for axis in (0, 1)]
    assert middle == pytest.approx([14, 14], abs=0.6 if name.startswith("7") else 0.1)


def test_ink_that_pulls_to_one_side_does_not_push_the_box_off_the_picture() -> None:
    image = pixels(kept("edge-heavy-end"))
    assert image[:, 27].max() > 0
    assert image.sum(axis=0) @ np.arange(28) / image.sum() < 13.9


def test_a_line_is_as_wide_as_the_pen() -> None:
    for name, axis in (("edge-horizontal", 0), ("edge-vertical", 1)):
        image = pixels(kept(name)) / 255
        np.testing.assert_allclose(np.sort(image.sum(axis=axis))[-15:], PEN, atol=0.05)


def test_where_and_how_large_it_was_drawn_does_not_matter() -> None:
    strokes = kept("3-school")["strokes"]
    image = rasterize(strokes)
    for scale, x, y in ((4, 0, 0), (0.5, 1024, -64), (1, -4096, 512)):  # powers of two: nothing is rounded
        moved = [[[scale * p + x, scale * q + y] for p, q in stroke] for stroke in strokes]
        assert np.abs(rasterize(moved).astype(int) - image).max() <= 1


def test_as_much_ink_as_mnist_has() -> None:
    data = load("sample").train
    theirs = [data.images[data.labels == digit].mean() for digit in range(10)]
    tables = [kept(name) for name in NAMES if not name.startswith("edge")]
    ours = [np.mean([pixels(each) for each in tables if each["label"] == digit]) for digit in range(10)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.05)
    np.testing.assert_allclose(ours, theirs, rtol=0.25)


def test_many_points_are_drawn_in_parts() -> None:
    turn = np.linspace(0, 2 * np.pi, 2000)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    np.testing.assert_array_equal(
        rasterize([circle.tolist()]), rasterize([circle[:1000].tolist(), circle[999:].tolist()])
    )
