"""Turns: single measurements, taken in rounds; those that lost processor time to others do not count."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

PAUSE = 0.05
"""Seconds before a turn: some libraries' threads spin on for a while, on cores that the next one needs."""
SCALES = {"ms": 1e3, "s": 1.0, "MiB": 1.0}
"""What a measurement (in seconds or MiB) is multiplied by to be shown in a unit."""

TakeTurn: TypeAlias = Callable[[], tuple[float, float]]
"""Returns what was measured, and the processor time (s) that the contender used for it."""


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


def summary(values: Sequence[float]) -> Summary:
    first, median, third = np.percentile(values, [25, 50, 75])
    return Summary(float(median), float(first), float(third))


def figure(found: Summary, scale: float = 1.0) -> str:
    """Median ± spread with three significant digits of the median."""
    median, spread = scale * found.median, scale * found.spread
    digits = next((d for d in range(4) if round(abs(median), d) * 10**d >= 100), 3)
    return f"{median:.{digits}f} ± {spread:.{digits}f}"


def clean(*turns: Turn, most_lost: float) -> bool:
    """Whether the processors were ours in all of these turns, but for a share of `most_lost`."""
    return all(turn.lost <= most_lost for turn in turns)


def play(
    turns: Mapping[str, TakeTurn], rounds: int, most_lost: float, on_round: Callable[[], None]
) -> dict[str, list[Turn]]:
    """Everyone in turn, round after round, until `rounds` are clean or twice as many were played."""
    played: dict[str, list[Turn]] = {name: [] for name in turns}
    clean_rounds = 0
    for _ in range(2 * rounds):
        for name, take_turn in turns.items():
            time.sleep(PAUSE)
            played[name].append(watched(take_turn))
        on_round()
        clean_rounds += clean(*(own[-1] for own in played.values()), most_lost=most_lost)
        if clean_rounds == rounds:
            break
    return played


def watched(take_turn: TakeTurn) -> Turn:
    """A turn, and what was lost to others in it."""
    before = CpuTimes.now()
    value, own = take_turn()
    return Turn(value, before.lost_until(CpuTimes.now(), own))


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
