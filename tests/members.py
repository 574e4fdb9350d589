"""Threads in the place of processes: all of a group's arithmetic but the sum itself."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tinynet.data.augmentation import Augmentation
from tinynet.distributed.group import Group
from tinynet.distributed.mpi import MpiGroup
from tinynet.rng import Key, Stream, uniform

IMAGES = (uniform(Key(1, Stream.CHECK), (40, 7, 7, 1)) * 256).astype(np.uint8)
LABELS = np.arange(40) * 7 % 10
STRONG = Augmentation(rotation=20, shift=0.1, elastic=1.0, contrast=0.2, erase=0.1, stroke=1)
MIXED = dataclasses.replace(STRONG, mixup=0.4, cutmix=1.0)
BATCH = 13
"""The fourth batch has one sample: fewer than there are processes."""


class Meeting:
    """Where threads bring what is to be added up."""

    def __init__(self, size: int) -> None:
        self.everyone = threading.Barrier(size, timeout=30)
        self.brought: list[Any] = [None] * size


class Member(MpiGroup):
    """A thread in the place of a process."""

    def __init__(self, rank: int, size: int, meeting: Meeting) -> None:
        self.rank, self.size, self.meeting = rank, size, meeting

    def choose_device(self, use_device: Callable[[int], str]) -> None:
        """Threads share the device of their process."""

    def _add_up(self, *arrays: Any) -> None:
        self.meeting.brought[self.rank] = [array.copy() for array in arrays]
        self.meeting.everyone.wait()
        for array, *terms in zip(arrays, *self.meeting.brought, strict=True):
            array[...] = sum(terms)
        self.meeting.everyone.wait()


def members(size: int) -> list[Member]:
    meeting = Meeting(size)
    return [Member(rank, size, meeting) for rank in range(size)]


def in_each(size: int, work: Callable[[Group], Any]) -> list[Any]:
    """work(group) in each of `size` threads; the results, or what the first of them raised."""
    with ThreadPoolExecutor(size) as pool:
        return [future.result() for future in [pool.submit(work, member) for member in members(size)]]


linux = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux tells when a process has ended")
