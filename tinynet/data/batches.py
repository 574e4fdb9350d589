"""Batches of a data set in a random order that is a function of (seed, epoch) and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tinynet.backends.base import Backend
from tinynet.backends.workspace import Workspace
from tinynet.checks import whole
from tinynet.data import mixing
from tinynet.data.augmentation import Augmentation
from tinynet.distortions import Distortions
from tinynet.distributed.group import ALONE, Group, Shard
from tinynet.errors import DataError, NonFiniteError, ShapeError
from tinynet.rng import LOW_32, Key, Stream
from tinynet.types import Array

Batch: TypeAlias = tuple[Array, ...]
"""Inputs, targets and, if there are any, weights of some samples."""


DRAWN_TOGETHER = 4096
"""Images whose distortions are drawn at a time: on the host that takes 1.1 ms, and 0.15 ms for 64 of them."""


class Place(NamedTuple):
    """Where a batch lies, by numbers or by the columns of a plan that has them: see `Backend.begin_step`."""

    first: int
    """Where in the epoch's order it begins."""
    batch: int
    """Its number, counted over all epochs; names what is drawn for a batch as a whole."""
    epoch: int
    """The number of the epoch, from 0; names the distortions of its images."""


class Order:
    """Samples in an order drawn for each epoch, each distorted as drawn for it; all of that on the device."""

    def __init__(self, arrays: Sequence[Array], augmentation: Augmentation | None, backend: Backend) -> None:
        self._arrays, self._backend = arrays, backend
        self._augmentation = augmentation if augmentation is not None and augmentation.distorts else None
        self.order = backend.asarray(np.zeros(len(arrays[0]), np.int64))
        """int64 (M,), as last shuffled; epoch after epoch where a recording reads it."""
        self._key = Key(0, Stream.AUGMENTATION)
        self._ahead = backend.bound_to(Workspace(), "ahead")
        self._drawn: tuple[range, Distortions] | None = None

    def shuffle(self, order: Key, distortions: Key) -> None:
        """Draw another order, and from now on other distortions, by these keys."""
        self.order[...] = self._backend.permutation(order, len(self.order))
        self._key, self._drawn = distortions, None

    def batch(self, place: Place, count: int, before: int) -> Batch:
        """The `count` samples from the place on; `before` more of their batch lie in front."""
        index = self.order[place.first : place.first + count]
        taken = tuple(self._backend.take(array, index) for array in self._arrays)
        if self._augmentation is None:
            return taken
        drawn = self._drawn_ahead(self._augmentation, place.first, place.first + count)
        return self._distorted(self._augmentation, taken, drawn, place.batch, before)

    def next_batch(self, plan: Array, now: Array, at: Place, count: int) -> Batch:
        """The same, whole, at the place that the plan's present row has in the columns `at`."""
        taken = self._backend.begin_step(plan, now, at.first, self.order, self._arrays, count)
        if self._augmentation is None:
            return taken
        numbers: list[Any] = [now[column, ...] for column in at]
        first, batch, epoch = numbers
        key = self._key._replace(step=epoch)
        drawn = self._augmentation.draw(key, count, self._size, self._backend, first)
        return self._distorted(self._augmentation, taken, drawn, batch, 0)

    @property
    def _size(self) -> tuple[int, int]:
        height, width = self._arrays[0].shape[1:3]
        return height, width

    def _drawn_ahead(self, augmentation: Augmentation, first: int, stop: int) -> Distortions:
        """Those of the places [first, stop). More are drawn than that: what follows is asked for next."""
        if self._drawn is None or not (first in self._drawn[0] and stop <= self._drawn[0].stop):
            ready = range(first, max(stop, min(len(self.order), first + DRAWN_TOGETHER)))
            self._drawn = ready, augmentation.draw(self._key, len(ready), self._size, self._ahead, first)
        ready, drawn = self._drawn
        return drawn.rows(first - ready.start, stop - ready.start)

    def _distorted(
        self, augmentation: Augmentation, taken: Batch, drawn: Distortions, batch: Any, before: int
    ) -> Batch:
        (x, *known), key = taken, self._key._replace(layer=1, step=batch)
        return augmentation.apply(x, drawn, key, self._backend, before), *known


