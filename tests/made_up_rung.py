"""A rung made up for tests: two easy exercises in place of rung 0, in this process and in those it starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.learn import ladder
from tinynet.learn.exercise import Exercise
from tinynet.learn.grading import agree, answer

TESTS = Path(__file__).resolve().parent
X = np.arange(1.0, 7.0).reshape(2, 3)
RIGHT = {
    "double": "def double(x):\n    return 2 * x\n",
    "row_sums": "def row_sums(x):\n    return x.sum(axis=1)\n",
}
"""Right answers."""


def _grade_double(f: Callable[..., Any]) -> None:
    agree(answer(f, X, shape=X.shape), 2.0 * X, "2 x", {"x squared": X * X})


def _grade_row_sums(f: Callable[..., Any]) -> None:
    agree(answer(f, X, shape=(2,)), X.sum(axis=1), "the sums")


EXERCISES = (
    Exercise("00.double", "Return 2 x for x (N, I).", _grade_double),
    Exercise("00.row_sums", "Return the sums (N,) of the rows of x (N, I).", _grade_row_sums),
)


def install(monkeypatch: Any) -> None:
    """Make these the only exercises of the course."""
    monkeypatch.setitem(sys.modules, "tinynet.learn.rungs.rung00", sys.modules[__name__])
    monkeypatch.setattr(ladder, "RUNGS", ladder.RUNGS[:1])
    path = os.pathsep.join([str(TESTS / "made_up"), str(TESTS), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path.rstrip(os.pathsep))
