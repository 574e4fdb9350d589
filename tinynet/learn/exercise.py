"""An exercise: a function that the student writes, and the grader that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Wrong(Exception):
    """An answer is not right: what was expected, what came, and the likely slip."""


@dataclass(frozen=True)
class Exercise:
    """One exercise. `name`: the number of its rung, a dot, and the function to write, such as 06.col2im."""

    name: str
    task: str
    """What to write, in one sentence."""
    grade: Callable[[Callable[..., Any]], None]
    """Call the student's function and raise `Wrong` where it is not right."""

    @property
    def rung(self) -> int:
        return int(self.name.split(".")[0])

    @property
    def function(self) -> str:
        """The name that the student's function has."""
        return self.name.split(".")[1]
