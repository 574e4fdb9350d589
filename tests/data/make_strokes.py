"""How tests/data/strokes was made: python make_strokes.py FOLDER

A file is a drawing {"strokes": [[[x, y], …], …], "label": 7} as a page keeps it, and in base64 the 784
bytes that it is to become: "pixels". Sixty are the digits of six hands, leaning, trembling, of any size and
anywhere; the others are the edges of what can be drawn. Equal code gives equal files.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from drawings.hands import HANDS, Hand

from tinynet.data.strokes import rasterize

Strokes = list[list[list[float]]]
EDGES: dict[str, Strokes] = {
    "nothing": [],
    "no-points": [[], []],
    "one-point": [[[140.5, 60.25]]],
    "equal-points": [[[3, 4], [3, 4], [3, 4]], [[3, 4]]],
    "two-points": [[[0, 0]], [[1, 0.5]]],
    "horizontal": [[[10, 50], [60, 50], [200, 50]]],
    "vertical": [[[50, 200], [50, 10]]],
    "diagonal": [[[0, 0], [1, 1]]],
    "back-and-forth": [[[0, 0], [100, 30], [0, 0], [100, 30]]],
    "huge": [[[-1e300, 4e299], [1e300, -1e300], [0, 1e300]]],
    "tiny": [[[0, 0], [1e-300, 2e-300], [5e-324, 0]]],
    "far-away": [[[1e15, 1e15], [1e15 + 1, 1e15 + 3]]],
    "negative": [[[-200.5, -10], [-150, -90], [-100.5, -10]]],
    "heavy-end": [[[15.0 * n, 300.0 * (n % 2)] for n in range(7)] + [[90.0, 150.0], [300.0, 150.0]]],
}


def drawing(hand: Hand, digit: int, random: np.random.RandomState) -> Strokes:
    """The digit as this hand writes it, in pixels of a screen, to a tenth."""
    height, corner = random.uniform(40, 260), random.uniform(-20, 200, 2)
    lean, across = hand.slant + random.uniform(-0.06, 0.06), hand.width * random.uniform(0.9, 1.1)
    strokes = []
    for line in hand.digits[digit]:
        step = 3 if len(line) > 12 else 1  # a curve has twelve points from one corner to the next
        points = np.concatenate([line[:-1:step], line[-1:]]) / 100
        points = points + hand.tremor * random.uniform(-1, 1, points.shape)
        x, y = points.T
        placed = corner + height * np.stack([across * x - lean * y, y], axis=1)
        strokes.append(placed.round(1).tolist())
    return strokes


def drawings() -> dict[str, tuple[Strokes, int | None]]:
    """Every drawing and its label by its name."""
    random = np.random.RandomState(0)  # its stream is frozen for ever, a Generator's is not
    made: dict[str, tuple[Strokes, int | None]] = {
        f"{digit}-{name}": (drawing(hand, digit, random), digit)
        for name, hand in HANDS.items()
        for digit in range(10)
    }
    return {**made, **{f"edge-{name}": (strokes, None) for name, strokes in EDGES.items()}}


def as_json(strokes: Strokes, label: int | None) -> str:
    pixels = base64.b64encode(rasterize(strokes).tobytes()).decode()
    table: dict[str, Any] = {"strokes": strokes, "label": label, "pixels": pixels}
    return json.dumps(table) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    for name, (strokes, label) in drawings().items():
        (folder / f"{name}.json").write_text(as_json(strokes, label), encoding="utf-8")
