"""A group of processes that train one model, and the shard of a batch that each computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from tinynet.types import Array


class Group:
    """This process alone: what it has is all there is."""

    rank = 0
    size = 1
    launcher: Sequence[str] = ()
    """What stands before the command to start the same number of processes."""

    def shard(self, samples: int) -> Shard:
        """What this process computes of a batch of so many."""
        return Shard(0, samples, samples, self)

    def all_reduce(self, shard: Shard, grads: Array, loss: Any, sums: Any) -> tuple[Any, Any]:
        """Turn gradients of the mean loss over `shard` into those of the whole batch, in place.

        Returns the loss of the batch, and the sums over it of what is measured.
        """
        return loss, sums

    def sum(self, array: Array, weight: float) -> Array:
        """Σ weight · array over the processes, whose weights add up to 1."""
        return array

    def total(self, *numbers: Any) -> Sequence[Any]:
        """The sum of each number over the processes."""
        return numbers

    def any(self, flag: bool) -> bool:
        """Whether it is so for any process."""
        return flag

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The others enter the block when the first process has left it."""
        yield

    def threads(self) -> int | None:
        """This process' share of the machine's threads; None: all that it may use."""
        return None

    def choose_device(self, use_device: Callable[[int], str]) -> None:
        """Give this process a device of its own, if it can have one: see `Backend.use_device`."""

    def watch(self, advice: str) -> None:
        """Should a process be lost from now on, say so, with that advice."""


class Shard(NamedTuple):
    """The samples [first, stop) of a batch, which one process computes.

    A batch of fewer samples than processes is computed whole by each, and only the first's `counts`.
    """

    first: int
    stop: int
    batch: int
    """Samples in the whole batch."""
    group: Group
    counts: bool = True

    @property
    def share(self) -> float:
        """By which a mean over these samples goes into the mean over the batch."""
        return (self.stop - self.first) / self.batch if self.counts else 0.0

    def mean(self, array: Array) -> Array:
        """The mean over the batch, from an `array` that is the mean over these samples."""
        return self.group.sum(array, self.share)


ALONE = Group()
WHOLE = Shard(0, 1, 1, ALONE)
"""All of a batch, of whatever size."""
