"""Two contenders compared round by round, so that what slows the machine falls on both."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Turn(NamedTuple):
    """One measurement, and the share of our processors that went to others meanwhile."""

    value: float
    lost: float = 0.0


class Summary(NamedTuple):
    median: float
    first: float
    """The first quartile."""
    third: float

    @property
    def spread(self) -> float:
        """Half the interquartile range."""
        return (self.third - self.first) / 2


class Comparison(NamedTuple):
    ours: Summary
    theirs: Summary
    ratio: Summary
    """Of ours / theirs, round by round."""
    kept: int
    discarded: int


def summary(values: Sequence[float]) -> Summary:
    first, median, third = np.percentile(values, [25, 50, 75])
    return Summary(float(median), float(first), float(third))


def clean(*turns: Turn, most_lost: float) -> bool:
    """Whether the processors were ours in all of these turns, but for a share of `most_lost`."""
    return all(turn.lost <= most_lost for turn in turns)


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


class CpuTimes(NamedTuple):
    """Seconds since the machine started, summed over the processors that we may use."""

    busy: float = 0.0
    stolen: float = 0.0
    """What the hypervisor gave to other machines."""
    total: float = 0.0

    @classmethod
    def now(cls, stat: Path = Path("/proc/stat")) -> CpuTimes:
        """All zero where the system does not say."""
        if not stat.exists():
            return cls()
        ours = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        lines = [line.split() for line in stat.read_text().splitlines()]
        ticks = np.array([line[1:9] for line in lines if line[0] in ours], dtype=float).sum(axis=0)
        user, nice, system, _, _, irq, softirq, stolen = ticks / os.sysconf("SC_CLK_TCK")
        return cls(user + nice + system + irq + softirq, stolen, ticks.sum() / os.sysconf("SC_CLK_TCK"))

    def lost_until(self, later: CpuTimes, own: float) -> float:
        """The share that went to the hypervisor, and to programs but the one that used `own` seconds."""
        passed = CpuTimes(*(b - a for a, b in zip(self, later, strict=True)))
        return (passed.stolen + max(0.0, passed.busy - own)) / passed.total if passed.total else 0.0
