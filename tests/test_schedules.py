"""The schedules: where they begin and end, what lies between, and that they do not jump."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinynet.errors import ConfigError
from tinynet.schedules import SCHEDULES, Constant, Cosine, OneCycle, Schedule, Step

EPOCHS = 20.0


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        (Constant(), {0: 1, 7.3: 1, 20: 1}),
        (Step(every=5.0, factor=0.5), {0: 1, 4.99: 1, 5: 0.5, 9.99: 0.5, 10: 0.25, 19.99: 0.125}),
        (Step(every=2.5, factor=0.1), {2.49: 1, 2.5: 0.1, 5.1: 0.01}),
        (Cosine(), {0: 1, 5: (1 + math.sqrt(0.5)) / 2, 10: 0.5, 20: 0, 25: 0}),
        (Cosine(final=0.2), {0: 1, 10: 0.6, 20: 0.2}),
        (OneCycle(), {0: 0.04, 3: 0.52, 6: 1, 13: 0.50005, 20: 1e-4, 30: 1e-4}),
        (OneCycle(peak=0.5, start=0.2, final=0.0), {0: 0.2, 5: 0.6, 10: 1, 15: 0.5, 20: 0}),
        (Constant(warmup=4.0), {0: 0, 1: 0.25, 2: 0.5, 4: 1, 20: 1}),
        (Cosine(warmup=4.0), {0: 0, 3: 0.75, 4: 1, 12: 0.5, 20: 0}),  # its shape fills the other 16
        (Step(warmup=4.0, every=5.0), {2: 0.5, 4: 1, 8.99: 1, 9: 0.1}),
    ],
    ids=repr,
)
def test_values_worked_out_by_hand(schedule: Schedule, points: dict[float, float]) -> None:
    for epoch, factor in points.items():
        assert schedule(epoch, EPOCHS) == pytest.approx(factor, abs=1e-12), f"at epoch {epoch}"


@pytest.mark.parametrize(
    "schedule",
    [
        Cosine(),
        Cosine(warmup=3.0, final=0.1),
        OneCycle(),
        OneCycle(warmup=2.0, start=1.0),
        Constant(warmup=5.0),
    ],
    ids=repr,
)
def test_smooth_ones_do_not_jump(schedule: Schedule) -> None:
    factors = [schedule(epoch, EPOCHS) for epoch in np.linspace(0, EPOCHS, 20_001)]
    assert np.abs(np.diff(factors)).max() < 1e-3
    assert min(factors) >= 0
    assert max(factors) <= 1


@pytest.mark.parametrize("schedule", [Cosine(), Step(), Cosine(final=0.5)], ids=repr)
def test_falling_ones_never_rise(schedule: Schedule) -> None:
    factors = [schedule(epoch, EPOCHS) for epoch in np.linspace(0, EPOCHS, 1001)]
    assert np.diff(factors).max() <= 0


def test_one_cycle_peaks_once() -> None:
    factors = np.array([OneCycle()(epoch, EPOCHS) for epoch in np.linspace(0, EPOCHS, 1001)])
    rises = np.diff(factors) > 0
    assert rises[: factors.argmax()].all()
    assert not rises[factors.argmax() :].any()
    assert factors.argmax() == 300


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_warm_up_as_long_as_the_training_divides_by_nothing(name: str) -> None:
    schedule = SCHEDULES[name](warmup=EPOCHS)
    assert schedule(EPOCHS / 2, EPOCHS) == 0.5
    assert math.isfinite(schedule(EPOCHS, EPOCHS))


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_epochs_at_all_divide_by_nothing(name: str) -> None:
    assert math.isfinite(SCHEDULES[name]()(0.0, 0.0))


@pytest.mark.parametrize(
    ("kind", "settings", "complaint"),
    [
        (
            Step,
            {"every": 0.0},
            r"Step .* this value for every\n  expected: .* above 0\n  received: every=0.0",
        ),
        (Step, {"every": -1.0}, "above 0\n  received: every"),
        (Step, {"factor": 0.0}, "above 0\n  received: factor"),
        (OneCycle, {"peak": 0.0}, r"OneCycle .* this value for peak\n  expected: .* in \(0, 1\)"),
        (OneCycle, {"peak": 1.0}, r"in \(0, 1\)\n  received: peak"),
        (OneCycle, {"peak": -0.5}, r"in \(0, 1\)\n  received: peak"),
        (OneCycle, {"final": -1.0}, "0 or more\n  received: final"),
        (OneCycle, {"start": -1.0}, "0 or more\n  received: start"),
        (Cosine, {"final": -3.0}, "Cosine .* this value for final\n  expected: .* 0 or more"),
        (Constant, {"warmup": -1.0}, "this value for warmup\n  expected: .* 0 or more"),
    ],
)
def test_a_setting_out_of_range_is_refused(
    kind: type[Schedule], settings: dict[str, float], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        kind(**settings)
