"""The rungs of the course, and the grading of their exercises."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tinynet.errors import ConfigError
from tinynet.learn import progress
from tinynet.learn.exercise import Exercise
from tinynet.learn.verdict import judge


@dataclass(frozen=True)
class Rung:
    """One notebook of the course."""

    number: int
    title: str
    notebook: str
    """The name of its file."""

    def exercises(self) -> tuple[Exercise, ...]:
        """Its exercises, from tinynet/learn/rungs/rungNN.py."""
        found: tuple[Exercise, ...] = import_module(f"tinynet.learn.rungs.rung{self.number:02}").EXERCISES
        return found


RUNGS = (
    Rung(0, "Look at the data", "00-look-at-the-data.ipynb"),
    Rung(1, "One neuron", "01-one-neuron.ipynb"),
    Rung(2, "Ten neurons", "02-ten-neurons.ipynb"),
    Rung(3, "A layer of your own", "03-a-layer-of-your-own.ipynb"),
    Rung(4, "Two layers", "04-two-layers.ipynb"),
    Rung(5, "How to walk downhill", "05-how-to-walk-downhill.ipynb"),
    Rung(6, "Convolution", "06-convolution.ipynb"),
    Rung(7, "Pooling and BatchNorm", "07-pooling-and-batchnorm.ipynb"),
    Rung(8, "Not learning by heart", "08-not-learning-by-heart.ipynb"),
    Rung(9, "Read a result", "09-read-a-result.ipynb"),
    Rung(10, "Why it is fast", "10-why-it-is-fast.ipynb"),
    Rung(11, "Your own hand", "11-your-own-hand.ipynb"),
    Rung(12, "Ship it", "12-ship-it.ipynb"),
    Rung(13, "99.7 %", "13-99-7-percent.ipynb"),
)


def rung(number: str) -> Rung:
    """The rung of this number, such as 06 or 6. Raises ConfigError where there is none."""
    for each in RUNGS:
        if number in (f"{each.number:02}", str(each.number)):
            return each
    titles = {each.title.lower(): each for each in RUNGS}
    asked = number.strip().lower()
    close = [title for title in titles if asked and asked in title]
    close += difflib.get_close_matches(asked, titles, 1)
    raise ConfigError(
        f"there is no rung {number!r}",
        expected=f"a number from 00 to {RUNGS[-1].number:02}",
        fix=f"did you mean {titles[close[0]].number:02}, {titles[close[0]].title}?" if close else None,
    )


def exercise(name: str) -> Exercise:
    """The exercise of this name, such as 06.col2im. Raises ConfigError where there is none."""
    number, _, function = name.partition(".")
    rungs = [each for each in RUNGS if number in (f"{each.number:02}", str(each.number))]
    known = {each.name: each for its in rungs for each in its.exercises()}
    full = f"{number:0>2}.{function}"
    if full not in known:
        close = difflib.get_close_matches(full, known, 1)
        raise ConfigError(
            f"there is no exercise {name!r}",
            expected=", ".join(known) or f"a rung from 00 to {RUNGS[-1].number}, a dot, and a name",
            fix=f"did you mean {close[0]}?" if close else None,
        )
    return known[full]


def check(name: str, function: Callable[..., Any]) -> None:
    """Grade the student's `function` for the exercise `name`, and say how it went.

    Right answers are kept as progress; a function of another name, such as a solution's, does not count.
    """
    asked = exercise(name)
    verdict = judge(asked, lambda: function)
    print(verdict)
    if verdict.is_right and getattr(function, "__name__", "") == asked.function:
        progress.record(asked.name)
