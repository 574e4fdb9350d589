"""What threads gain: Amdahl's law, what is said of it, and one measurement."""

from __future__ import annotations

import pytest

from tinynet.benchmark import harness, scaling
from tinynet.benchmark.harness import Conditions
from tinynet.benchmark.rows import Row
from tinynet.benchmark.scaling import Scaling
from tinynet.benchmark.turns import Turn


def found(alone: float, *together: float, threads: int = 2) -> Scaling:
    turns = [Turn(seconds) for seconds in together]
    result = scaling.scaling([Turn(alone)] * len(turns), turns, threads, most_lost=0.05)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("share", "threads", "speedup"), [(0, 8, 8), (1, 8, 1), (0.5, 2, 4 / 3), (0.1, 10, 100 / 19)]
)
def test_the_law_by_hand(share: float, threads: int, speedup: float) -> None:
    assert scaling.speedup(share, threads) == pytest.approx(speedup)
    assert scaling.serial_share(speedup, threads) == pytest.approx(share)


def test_a_share_is_neither_negative_nor_more_than_all() -> None:
    assert scaling.serial_share(2.1, 2) == 0
    assert scaling.serial_share(0.9, 2) == 1


def test_ratios_are_formed_within_clean_rounds() -> None:
    alone = [Turn(2.0), Turn(6.0), Turn(9.0)]  # the machine is three times slower in the second round
    together = [Turn(1.25), Turn(3.75), Turn(1.0, lost=0.5)]
    result = scaling.scaling(alone, together, 2, most_lost=0.05)
    assert result is not None
    assert result.speedup == pytest.approx((1.6, 1.6, 1.6))
    assert result.serial_share.median == pytest.approx(0.25)
    assert (result.kept, result.discarded) == (2, 1)
    assert scaling.scaling(alone[2:], together[2:], 2, most_lost=0.05) is None


def test_a_slower_quartile_is_a_greater_share() -> None:
    share = found(2.0, 1.0, 1.25, 1.6).serial_share
    assert share.first < share.median < share.third
    assert share.median == pytest.approx(0.25)


def test_more_cores_than_were_measured_are_foreseen() -> None:
    assert found(2.0, 1.25).foreseen == pytest.approx({8: 1 / (0.25 + 0.75 / 8), 16: 1 / (0.25 + 0.75 / 16)})
    assert found(2.0, 1.0, threads=8).foreseen.keys() == {16}
    assert not found(2.0, 1.0, threads=16).foreseen


def test_words() -> None:
    said = scaling.in_words(found(2.0, 1.25), "cnn")
    assert "2.00 s with one thread, 1.25 s with 2: 1.60 ± 0.00 times as fast" in said
    assert "25% of one thread's time is serial" in said
    assert said.endswith(
        "8 cores would be 2.9 times, 16 cores would be 3.4 times, any number at most 4 times as fast as one."
    )
    assert "gain nothing" in scaling.in_words(found(2.0, 2.5), "cnn")
    assert "no serial share" in scaling.in_words(found(2.0, 0.9), "cnn")


def test_a_measurement(conditions: Conditions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "SAMPLES", 96)
    row, rounds = Row("mlp-threads", "threads", "mlp", 32), list[None]()
    contender = harness.OURS._replace(mode="numpy")
    result = scaling.measure(row, contender, conditions._replace(threads=2), lambda: rounds.append(None))
    assert result is not None
    assert (result.threads, result.kept, len(rounds)) == (2, 2, 2)
    assert min(result.alone.median, result.together.median) > 0
    told = result.as_dict()
    assert told["speedup"]["median"] == result.speedup.median
    assert 0 <= told["serial_share"]["median"] <= 1
