"""The nets that are measured: the sizes their sources give, and a step of each in a contender's process."""

from __future__ import annotations

import pytest

from tinynet.benchmark import harness, nets
from tinynet.benchmark.harness import OURS, Conditions, Process
from tinynet.benchmark.rows import ROWS


def test_lenet5_has_the_parameters_of_1998_with_all_maps_connected() -> None:
    """156 + 2,416 + 48,120 + 10,164 + 850: the paper's layers, C3 with all 6 maps, F6 to a softmax."""
    assert nets.lenet5().build_model(backend="numpy").store.count == 61_706


@pytest.mark.parametrize("name", nets.OTHERS)
def test_a_contender_trains_it(name: str, conditions: Conditions) -> None:
    harness.write_net(conditions.folder, name, nets.load(name))
    with Process(OURS._replace(mode="numpy"), name, 2, conditions) as process:
        first, second = process.ask("losses", steps=2)
        assert 0 < first < 10
        assert first != second
        assert len(process.ask("outputs")) == 2 * 10


def test_every_row_has_a_net() -> None:
    assert all(len(nets.load(row.net).layers) > 2 for row in ROWS)


def test_the_same_seed_draws_the_same_net() -> None:
    assert nets.drawn(3) == nets.drawn(3)
    assert nets.drawn(3) != nets.drawn(4)
