"""Batches: each process of a group has its part of the same batch, distorted alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from members import BATCH, IMAGES, LABELS, MIXED, STRONG, members

import tinynet as tn
from tinynet.data.augmentation import Augmentation
from tinynet.data.batches import Batches
from tinynet.distributed.group import ALONE, Group


@pytest.mark.parametrize("augmentation", [None, STRONG, MIXED])
def test_the_parts_of_each_batch_are_that_batch(augmentation: Augmentation | None, backend: str) -> None:
    """Distorted alike, too, even where 7 × 7 pixels before a part took half a random word."""

    def batches(group: Group) -> list[Any]:
        ops = tn.backends.get(backend)
        made = Batches(IMAGES, LABELS, BATCH, ops, augmentation, group, classes=10)
        return [
            (ops.to_host(x).copy(), ops.to_host(y).copy()) for x, y in made.epoch(seed=3, epoch=2, start=1)
        ]

    whole = batches(ALONE)[:-1]  # the last is smaller than the group
    for number, (x, y) in enumerate(whole):
        shards = [batches(member)[number] for member in members(4)]  # the second begins with sample 3
        np.testing.assert_array_equal(np.concatenate([shard[0] for shard in shards]), x)
        np.testing.assert_array_equal(np.concatenate([shard[1] for shard in shards]), y)
        assert all(len(shard[1]) < len(y) for shard in shards)


@pytest.mark.parametrize("augmentation", [STRONG, MIXED])
def test_distortions_are_the_same_however_many_are_drawn_together(
    augmentation: Augmentation, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for together in (4096, 1, 2 * BATCH + 1):
        monkeypatch.setattr("tinynet.data.batches.DRAWN_TOGETHER", together)
        made = Batches(IMAGES, LABELS, BATCH, tn.backends.get(backend), augmentation, classes=10)
        to_host = made.backend.to_host
        for epoch, start in ((1, 0), (2, 1), (2, 0)):
            found.append([to_host(x).tobytes() for x, _ in made.epoch(3, epoch, start)])
    assert found[:3] == found[3:6] == found[6:]
    assert found[2][1:] == found[1]


def test_in_order_each_process_has_samples_of_its_own() -> None:
    def targets(group: Group) -> list[int]:
        made = Batches(IMAGES, np.arange(40), 5, tn.backends.get("numpy"), group=group)
        return [target for _, y in made.in_order() for target in y.tolist()]

    assert targets(ALONE) == list(range(40))
    assert sorted(target for member in members(3) for target in targets(member)) == list(range(40))
