"""Shards: the parts of a batch, their shares, and one process alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from members import members

import tinynet as tn
from tinynet.distributed.group import ALONE, Shard
from tinynet.rng import Key, Stream


@given(samples=st.integers(1, 300), size=st.integers(1, 40))
def test_the_parts_are_the_batch_and_their_shares_add_up_to_one(samples: int, size: int) -> None:
    shards = [member.shard(samples) for member in members(size)]
    counted = [sample for shard in shards if shard.counts for sample in range(shard.first, shard.stop)]
    assert counted == list(range(samples))
    assert sum(shard.share for shard in shards) == pytest.approx(1)
    assert all(shard.first < shard.stop for shard in shards)
    assert max(shard.stop - shard.first for shard in shards) <= max(-(-samples // size), min(samples, size))


def test_parts_of_a_batch_that_cannot_be_divided_evenly() -> None:
    assert [(p.first, p.stop, p.share) for p in (m.shard(7) for m in members(2))] == [
        (0, 3, 3 / 7),
        (3, 7, 4 / 7),
    ]


def test_a_batch_of_fewer_samples_than_processes_counts_once() -> None:
    assert [(p.first, p.stop, p.share) for p in (m.shard(2) for m in members(3))] == [
        (0, 2, 1),
        (0, 2, 0),
        (0, 2, 0),
    ]


def test_one_process_alone_has_all_and_leaves_it_as_it_is() -> None:
    shard, array = ALONE.shard(9), np.ones(3)
    assert shard == Shard(0, 9, 9, ALONE)
    assert shard.share == 1
    assert shard.mean(array) is array
    assert ALONE.all_reduce(shard, array, "loss", "correct") == ("loss", "correct")


@pytest.mark.parametrize("first", [1, 3, 4, 1024 * 5 + 2])
def test_random_words_from_the_middle(first: int, backend: str) -> None:
    ops, key = tn.backends.get(backend), Key(5, Stream.DROPOUT, layer=1, step=9)
    words = ops.to_host(ops.random_bits(key, first + 5000))
    np.testing.assert_array_equal(
        ops.to_host(ops.random_bits(key._replace(first=first), 5000)), words[first:]
    )


@pytest.mark.parametrize("features", [8, 9])
def test_dropout_falls_on_the_same_values_in_parts(features: int, backend: str) -> None:
    net = tn.Sequential([tn.Dropout(0.5)], (features,), backend=backend, seed=4)
    x = net.backend.asarray(np.ones((10, features), np.float32))
    whole = net.backend.to_host(net.forward(x, train=True, step=6)[0]).copy()
    for member in members(3):
        shard = member.shard(10)
        y, _ = net.forward(x[shard.first : shard.stop], train=True, step=6, shard=shard)
        np.testing.assert_array_equal(net.backend.to_host(y), whole[shard.first : shard.stop])
