"""Batches of a data set in a random order that is a function of (seed, epoch) and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np

from tinynet.backends.base import Backend
from tinynet.backends.workspace import Workspace
from tinynet.checks import whole
from tinynet.data import mixing
from tinynet.data.augmentation import Augmentation
from tinynet.distributed.group import ALONE, Group, Shard
from tinynet.errors import DataError, NonFiniteError, ShapeError
from tinynet.rng import Key, Stream, permutation
from tinynet.types import Array

Batch: TypeAlias = tuple[Array, ...]
"""Inputs, targets and, if there are any, weights of some samples."""


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
        self.backend = backend.bound_to(Workspace(), "batches")
        self._for_partners = backend.bound_to(Workspace(), "partners")
        self.batch_size = batch_size
        self.samples = len(inputs)
        self._shard = group.shard(batch_size)
        self._last_shard = group.shard(self.samples - (len(self) - 1) * batch_size)
        self.inputs = backend.asarray(inputs)
        self.targets = backend.asarray(targets.astype(np.int64) if targets.dtype.kind in "iu" else targets)
        self.arrays = [self.inputs, self.targets]
        if weights is not None:
            self.arrays.append(backend.asarray(weights))

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.samples // self.batch_size)

    def shard(self, number: int) -> Shard:
        """What this process gets of batch `number` (from 0) of an epoch."""
        return self._last_shard if number == len(self) - 1 else self._shard

    def epoch(self, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch number `epoch` (from 0) in its shuffled order, from batch `start` on."""
        own = self._shuffled(
            Key(seed, Stream.ORDER, step=epoch),
            Key(seed, Stream.AUGMENTATION, step=epoch),
            start,
            self.backend,
        )
        if self.augmentation is None or not self.augmentation.mixes:
            return own
        key = Key(seed, Stream.MIXING, step=epoch)
        partners = self._shuffled(key._replace(layer=2), key, start, self._for_partners)
        return self._mixed(own, partners, self.augmentation, key._replace(layer=3), start)

    def in_order(self) -> Iterator[Batch]:
        """All batches in stored order; of several processes, each has some of the samples."""
        mine = self.backend.asarray(np.arange(self.group.rank, self.samples, self.group.size))
        firsts = range(0, len(mine), self.batch_size)
        return self._gather((mine[first : first + self.batch_size] for first in firsts), self.backend)

    def _place(self, number: int) -> slice:
        """Where in an epoch's order that shard of a batch stands."""
        shard, begin = self.shard(number), number * self.batch_size
        return slice(begin + shard.first, begin + shard.stop)

    def _shuffled(self, order: Key, distortions: Key, start: int, backend: Backend) -> Iterator[Batch]:
        """The batches from `start` on in the order of that key, distorted by the other."""
        places = backend.asarray(permutation(order, self.samples))
        indices = (places[self._place(number)] for number in range(start, len(self)))
        batches = self._gather(indices, backend)
        if self.augmentation is None or not self.augmentation.distorts:
            return batches
        return self._distorted(batches, self.augmentation, distortions, start, backend)

    def _gather(self, indices: Iterable[Array], backend: Backend) -> Iterator[Batch]:
        for index in indices:
            yield tuple(backend.take(array, index) for array in self.arrays)

    def _distorted(
        self, batches: Iterator[Batch], augmentation: Augmentation, key: Key, start: int, backend: Backend
    ) -> Iterator[Batch]:
        drawn = augmentation.draw(key, self.samples, self._size).on(backend)
        for number, (x, *known) in enumerate(batches, start):
            place = self._place(number)
            bend = key._replace(layer=1, step=key.step * len(self) + number)
            own, before = drawn.rows(place.start, place.stop), place.start - number * self.batch_size
            yield augmentation.apply(x, own, bend, backend, before), *known

    def _mixed(
        self, batches: Iterator[Batch], partners: Iterator[Batch], chosen: Augmentation, key: Key, start: int
    ) -> Iterator[Batch]:
        drawn = mixing.draw(chosen.mixup, chosen.cutmix, key, self.samples, self._size).on(self.backend)
        xp = self.backend.xp
        for number, (one, other) in enumerate(zip(batches, partners, strict=True), start):
            place = self._place(number)
            here = drawn.rows(place.start, place.stop)
            (x, t, *v), (y, u, *w) = one, other
            weights = (v[0], w[0]) if v else None
            targets = mixing.mix_targets(self._soft(t), self._soft(u), here.share, weights, xp)
            yield mixing.mix(x, y, here, xp), *targets

    def _soft(self, targets: Array) -> Array:
        """Class numbers (N,) as rows (N, K) of a 1 and zeros; soft targets as they are."""
        if targets.ndim > 1:
            return targets
        rows: Array = (targets[:, None] == self.backend.xp.arange(self.classes)).astype("float64")
        return rows

    @property
    def _size(self) -> tuple[int, int]:
        """Height and width of the images."""
        height, width = self.inputs.shape[1:3]
        return height, width


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
