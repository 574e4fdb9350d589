"""Digits as a person draws them on a screen: strokes of pointer positions, in several shapes of each digit.

No net is trained on them: `bench/freehand.py` measures how many are read. A shape is drawn by a hand that
leans, turns, trembles, goes over its strokes twice, and draws large or small, anywhere on the pad.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from drawings.hands import curve, line
from drawings.pen import dense, tremble
from tinynet.types import Array

SHAPES: dict[int, dict[str, tuple[Array, ...]]] = {
    0: {
        "closed": (curve("52 0, 24 10, 8 48, 22 90, 50 100, 78 88, 92 50, 78 10, 50 0"),),
        "open at the top": (curve("42 4, 18 20, 8 56, 26 94, 56 100, 84 82, 92 40, 72 6, 58 2"),),
        "ends crossed": (curve("62 8, 36 2, 12 30, 14 74, 44 100, 78 84, 88 40, 66 4, 40 0"),),
    },
    1: {
        "bare": (line("50 0, 50 100"),),
        "flag": (line("30 22, 54 0, 54 100"),),
        "flag and foot": (line("32 20, 54 0, 54 100"), line("30 100, 78 100")),
        "long flag": (line("14 46, 56 0, 56 100"),),
    },
    2: {
        "straight foot": (curve("14 24, 32 4, 62 2, 80 22, 70 46, 42 74, 14 99"), line("14 99, 88 99")),
        "looped": (curve("16 22, 36 2, 68 6, 76 32, 54 66, 26 94, 10 92, 16 80, 36 84, 62 98, 90 90"),),
        "curved foot": (curve("12 26, 30 2, 66 2, 80 26, 60 58, 16 96, 40 90, 66 100, 92 92"),),
        "angular": (line("14 16, 40 0, 76 8, 78 30, 12 98, 90 98"),),
    },
    3: {
        "round": (curve("16 14, 44 0, 74 10, 74 34, 46 47, 78 58, 86 82, 54 100, 14 88"),),
        "flat top": (line("16 2, 80 2, 44 42"), curve("44 42, 76 48, 88 72, 64 98, 14 92")),
        "looped": (curve("18 12, 50 0, 76 16, 62 40, 40 48, 44 56, 56 48, 84 64, 76 94, 40 100, 12 84"),),
    },
    4: {
        "open": (line("24 0, 14 56, 88 56"), line("70 20, 66 100")),
        "closed": (line("62 0, 8 66, 92 66"), line("64 8, 64 100")),
        "open, upright": (line("18 2, 18 50, 82 50"), line("80 0, 80 100")),
        "in one stroke": (curve("72 34, 74 6", 4), line("72 4, 10 64, 90 62"), line("72 4, 66 100")),
    },
    5: {
        "hat last": (curve("26 2, 20 44, 54 38, 84 60, 74 92, 40 100, 10 88"), line("26 2, 84 2")),
        "in one stroke": (line("82 2, 28 2, 22 42"), curve("22 42, 52 36, 84 58, 78 90, 44 100, 12 90")),
        "like an S": (curve("84 8, 54 0, 28 12, 28 38, 60 52, 80 74, 62 98, 30 100, 10 88"),),
    },
    6: {
        "curved back": (curve("74 2, 40 18, 14 58, 22 92, 52 100, 80 84, 74 58, 44 52, 18 70"),),
        "straight back": (curve("58 0, 34 34, 16 68, 26 96, 60 100, 80 78, 62 56, 34 60, 18 76"),),
        "hooked": (curve("82 16, 62 0, 32 14, 12 54, 20 90, 52 100, 82 82, 76 56, 46 50, 16 68"),),
    },
    7: {
        "plain": (line("12 2, 86 2, 42 100"),),
        "crossed": (line("12 2, 86 2, 42 100"), line("32 52, 80 48")),
        "with a serif": (line("14 20, 16 2, 86 2, 44 100"),),
        "crossed, with a serif": (line("12 18, 14 2, 88 2, 46 100"), line("34 54, 82 50")),
        "curved": (curve("10 8, 40 10, 86 4, 64 40, 50 72, 46 100"),),
    },
    8: {
        "in one stroke": (curve("76 16, 50 0, 24 16, 46 44, 80 76, 52 100, 22 80, 50 48, 76 20, 70 6"),),
        "two rings": (
            curve("50 2, 26 12, 28 38, 50 46, 74 36, 74 12, 50 2"),
            curve("50 46, 20 58, 16 88, 50 100, 84 88, 80 58, 50 46"),
        ),
        "open at the top": (curve("66 0, 36 8, 30 30, 60 52, 82 78, 54 100, 20 84, 34 58, 66 36, 82 6"),),
    },
    9: {
        "straight leg": (curve("82 20, 56 0, 22 14, 22 42, 52 52, 80 26", 12), line("82 14, 78 100")),
        "curved leg": (curve("80 24, 52 0, 20 18, 26 46, 58 48, 80 18, 82 62, 62 98, 24 94"),),
        "like a g": (curve("78 12, 44 0, 18 24, 36 48, 68 40, 80 8, 76 58, 56 100, 22 96, 12 82"),),
    },
}
"""The strokes of each shape, in a box of 100 x 100, y downwards; see hands.py."""
SEED = 3000
SLANT = 0.2
"""How far the top leans to either side, in heights, at the most."""
TURN = 15.0
"""Degrees to either side, at the most."""
TREMOR = 0.012
"""How far the pen strays, in heights, at the most."""
THICK = 0.06
"""How far beside the first line a second one lies, in heights, at the most; every third drawing has one."""
PAD = (320.0, 320.0)
"""Width and height of the pad, in CSS pixels."""


class Freehand(NamedTuple):
    digit: int
    shape: str
    strokes: list[list[list[float]]]
    """[x, y] of each position of the pointer, in CSS pixels."""


def freehand(each: int) -> Iterator[Freehand]:
    """`each` drawings of every shape, the same ones every time."""
    for digit, shapes in SHAPES.items():
        for number, (name, strokes) in enumerate(shapes.items()):
            for turn in range(each):
                random = np.random.default_rng([SEED, digit, number, turn])
                yield Freehand(digit, name, draw_by_hand(strokes, random))


def draw_by_hand(strokes: tuple[Array, ...], random: np.random.Generator) -> list[list[list[float]]]:
    """One drawing of a shape on the pad."""
    across, lean = random.uniform(0.5, 0.9), random.uniform(-SLANT, SLANT)
    angle = np.radians(random.uniform(-TURN, TURN))
    tall = PAD[1] * random.uniform(0.15, 0.7)
    tremor, speed = random.uniform(0, TREMOR), random.uniform(2, 9)
    placed = []
    for stroke in strokes:
        shaken = tremble(dense(_uneven(stroke, random)), 100 * tremor, random) / 100 - 0.5
        placed.append(
            tall * _turned(np.stack([across * shaken[:, 0] - lean * shaken[:, 1], shaken[:, 1]], 1), angle)
        )
    if random.random() < 1 / 3:
        beside = tall * random.uniform(0, THICK) * np.array([np.cos(angle), np.sin(angle)])
        placed += [stroke + beside for stroke in placed]
    low = np.min([stroke.min(axis=0) for stroke in placed], axis=0)
    high = np.max([stroke.max(axis=0) for stroke in placed], axis=0)
    corner = random.uniform(0, 1, 2) * np.maximum(np.array(PAD) - (high - low), 0) - low
    return [_sampled(stroke + corner, speed) for stroke in placed]


def _uneven(stroke: Array, random: np.random.Generator) -> Array:
    """The stroke bent by a slow wave, so that no two drawings of a shape have the same proportions."""
    phase, size = random.uniform(0, 2 * np.pi, (2, 2)), random.uniform(0, 4, (2, 2))
    waves = [
        size[axis, 0] * np.sin(2 * np.pi * stroke[:, 0] / 160 + phase[axis, 0])
        + size[axis, 1] * np.sin(2 * np.pi * stroke[:, 1] / 160 + phase[axis, 1])
        for axis in (0, 1)
    ]
    return stroke + np.stack(waves, axis=1)


def _turned(points: Array, angle: float) -> Array:
    """Points (N, 2), y downwards, turned clockwise."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _sampled(stroke: Array, step: float) -> list[list[float]]:
    """Where the pointer was seen, every so many pixels, to the tenth of one."""
    positions: list[list[float]] = dense(stroke, step).round(1).tolist()
    return positions
