"""The comparison with peers: its statistics on made-up numbers, our own contender on a tiny row."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tinynet.benchmark import harness
from tinynet.benchmark.rows import Row
from tinynet.benchmark.turns import Turn
from tinynet.runs import recipe

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import compare
import pairs

MOST_LOST = 0.05


def turns(*values: float, lost: tuple[int, ...] = ()) -> list[Turn]:
    """Of these values; those at the places `lost` lost half the processors."""
    return [Turn(value, 0.5 * (place in lost)) for place, value in enumerate(values)]


# --- statistics -------------------------------------------------------------------------------------------


def test_ratios_are_formed_within_a_round() -> None:
    # the machine is three times slower in the second round: the ratio does not notice
    found = pairs.compare(turns(1.0, 3.0, 1.0), turns(2.0, 6.0, 2.0), MOST_LOST)
    assert found is not None
    assert found.ratio == (0.5, 0.5, 0.5)
    assert found.ours == (1.0, 1.0, 2.0)
    assert (found.kept, found.discarded) == (3, 0)


def test_ratio_of_medians_is_not_what_counts() -> None:
    found = pairs.compare(turns(1.0, 2.0, 9.0), turns(9.0, 2.0, 1.0), MOST_LOST)
    assert found is not None
    assert found.ratio.median == 1.0
    assert found.ratio.first == pytest.approx((1 / 9 + 1) / 2)
    assert found.ratio.third == 5.0


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_a_round_that_lost_time_on_either_side_is_discarded(side: str) -> None:
    a = turns(1.0, 100.0, 1.0, lost=(1,) if side == "ours" else ())
    b = turns(2.0, 100.0, 2.0, lost=(1,) if side == "theirs" else ())
    found = pairs.compare(a, b, MOST_LOST)
    assert found is not None
    assert found.ratio == (0.5, 0.5, 0.5)
    assert (found.kept, found.discarded) == (2, 1)


def test_nothing_clean_gives_no_comparison() -> None:
    assert pairs.compare(turns(1.0, lost=(0,)), turns(2.0), MOST_LOST) is None


def test_disagreement_names_the_number() -> None:
    tolerances = (1e-3, 1e-3)
    assert pairs.disagreement([30.0, 1.0], [30.02, 1.0005], tolerances) is None
    assert pairs.disagreement([2.0, 1.0], [2.0, 1.1], tolerances) == "number 2 of 2 is 1 for us, 1.1 for them"
    assert pairs.disagreement([1.0, 1.0], [1.0, float("nan")], tolerances)
    assert pairs.disagreement([1.0, 1.0], [1.0], tolerances)


# --- rows -------------------------------------------------------------------------------------------------

READABLE = compare.OURS._replace(mode="numpy")
TWIN = READABLE._replace(name="twin")
ROW = Row("mlp-step", "step", "mlp", 4)


@pytest.fixture
def conditions(tmp_path: Path) -> harness.Conditions:
    """Random images, enough for a worker's batches."""
    rng = np.random.default_rng(0)
    harness.write_data(tmp_path, rng.integers(0, 256, (64, 28, 28, 1), np.uint8), rng.integers(0, 10, 64))
    harness.write_net(tmp_path, "mlp", recipe.load("mlp"))
    return harness.Conditions(tmp_path, rounds=2, seconds=0.001, most_lost=1.0, threads=1)


def test_a_row_with_ourselves_as_the_peer(conditions: harness.Conditions) -> None:
    [found] = compare.measure(ROW, READABLE, [TWIN], conditions, lambda: None)
    assert not found.refused
    assert found.comparison is not None
    assert found.comparison.kept == 2
    assert all(turn.value > 0 for turn in [*found.ours, *found.theirs])


def test_a_peer_that_computes_something_else_is_not_timed(
    conditions: harness.Conditions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "check", lambda process, row: [1.0 + (process.name == "twin"), 1.0, 1.0])
    [found] = compare.measure(ROW, READABLE, [TWIN], conditions, lambda: None)
    assert found.comparison is None
    assert found.refused == "not timed: number 1 of 3 is 1 for us, 2 for them"


def test_results_are_written(tmp_path: Path) -> None:
    ours, theirs = turns(0.001, 0.003), turns(0.002, 0.002)
    timed = compare.Result("mlp-step", "a", "ms", pairs.compare(ours, theirs, MOST_LOST), "", ours, theirs)
    refused = compare.Result("mlp-step", "b", "ms", None, "not timed: losses differ")
    report = dict.fromkeys(("date", "machine", "threads"), "?") | {
        "samples": 20,
        "most_lost": MOST_LOST,
        "versions": {"a": ["a 1.0"]},
    }
    compare.write(tmp_path, report, [timed, refused])
    assert "| mlp-step | a | 2.00 ± 0.50 | 2.00 ± 0.00 | ms | 1.00 ± 0.25 | 2 (0) |" in (
        tmp_path / "peers.md"
    ).read_text("utf-8")
    assert "not timed: losses differ" in (tmp_path / "peers.json").read_text("utf-8")
    assert (tmp_path / "peers.png").stat().st_size > 0
