"""The block of memory: values that are needed at one time never share a place."""

from __future__ import annotations

import math

import pytest

from tinynet import layers as L
from tinynet.export.arena import arranged
from tinynet.export.steps import IN_PLACE, Plan
from tinynet.layers import Layer
from tinynet.model import Sequential
from tinynet.runs import recipe


@pytest.mark.parametrize("name", recipe.names())
def test_no_step_writes_over_what_a_later_one_reads(name: str) -> None:
    plan = Plan(recipe.load(name).build_model(backend="numpy", seed=0))
    offsets, size = arranged(plan.steps, plan.input)
    owner: dict[int, object] = {}
    for step in plan.steps:
        for value in step.inputs:
            if value is not plan.input:
                assert all(owner[offsets[value] + at] is value for at in range(value.size))
        start = offsets[step.output]
        reads = {offsets[each] for each in step.inputs if each is not plan.input}
        assert start not in reads or step.kind in IN_PLACE
        owner.update((start + at, step.output) for at in range(step.output.size))
        assert start + step.output.size <= size
    assert plan.output is plan.steps[-1].output


def test_the_block_is_as_large_as_the_two_values_that_a_step_needs() -> None:
    net: list[Layer] = [L.Conv2D(4, padding="same"), L.ReLU(), L.MaxPool2D(), L.Flatten(), L.Dense(10)]
    plan = Plan(Sequential(net, (8, 8, 1)))
    assert arranged(plan.steps, plan.input)[1] == math.prod((8, 8, 4)) + math.prod((4, 4, 4))
