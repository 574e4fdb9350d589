"""The comparison with peers: its statistics on made-up numbers, our own worker on a tiny row."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import compare
import pairs
import tables
from pairs import CpuTimes, Turn

MOST_LOST = 0.05


def turns(*values: float, lost: tuple[int, ...] = ()) -> list[Turn]:
    """Of these values; those at the places `lost` lost half the processors."""
    return [Turn(value, 0.5 * (place in lost)) for place, value in enumerate(values)]


# --- statistics -------------------------------------------------------------------------------------------


def test_summary_is_median_and_quartiles() -> None:
    found = pairs.summary([5.0, 1.0, 2.0, 4.0, 3.0])
    assert found == (3.0, 2.0, 4.0)
    assert found.spread == 1.0


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


def test_what_others_took_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs.os, "sched_getaffinity", lambda _: {1}, raising=False)
    monkeypatch.setattr(pairs.os, "sysconf", lambda _: 100, raising=False)

    def reading(user: int, idle: int, stolen: int) -> CpuTimes:
        stat = tmp_path / "stat"
        others = "9 9 9 9 9 9 9 9 0 0"
        stat.write_text(
            f"cpu  {others}\ncpu0 {others}\ncpu1 {user} 0 5 {idle} 0 0 0 {stolen} 7 0\nintr 1 2\n"
        )
        return CpuTimes.now(stat)

    before, after = reading(100, 500, 20), reading(160, 530, 30)  # 0.6 s busy, 0.3 s idle, 0.1 s stolen
    assert before.lost_until(after, own=0.6) == pytest.approx(0.1)
    assert before.lost_until(after, own=0.4) == pytest.approx(0.3)
    assert before.lost_until(after, own=9.0) == pytest.approx(0.1)  # ticks are coarse
    assert before.lost_until(before, own=0.0) == 0.0
    assert CpuTimes.now(tmp_path / "missing") == (0, 0, 0)


def test_disagreement_names_the_number() -> None:
    tolerances = (1e-3, 1e-3)
    assert pairs.disagreement([30.0, 1.0], [30.02, 1.0005], tolerances) is None
    assert pairs.disagreement([2.0, 1.0], [2.0, 1.1], tolerances) == "number 2 of 2 is 1 for us, 1.1 for them"
    assert pairs.disagreement([1.0, 1.0], [1.0, float("nan")], tolerances)
    assert pairs.disagreement([1.0, 1.0], [1.0], tolerances)


# --- rounds -----------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> compare.Settings:
    """Random images, enough for a worker's batches."""
    rng = np.random.default_rng(0)
    compare.write_data(tmp_path, rng.integers(0, 256, (64, 28, 28, 1), np.uint8), rng.integers(0, 10, 64))
    compare.write_nets(tmp_path, {"mlp"})
    return compare.Settings(tmp_path, tmp_path, rounds=2, seconds=0.001, most_lost=1.0, threads=1)


def play(monkeypatch: pytest.MonkeyPatch, lost: Callable[[int], float]) -> tuple[str, dict[str, list[Turn]]]:
    """Two contenders, "a" and "b", for two rounds; `lost(i)` is the share lost in the i-th turn."""
    order: list[str] = []
    now = SimpleNamespace(lost_until=lambda later, own: lost(len(order)))
    monkeypatch.setattr(compare, "CpuTimes", SimpleNamespace(now=lambda: now))
    monkeypatch.setattr(compare, "PAUSE", 0)

    def take_turn(name: str) -> tuple[float, float]:
        order.append(name)
        return float(len(order)), 0.0

    turns = {name: partial(take_turn, name) for name in ("a", "b")}
    played = compare.play(turns, 2, MOST_LOST, lambda: None)
    return "".join(order), played


def test_contenders_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    order, played = play(monkeypatch, lambda turn: 0.0)
    assert order == "abab"
    assert played == {"a": [Turn(1.0), Turn(3.0)], "b": [Turn(2.0), Turn(4.0)]}


def test_disturbed_rounds_are_played_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert play(monkeypatch, lambda turn: 0.5 * (turn == 2))[0] == "ababab"
    assert play(monkeypatch, lambda turn: 0.5)[0] == "abab" * 2  # gives up


# --- workers ----------------------------------------------------------------------------------------------

READABLE = compare.OURS._replace(mode="numpy")
TWIN = READABLE._replace(name="twin")
ROW = compare.Row("mlp-step", "step", "mlp", 4)


def test_our_worker_runs_a_row(settings: compare.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "OURS", READABLE)
    [found] = compare.measure(ROW, [TWIN], settings, lambda: None)
    assert not found.refused
    assert found.comparison is not None
    assert found.comparison.kept == 2
    assert all(turn.value > 0 for turn in [*found.ours, *found.theirs])


def test_a_peer_that_computes_something_else_is_not_timed(
    settings: compare.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "OURS", READABLE)
    monkeypatch.setattr(compare, "check", lambda worker, row: [1.0 + (worker.name == "twin"), 1.0, 1.0])
    [found] = compare.measure(ROW, [TWIN], settings, lambda: None)
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
    assert tables.figure(pairs.Summary(1234.5, 1200.0, 1300.0)) == "1234 ± 50"
