"""Turns: their statistics, what others took of the machine, and who plays when."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from tinynet.benchmark import turns
from tinynet.benchmark.turns import CpuTimes, Summary, Turn

MOST_LOST = 0.05


def test_summary_is_median_and_quartiles() -> None:
    found = turns.summary([5.0, 1.0, 2.0, 4.0, 3.0])
    assert found == (3.0, 2.0, 4.0)
    assert found.spread == 1.0


def test_a_figure_has_three_significant_digits() -> None:
    assert turns.figure(Summary(1234.5, 1200.0, 1300.0)) == "1234 ± 50"
    assert turns.figure(Summary(0.0012345, 0.001, 0.002), 1e3) == "1.23 ± 0.50"


def test_what_others_took_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1}, raising=False)
    monkeypatch.setattr(os, "sysconf", lambda _: 100, raising=False)

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


def play(monkeypatch: pytest.MonkeyPatch, lost: Callable[[int], float]) -> tuple[str, dict[str, list[Turn]]]:
    """Two contenders, "a" and "b", for two rounds; `lost(i)` is the share lost in the i-th turn."""
    order: list[str] = []
    now = SimpleNamespace(lost_until=lambda later, own: lost(len(order)))
    monkeypatch.setattr(turns, "CpuTimes", SimpleNamespace(now=lambda: now))
    monkeypatch.setattr(turns, "PAUSE", 0)

    def take_turn(name: str) -> tuple[float, float]:
        order.append(name)
        return float(len(order)), 0.0

    played = turns.play({name: partial(take_turn, name) for name in ("a", "b")}, 2, MOST_LOST, lambda: None)
    return "".join(order), played


def test_contenders_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    order, played = play(monkeypatch, lambda turn: 0.0)
    assert order == "abab"
    assert played == {"a": [Turn(1.0), Turn(3.0)], "b": [Turn(2.0), Turn(4.0)]}


def test_disturbed_rounds_are_played_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert play(monkeypatch, lambda turn: 0.5 * (turn == 2))[0] == "ababab"
    assert play(monkeypatch, lambda turn: 0.5)[0] == "abab" * 2  # gives up
