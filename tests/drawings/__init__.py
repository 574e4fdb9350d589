"""Pictures of known digits, for tests and measurements: who wrote them (hands.py), and how they were taken
(conditions.py).

Two sets share no hand, no font and no seed. The reader in tinynet/data/pictures was built by looking at
DEVELOPMENT; its figures are those of HELD_OUT.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from drawings.conditions import CLEAN, CONDITIONS
from drawings.hands import HANDS
from drawings.pen import Writer

__all__ = ["CLEAN", "CONDITIONS", "DEVELOPMENT", "HELD_OUT", "Drawing", "Set", "draw"]


class Set(NamedTuple):
    """Who writes, and the numbers that fix each writer's tremor, the light and the noise."""

    hands: tuple[str, ...]
    fonts: tuple[str, ...]
    seed: int


DEVELOPMENT = Set(("school", "quick", "european"), ("DejaVuSans", "DejaVuSansMono", "STIXGeneral"), 1000)
HELD_OUT = Set(("round", "angular", "looped"), ("DejaVuSerif", "cmr10", "DejaVuSans-Bold"), 2000)


class Drawing(NamedTuple):
    condition: str
    hand: str
    digit: int
    file: bytes
    """A whole file: PNG, JPEG or TIFF."""


def draw(chosen: Set, condition: str, each: int) -> Iterator[Drawing]:
    """`each` drawings of every digit under that condition, the hands in turn."""
    for digit in range(10):
        for turn in range(each):
            words = [chosen.seed, list(CONDITIONS).index(condition), digit, turn]
            random = np.random.default_rng(words)
            which = (digit + turn) % len(chosen.hands)
            writer = Writer(HANDS[chosen.hands[which]], chosen.fonts[which], digit, random)
            name = chosen.fonts[which] if condition == "printed font" else chosen.hands[which]
            yield Drawing(condition, name, digit, CONDITIONS[condition](writer, random))