class Batches:
    """Samples and targets in their own dtype on the backend's device; a batch is gathered when asked for.

    inputs (M, …), targets (M,) class numbers or (M, …) values. The last batch of an epoch may be smaller.
    A batch is (inputs, targets), or with `weights` of the samples (M,), (inputs, targets, weights).

    Of several processes in a `group` each gets its shard of every batch.

    With an `augmentation` the shuffled images are distorted, anew in every epoch; those `in_order` never are.
    Where it mixes them, the partners have distortions of their own, and targets are soft, float64
    (N, `classes`): see `mixing`. A batch stays valid until the next is asked for.
    """

    def __init__(
        self,
        inputs: Array,
        targets: Array,
        batch_size: int,
        backend: Backend,
        augmentation: Augmentation | None = None,
        group: Group = ALONE,
        weights: Array | None = None,
        classes: int = 0,
    ) -> None:
        check_samples(inputs, targets)
        if augmentation is not None:
            augmentation.check(inputs)
        batch_size = whole(batch_size, "training", "batch_size", least=1)
        self.augmentation, self.group, self.classes = augmentation, group, classes
        self._workspace = Workspace()
        self.backend = backend.bound_to(self._workspace, "batches")
        self.batch_size = batch_size
        self.samples = len(inputs)
        self._count = -(-self.samples // batch_size)
        self._shard = group.shard(batch_size)
        self._last_shard = group.shard(self.samples - (len(self) - 1) * batch_size)
        self.inputs = backend.asarray(inputs)
        self.targets = backend.asarray(targets.astype(np.int64) if targets.dtype.kind in "iu" else targets)
        self.arrays = [self.inputs, self.targets]
        if weights is not None:
            self.arrays.append(backend.asarray(weights))
        self._own = Order(self.arrays, augmentation, self.backend)
        self._partners: Order | None = None
        self._mixtures: mixing.Mixtures | None = None
        self._epoch = 0

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._count

    def release_memory(self) -> None:
        """Let go of the memory that batches are gathered in; what is needed of it is allocated anew."""
        self._workspace.release()

    def shard(self, number: int) -> Shard:
        """What this process gets of batch `number` (from 0) of an epoch."""
        return self._last_shard if number == self._count - 1 else self._shard

    def alike(self, number: int) -> int:
        """How many batches, from that number on, have the size of that one."""
        rest = len(self) - number
        return rest if self._last_shard == self._shard else max(1, rest - 1)

    def shuffle(self, seed: int, epoch: int) -> None:
        """Put the samples into the order of epoch number `epoch` (from 0), and draw its distortions."""
        order, distortions = (Key(seed, each, step=epoch) for each in (Stream.ORDER, Stream.AUGMENTATION))
        self._own.shuffle(order, distortions)
        self._epoch = epoch
        if self.augmentation is None or not self.augmentation.mixes:
            return
        key = Key(seed, Stream.MIXING, step=epoch)
        if self._partners is None:
            ops = self.backend.bound_to(self._workspace, "partners")
            self._partners = Order(self.arrays, self.augmentation, ops)
        self._partners.shuffle(key._replace(layer=2), key)
        chosen, (height, width) = self.augmentation, self.inputs.shape[1:3]
        drawn = mixing.draw(chosen.mixup, chosen.cutmix, key._replace(layer=3), self.samples, (height, width))
        self._mixtures = drawn.on(self.backend)

    def place(self, number: int) -> Place:
        """That of batch `number` of the epoch shuffled last."""
        first = number * self.batch_size + self.shard(number).first
        return Place(first, (self._epoch * len(self) + number) & LOW_32, self._epoch)

    def batch(self, number: int) -> Batch:
        """Batch `number` (from 0) of the epoch that was shuffled last."""
        shard = self.shard(number)
        place, count = self.place(number), shard.stop - shard.first
        own = self._own.batch(place, count, shard.first)
        if self._partners is None or self._mixtures is None:
            return own
        partners = self._partners.batch(place, count, shard.first)
        return self._mixed(own, partners, self._mixtures.rows(place.first, place.first + count))

    @property
    def order(self) -> Array:
        """int64 (M,), on the device: the samples as they follow each other in the epoch shuffled last."""
        return self._own.order

    @property
    def gathers(self) -> bool:
        """Whether `next_batch` makes batches: not where images are mixed, which is array arithmetic."""
        return self.augmentation is None or not self.augmentation.mixes

    def next_batch(self, plan: Array, now: Array, at: Place, size: int) -> Batch:
        """The batch of `size` samples that the plan's present row names, which comes to `now`.

        `at`: the columns in which a row has the numbers that `place` gives. It is made of the same operations
        for every batch of a size, and of nothing else.
        """
        return self._own.next_batch(plan, now, at, size)

    def epoch(self, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch number `epoch` (from 0) in its shuffled order, from batch `start` on."""
        self.shuffle(seed, epoch)
        return map(self.batch, range(start, len(self)))

    def in_order(self) -> Iterator[Batch]:
        """All batches in stored order; of several processes, each has some of the samples."""
        mine = self.backend.asarray(np.arange(self.group.rank, self.samples, self.group.size))
        for first in range(0, len(mine), self.batch_size):
            yield tuple(
                self.backend.take(array, mine[first : first + self.batch_size]) for array in self.arrays
            )

    def _mixed(self, one: Batch, other: Batch, drawn: mixing.Mixtures) -> Batch:
        (x, t, *v), (y, u, *w), xp = one, other, self.backend.xp
        weights = (v[0], w[0]) if v else None
        targets = mixing.mix_targets(self._soft(t), self._soft(u), drawn.share, weights, xp)
        return mixing.mix(x, y, drawn, xp), *targets

    def _soft(self, targets: Array) -> Array:
        """Class numbers (N,) as rows (N, K) of a 1 and zeros; soft targets as they are."""
        if targets.ndim > 1:
            return targets
        rows: Array = (targets[:, None] == self.backend.xp.arange(self.classes)).astype("float64")
        return rows


def check_samples(inputs: Array, targets: Array) -> None:
    """Raise unless there is at least one sample, a target for each, and no NaN or infinity among them."""
    if inputs.ndim == 0 or targets.ndim == 0:
        raise ShapeError(
            "samples and targets have their number as first axis",
            expected="inputs (N, …) and targets (N,) or (N, …)",
            received=f"{inputs.shape} and {targets.shape}",
        )
    if len(inputs) != len(targets):
        raise ShapeError(
            "each sample needs one target", expected=f"{len(inputs)} targets", received=len(targets)
        )
    if len(inputs) == 0:
        raise DataError("the data set is empty", expected="at least one sample", received=0)
    for name, array in (("inputs", inputs), ("targets", targets)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argmax(~np.isfinite(array).reshape(len(array), -1).all(axis=1)))
            raise NonFiniteError(
                f"the {name} hold a NaN or an infinity",
                expected="finite numbers",
                received=f"the first in row {row}",
                fix="clean or drop that row",
            )
