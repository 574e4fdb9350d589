"""Training and test part of data that came in one piece."""

from __future__ import annotations

import numpy as np

from tinynet.errors import DataError
from tinynet.rng import Key, Stream, permutation
from tinynet.types import Array

TEST_SHARE = 0.2


def shuffled(*columns: Array) -> tuple[Array, ...]:
    """Arrays (N, …) in an order that is the same every time: what is held out for validation then has all
    classes."""
    order = permutation(Key(0, Stream.ORDER), len(columns[0]))
    return tuple(column[order] for column in columns)


def held_out(what: object, labels: Array, share: float | None) -> Array:
    """Which samples become the test part, bool (N,): of each class the first ones, that share of it, at least
    one and never all.

    labels   (N,)   share   a fifth when it is not given; 0: none

    Raises DataError where every class has one sample alone; `what` says whose they are.
    """
    share = TEST_SHARE if share is None else share
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels) if share else ():
        members = np.flatnonzero(labels == label)
        chosen[members[: min(len(members) - 1, max(1, round(share * len(members))))]] = True
    if share and not chosen.any():
        raise DataError(
            f"{what} has too few images for a test part",
            expected="two or more of a class",
            received=f"{len(labels)} in all",
            fix="give more, or learn from all of them: --test 0 --validation 0",
        )
    return chosen


def training_rows(what: object, rows: int, share: float | None) -> int:
    """How many rows come before the last ones, which become the test part: that share of all, a fifth when it
    is not given. DataError where a part would be empty; `what` says whose rows they are."""
    count = rows // round(1 / TEST_SHARE) if share is None else round(share * rows)
    if not rows - count > 0 or (share != 0 and not count):
        raise DataError(
            f"{what} is too short to split",
            expected="5 rows or more" if share is None else "rows for both parts",
            received=f"{rows}" + ("" if share is None else f", of which a share of {share:g} is {count}"),
            fix="give more rows, or learn from all of them: --test 0 --validation 0",
        )
    return rows - count
