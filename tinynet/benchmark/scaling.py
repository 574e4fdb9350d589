"""What more threads gain: epochs of one net with one thread and with several, in turn.

Amdahl's law ("Validity of the single processor approach to achieving large scale computing capabilities",
1967). One thread alone does the share s of the work, p threads divide the rest. Then S, how many times as
fast they are as one thread, is

    1/S = s + (1 - s)/p        so        s = (p/S - 1) / (p - 1)

and no number of threads is more than 1/s times as fast. A share found in this way counts all that keeps S
below p as serial: work that is not divided, waiting, uneven parts, memory and power that the cores share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tinynet.benchmark import nets
from tinynet.benchmark.harness import Conditions, Contender, Process, write_digits, write_net
from tinynet.benchmark.rows import Row
from tinynet.benchmark.turns import Summary, TakeTurn, Turn, clean, play, summary

SAMPLES = 6400
"""Images of an epoch: 100 batches of 64."""
FORESEEN = (8, 16)
"""Numbers of cores for which the law is asked."""


class Scaling(NamedTuple):
    """Epochs with one thread and with `threads`."""

    threads: int
    alone: Summary
    """Seconds of an epoch with one thread."""
    together: Summary
    """Seconds with all threads."""
    speedup: Summary
    """alone / together, formed within each round."""
    kept: int
    discarded: int

    @property
    def serial_share(self) -> Summary:
        """Of the median speed-up, and between the shares of its quartiles."""
        first, third = self.speedup.third, self.speedup.first  # faster: less is serial
        return Summary(*(serial_share(s, self.threads) for s in (self.speedup.median, first, third)))

    @property
    def foreseen(self) -> dict[int, float]:
        """The speed-up by Amdahl's law on more cores than these: of `FORESEEN`, those."""
        share = self.serial_share.median
        return {cores: speedup(share, cores) for cores in FORESEEN if cores > self.threads}

    def as_dict(self) -> dict[str, Any]:
        """Named values, all the way down; times in seconds."""
        own = {
            name: part._asdict() if isinstance(part, Summary) else part
            for name, part in self._asdict().items()
        }
        return own | {"serial_share": self.serial_share._asdict(), "foreseen": self.foreseen}


def serial_share(speedup: float, threads: int) -> float:
    """s of a speed-up S that was measured with p threads: within 0 (S = p or more) and 1 (S = 1 or less)."""
    return min(1.0, max(0.0, (threads / speedup - 1) / (threads - 1)))


def speedup(share: float, threads: int) -> float:
    """S of p threads where the share s is serial."""
    return 1 / (share + (1 - share) / threads)


def measure(
    row: Row, contender: Contender, conditions: Conditions, on_round: Callable[[], None]
) -> Scaling | None:
    """Measure with one thread and with the threads of `conditions`; None if no round was clean."""
    folder = conditions.folder / row.name
    folder.mkdir()
    write_digits(folder, SAMPLES)
    write_net(folder, row.net, nets.load(row.net))
    several = conditions._replace(folder=folder)
    one = several._replace(threads=1)
    with (
        Process(contender, row.net, row.batch, one) as alone,
        Process(contender, row.net, row.batch, several) as together,
    ):
        turns = {"alone": _epochs(alone, one), "together": _epochs(together, several)}
        rounds = min(conditions.rounds, row.most_rounds)
        played = play(turns, rounds, conditions.most_lost_in(row), on_round)
    return scaling(played["alone"], played["together"], several.threads, conditions.most_lost_in(row))


def _epochs(process: Process, conditions: Conditions) -> TakeTurn:
    process.ask("warm", what="epoch", seconds=conditions.seconds)
    return lambda: process.timed("turn")


def scaling(
    alone: Sequence[Turn], together: Sequence[Turn], threads: int, most_lost: float
) -> Scaling | None:
    """Over the rounds that are clean for both; None if there are none."""
    pairs = [pair for pair in zip(alone, together, strict=True) if clean(*pair, most_lost=most_lost)]
    if not pairs:
        return None
    one, several = (summary([turn.value for turn in side]) for side in zip(*pairs, strict=True))
    ratios = summary([a.value / b.value for a, b in pairs])
    return Scaling(threads, one, several, ratios, len(pairs), len(alone) - len(pairs))


def in_words(found: Scaling, net: str) -> str:
    """What was measured, the serial share, and what it lets more cores expect."""
    times = f"{found.alone.median:.2f} s with one thread, {found.together.median:.2f} s with {found.threads}"
    speed = f"{found.speedup.median:.2f} ± {found.speedup.spread:.2f} times as fast"
    text = f"An epoch of {net} with {SAMPLES:,} images takes {times}: {speed}."
    share = found.serial_share
    if share.median == 1:
        return f"{text} More threads gain nothing here."
    if share.median == 0:
        return f"{text} All of the work is divided; no serial share can be seen."
    between = f"{share.first:.0%} to {share.third:.0%}"
    text += f" By Amdahl's law {share.median:.0%} of one thread's time is serial (quartiles {between})."
    expected = [f"{cores} cores would be {gain:.1f} times" for cores, gain in found.foreseen.items()]
    expected.append(f"any number at most {1 / share.median:.0f} times")
    return f"{text} With that share {', '.join(expected)} as fast as one."
