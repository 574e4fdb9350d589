"""Two contenders compared round by round, so that what slows the machine falls on both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tinynet.benchmark.turns import Summary, Turn, clean, summary


class Comparison(NamedTuple):
    ours: Summary
    theirs: Summary
    ratio: Summary
    """Of ours / theirs, round by round."""
    kept: int
    discarded: int


def compare(ours: Sequence[Turn], theirs: Sequence[Turn], most_lost: float) -> Comparison | None:
    """Over the rounds that are clean for both; None if there are none."""
    pairs = [pair for pair in zip(ours, theirs, strict=True) if clean(*pair, most_lost=most_lost)]
    if not pairs:
        return None
    a, b = ([turn.value for turn in side] for side in zip(*pairs, strict=True))
    ratios = [x / y for x, y in zip(a, b, strict=True)]
    return Comparison(summary(a), summary(b), summary(ratios), len(pairs), len(ours) - len(pairs))


def disagreement(ours: Sequence[float], theirs: Sequence[float], tolerances: Sequence[float]) -> str | None:
    """What differs by more than its tolerance, relative for numbers above 1; None if nothing does."""
    if len(ours) != len(theirs):
        return f"{len(ours)} numbers against {len(theirs)}"
    for place, (a, b, tolerance) in enumerate(zip(ours, theirs, tolerances, strict=True), start=1):
        if not abs(a - b) <= tolerance * max(1.0, abs(a)):  # a NaN agrees with nothing
            return f"number {place} of {len(ours)} is {a:.6g} for us, {b:.6g} for them"
    return None
