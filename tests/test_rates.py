"""The rate finder: what it suggests of a drawn curve, and that it leaves no trace."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from nets import blobs, mlp, weights

import tinynet as tn
from tinynet.errors import ConfigError, DataError, NonFiniteError, ShapeError
from tinynet.rates import LEAST_DONE, SPAN, RateCurve, find_rate
from tinynet.types import Array

RATES = np.geomspace(1e-6, 1e1, 141)
POWERS = np.log10(RATES)


def curve(losses: Array, *, exploded: bool = False) -> RateCurve:
    return RateCurve(RATES[: len(losses)], losses, exploded, len(RATES))


def fall(middle: float) -> Array:
    """A loss that falls from 3 to 1, most steeply at 10 ** middle."""
    return 2 - np.tanh(2 * (POWERS - middle))


# --- the suggestion, of curves that are drawn ---------------------------------------------------------------


def test_the_moving_average_by_hand() -> None:
    """Of 4, then 2, a tenth of 100 steps long: (0.1·4) / 0.1 = 4, and (0.9·0.4 + 0.1·2) / 0.19."""
    found = RateCurve(RATES[:2], np.array([4.0, 2.0]), False, steps=100).smoothed
    np.testing.assert_allclose(found, [4, (0.9 * 0.4 + 0.2) / 0.19])
    np.testing.assert_allclose(curve(np.full(50, 1.5)).smoothed, 1.5)  # corrected for its start at 0


@pytest.mark.parametrize("middle", [-3.5, -2.5, -1.0])
def test_the_suggestion_is_where_the_loss_falls_most_steeply(middle: float) -> None:
    """The average lags by a tenth of the steps at most, 0.7 powers of ten here."""
    found = curve(fall(middle)).suggestion
    assert found is not None
    assert middle <= math.log10(found) <= middle + SPAN * (POWERS[-1] - POWERS[0])


def test_the_slope_is_against_the_logarithm_and_of_the_smoothed_loss() -> None:
    """Of the line through a twentieth of the 141 steps to either side."""
    found = curve(fall(-2.0))
    slopes = {
        RATES[place]: np.polyfit(POWERS[place - 7 : place + 8], found.smoothed[place - 7 : place + 8], 1)[0]
        for place in range(7, 134)
    }
    assert found.suggestion == min(slopes, key=lambda rate: slopes[rate])


def test_noise_moves_it_little() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(len(RATES))
    plain, noisy = curve(fall(-2)).suggestion, curve(fall(-2) + noise).suggestion
    assert plain is not None
    assert noisy is not None
    assert 1 / 2 < noisy / plain < 2


MANY_STEPS = [20, 21, 25, 30, 50, 100, 200, 300, 600]


@pytest.mark.parametrize("steps", MANY_STEPS)
@pytest.mark.filterwarnings("error")
def test_the_suggestion_lies_within_the_fall_however_many_steps_there_are(steps: int) -> None:
    """The loss stays up to 1e-4, falls by 1.5 up to 0.03, and explodes from 0.3 on."""
    rates = np.geomspace(1e-6, 10, steps)
    powers = np.log10(rates)
    drawn = 2.3 - 0.75 * (1 + np.tanh(1.5 * (powers + 2.75)))
    drawn += np.where(powers > -0.5, np.expm1(3 * (powers + 0.5)), 0)
    for seed in range(50):
        noise = 0.1 * np.random.default_rng(seed).standard_normal(steps)
        found = RateCurve(rates, drawn + noise, True, steps).suggestion
        assert found is not None
        assert 1e-4 < found < 0.03


@pytest.mark.parametrize("steps", MANY_STEPS)
@pytest.mark.filterwarnings("error")
def test_noise_alone_suggests_nothing(steps: int) -> None:
    rates = np.geomspace(1e-6, 10, steps)
    for seed in range(50):
        noise = 0.2 * np.random.default_rng(seed).standard_normal(steps)
        assert RateCurve(rates, 2.3 + noise, False, steps).suggestion is None


def test_a_fall_of_less_than_a_hundredth_is_none() -> None:
    assert curve(100 + fall(-2) / 4).suggestion is None
    assert curve(1 + fall(-2) / 4).suggestion is not None


def test_it_prints_as_what_was_tried_and_found() -> None:
    said = repr(curve(fall(-2)[:120], exploded=True))
    found = curve(fall(-2)[:120]).suggestion
    assert said == (
        f"RateCurve(120 of 141 steps, learning rates from 1e-06 to 0.89, exploded, suggestion: {found:.2g})"
    )
    assert repr(curve(np.full(141, 2.0))) == (
        "RateCurve(141 of 141 steps, learning rates from 1e-06 to 10, suggestion: none)"
    )


def test_what_comes_after_the_lowest_loss_does_not_count() -> None:
    """An exploded loss comes down again, and steeply."""
    losses = fall(-3)
    losses[100:120] = 40
    found = curve(losses, exploded=True)
    assert found.suggestion == curve(fall(-3)).suggestion
    assert not found.falls_to_the_end


@pytest.mark.parametrize("losses", [np.full(141, 2.0), 1 + fall(-2).max() - fall(-2), np.full(20, 1.0)])
def test_no_suggestion_where_the_loss_falls_nowhere(losses: Array) -> None:
    assert curve(losses).suggestion is None


def test_a_loss_that_falls_to_the_end() -> None:
    assert curve(fall(1.5)).falls_to_the_end
    assert not curve(fall(1.5), exploded=True).falls_to_the_end


# --- the search ---------------------------------------------------------------------------------------------


def test_the_model_stays_as_it_is_and_the_same_seed_gives_the_same_losses(backend: str) -> None:
    model, (x, y) = mlp(backend), blobs(90)
    before = weights(model)
    first, again = (find_rate(model, x, y, steps=40, batch_size=16) for _ in range(2))
    np.testing.assert_array_equal(weights(model), before)
    np.testing.assert_array_equal(first.losses, again.losses)
    np.testing.assert_array_equal(first.rates, again.rates)
    other = find_rate(mlp(backend, seed=1), x, y, steps=40, batch_size=16)
    assert (other.losses[:20] != first.losses[:20]).any()
    assert first.suggestion is not None
    assert 1e-5 < first.suggestion < 5


def test_each_rate_is_used_and_the_loss_is_of_before_its_update(backend: str) -> None:
    """Of plain gradient descent on y = w x with all samples in a batch: by hand."""
    x, t = np.array([[1.0], [2.0]]), np.array([[3.0], [1.0]])
    model = tn.Sequential([tn.Dense(1)], (1,), backend=backend, dtype="float64", seed=3)
    w, b = (float(model.store.values.views[f"dense_1.{name}"].reshape(-1)[0]) for name in "Wb")
    found = find_rate(
        model, x, t, low=1e-3, high=0.02, steps=25, batch_size=2, optimizer=tn.SGD(123.0, momentum=0.0)
    )
    np.testing.assert_allclose(found.rates, np.geomspace(1e-3, 0.02, 25))
    for rate, loss in zip(found.rates, found.losses, strict=True):
        error = w * x + b - t
        assert loss == pytest.approx(float((error**2).mean()), rel=1e-9)
        w, b = w - rate * float((error * x).mean()) * 2, b - rate * float(error.mean()) * 2


def test_it_ends_where_the_loss_explodes(backend: str) -> None:
    x, y = blobs(90)
    found = find_rate(mlp(backend), x, y, high=1e9, steps=60, batch_size=16, optimizer=tn.SGD())
    assert found.exploded
    assert LEAST_DONE <= len(found.losses) < 60
    assert len(found.losses) == len(found.rates) == len(found.smoothed)
    assert np.isfinite(found.losses).all()


def test_listeners_hear_it(backend: str) -> None:
    heard: list[float] = []

    class Listener(tn.Callback):
        def on_step(self, trainer: tn.Trainer, event: Any) -> None:
            heard.append(event.learning_rate)

    x, y = blobs(60)
    found = find_rate(mlp(backend), x, y, steps=20, high=1e-3, callbacks=[Listener()])
    np.testing.assert_allclose(heard, found.rates)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            {"low": 1.0, "high": 0.1},
            r"empty or upside down\n  expected: the lower end.*\n  received: 1 and 0.1",
        ),
        ({"low": 0.1, "high": 0.1}, "empty or upside down"),
        ({"low": 0.0}, r"find_rate cannot use this value for low\n.*above 0"),
        ({"high": math.inf}, "find_rate cannot use this value for high"),
        ({"steps": 19}, r"cannot use this value for steps\n  expected: a whole number of at least 20"),
        ({"steps": 10**20}, "at most 100000"),
    ],
)
def test_ranges_without_rates_are_refused(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        find_rate(mlp(), *blobs(), **asked)


def test_data_that_do_not_fit_are_refused_as_by_fit() -> None:
    with pytest.raises(ShapeError, match="do not fit the model"):
        find_rate(mlp(), np.zeros((9, 5)), np.zeros(9, int))


def test_a_range_that_begins_too_high_is_refused(backend: str) -> None:
    x, y = blobs(90)
    with pytest.raises(
        DataError, match=r"exploded at a rate of .*\n.*10 steps\n.*\n  fix: begin lower.*more steps"
    ):
        find_rate(mlp(backend), 100 * x, y, low=1e8, high=1e12, optimizer=tn.SGD())


def test_a_loss_that_is_no_number_from_the_start(backend: str) -> None:
    model, (x, y) = mlp(backend), blobs()
    model.store.values.flat[...] = math.nan
    with pytest.raises(NonFiniteError, match="no finite number at the first step"):
        find_rate(model, x, y)
    with pytest.raises(NonFiniteError, match=r"hold a NaN.*\n.*\n.*\n.*clean or drop that row"):
        find_rate(mlp(backend), x * math.nan, y)
