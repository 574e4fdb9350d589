"""tinynet.experiments.race: the interval of the mean, heats on a few of the bundled digits, the goal."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from tinynet import backends
from tinynet.callbacks import EarlyStopping, ReduceOnPlateau
from tinynet.data import Dataset, Split, load
from tinynet.errors import ConfigError, TinynetError
from tinynet.experiments import race
from tinynet.layers import Dense, Flatten, Rescale
from tinynet.optim import Adam
from tinynet.runs import recipe
from tinynet.runs.recipe import Recipe, Training
from tinynet.schedules import OneCycle

PLAN = Recipe(
    layers=[Rescale(), Flatten(), Dense(10)],
    training=Training(
        epochs=3,
        batch_size=64,
        schedule=OneCycle(),
        optimizer=Adam(0.02),
    ),
)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    sample = load("sample")
    train = Split(sample.train.images[:500], sample.train.labels[:500])
    return dataclasses.replace(sample, train=train)


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (29, 2.045), (1000, 1.962)]
)
def test_quantiles_of_the_t_distribution(freedom: int, expected: float) -> None:
    assert race.t_quantile(freedom) == pytest.approx(expected, abs=6e-4)


def test_the_mean_and_its_interval() -> None:
    found = race.mean([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.value == 3.0
    assert found.half_width == pytest.approx(2.776 * math.sqrt(2.5) / math.sqrt(5), abs=1e-3)
    assert found.text(10) == "30.00 ± 19.63"
    assert race.mean([0.99]).text(100) == "99.00"


def test_heats_differ_by_seed_and_by_nothing_else(digits: Dataset) -> None:
    ops = backends.get("numpy")
    assert race.rehearse(PLAN, digits, ops) > 0
    first, second = race.heats(PLAN, digits, [0, 1], ops)
    [again] = race.heats(PLAN, digits, [0], ops)
    assert (first.seed, second.seed) == (0, 1)
    assert first.accuracy == again.accuracy != second.accuracy
    assert 0.6 < first.accuracy < 1
    assert first.train > 0
    assert first.evaluate > 0


def test_the_goal() -> None:
    race.check_goal([0.98, 1.0], 0.99)
    with pytest.raises(TinynetError, match=r"at least 99.00 %\n  received: 98.500 % over 2 seeds"):
        race.check_goal([0.98, 0.99], 0.99)


@pytest.mark.parametrize(
    "setting",
    [
        {"validation": 0.1},
        {"samples": 100},
        {"early_stopping": EarlyStopping()},
        {"reduce_on_plateau": ReduceOnPlateau()},
    ],
)
def test_what_a_race_refuses(digits: Dataset, setting: dict[str, Any]) -> None:
    plan = dataclasses.replace(PLAN, training=dataclasses.replace(PLAN.training, **setting))
    with pytest.raises(ConfigError, match="a race trains on all images"):
        next(race.heats(plan, digits, [0], backends.get("numpy")))


def test_the_recipe_of_the_race_is_one_it_accepts(digits: Dataset) -> None:
    plan = recipe.load("race")
    two = dataclasses.replace(digits, train=Split(digits.train.images[:2], digits.train.labels[:2]))
    assert race.rehearse(plan, two, backends.get("numpy")) > 0
