"""checks: the numbers that people give, wherever they give them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet as tn
from tinynet.checkpoint import load_model
from tinynet.checks import real, whole
from tinynet.errors import ConfigError
from tinynet.types import Array

DATA = (np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1]))


def _trainer(**settings: Any) -> tn.Trainer:
    return tn.Trainer(tn.Sequential([tn.Dense(2)], (2,), backend="numpy"), DATA, **settings)


WHOLE: dict[str, Callable[[Any], Any]] = {
    "units": lambda n: tn.Dense(n),
    "filters": lambda n: tn.Conv2D(n),
    "kernel": lambda n: tn.Conv2D(1, n),
    "stride": lambda n: tn.MaxPool2D(2, n),
    "window": lambda n: tn.AvgPool2D(n),
    "padding": lambda n: tn.Conv2D(1, padding=n),
    "shape": lambda n: tn.Reshape((2, n)),
    "input_shape": lambda n: tn.Sequential([tn.Dense(1)], (n,), backend="numpy"),
    "seed": lambda n: tn.Sequential([tn.Dense(1)], (2,), seed=n, backend="numpy"),
    "epochs": lambda n: _trainer(epochs=n),
    "batch_size": lambda n: _trainer(batch_size=n),
    "patience": lambda n: tn.EarlyStopping(patience=n),
    "plateau": lambda n: tn.ReduceOnPlateau(patience=n),
    "every_steps": lambda n: tn.JsonLog("log", every_steps=n),
}
REAL: dict[str, Callable[[Any], Any]] = {
    "slope": lambda x: tn.LeakyReLU(x),
    "alpha": lambda x: tn.ELU(x),
    "scale": lambda x: tn.Rescale(x),
    "offset": lambda x: tn.Rescale(offset=x),
    "momentum": lambda x: tn.BatchNorm(x),
    "epsilon": lambda x: tn.BatchNorm(epsilon=x),
    "dropout": lambda x: tn.Dropout(x),
    "l2": lambda x: tn.Dense(1, l2=x),
    "smoothing": lambda x: tn.SoftmaxCrossEntropy(x),
    "learning_rate": lambda x: tn.SGD(x),
    "velocity": lambda x: tn.SGD(momentum=x),
    "weight_decay": lambda x: tn.AdamW(weight_decay=x),
    "clip": lambda x: tn.SGD(clip=x),
    "beta1": lambda x: tn.Adam(beta1=x),
    "beta2": lambda x: tn.Adam(beta2=x),
    "adam": lambda x: tn.Adam(epsilon=x),
    "min_delta": lambda x: tn.EarlyStopping(min_delta=x),
    "factor": lambda x: tn.ReduceOnPlateau(factor=x),
    "min_scale": lambda x: tn.ReduceOnPlateau(min_scale=x),
    "warmup": lambda x: tn.Cosine(warmup=x),
    "final": lambda x: tn.Cosine(final=x),
    "every": lambda x: tn.Step(every=x),
    "drop": lambda x: tn.Step(factor=x),
    "peak": lambda x: tn.OneCycle(peak=x),
    "start": lambda x: tn.OneCycle(start=x),
    "rotation": lambda x: tn.Augmentation(rotation=x),
    "contrast": lambda x: tn.Augmentation(contrast=x),
    "ema_decay": lambda x: _trainer(ema_decay=x),
    "seconds": lambda x: tn.LastCheckpoint("last", seconds=x),
}


@pytest.mark.parametrize(
    "value", [1.5, 7.0, math.nan, math.inf, "3", None, True, np.float64(2), [1, 2, 3]], ids=repr
)
@pytest.mark.parametrize("setting", WHOLE)
def test_what_is_no_whole_number_is_refused(setting: str, value: Any) -> None:
    if setting == "stride" and value is None:
        value = ()  # None is a setting of its own there
    with pytest.raises(ConfigError, match=r"\n  expected: .*(whole number|0 and up)"):
        WHOLE[setting](value)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, "0.5", True, np.bool_(True), 1j, 10**400, [0.5]],
    ids=lambda value: repr(value)[:9],
)
@pytest.mark.parametrize("setting", REAL)
def test_what_is_no_finite_number_is_refused(setting: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"\n  expected: a finite number"):
        REAL[setting](value)


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
@pytest.mark.parametrize("setting", WHOLE)
def test_whole_numbers_of_numpy_will_do(setting: str, kind: type) -> None:
    WHOLE[setting](kind(1))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("setting", REAL)
def test_real_numbers_of_numpy_will_do(setting: str, kind: type) -> None:
    REAL[setting](kind(0.5))


def test_numbers_become_pythons_own() -> None:
    assert type(whole(np.int64(3), "a", "b")) is int
    assert type(real(np.float32(0.5), "a", "b")) is float
    three: Any = np.int64(3)
    assert type(tn.Dense(three).units) is int
    assert type(tn.Dropout(np.float32(0.5)).rate) is float  # type: ignore[arg-type]


def test_a_model_of_numpys_numbers_trains_and_is_saved(tmp_path: Path, backend: str) -> None:
    n: Any = np.int64(3)
    half = np.float64(0.5)
    one: Any = np.int8(1)
    layers = [
        *[tn.Conv2D(n, (n, n), padding=(one, 1)), tn.BatchNorm(half, half), tn.LeakyReLU(half)],
        *[tn.MaxPool2D(one + one), tn.Reshape((n * 4,)), tn.Dropout(half), tn.Dense(n + 1, l2=half)],
    ]
    model = tn.Sequential(layers, np.array([4, 4, 1]), seed=np.int64(1), backend=backend)  # type: ignore[arg-type]
    x = np.zeros((6, 4, 4, 1), np.float32)
    labels: Array = np.arange(6) % 3
    tn.Trainer(model, (x, labels), epochs=one, batch_size=n).run()
    tn.save_model(tmp_path / "net", model)
    assert load_model(tmp_path / "net", backend=backend).model.config() == model.config()


@pytest.mark.parametrize("factor", [1.0, 10.0, 0.0, -0.1])
def test_a_plateau_lowers_the_rate_and_nothing_else(factor: float) -> None:
    with pytest.raises(ConfigError, match="this value for factor"):
        tn.ReduceOnPlateau(factor=factor)


def test_the_batch_is_no_part_of_the_input_shape() -> None:
    with pytest.raises(ConfigError, match=r"without the batch\n.*\n  received: \(None, 28, 28, 1\)"):
        tn.Sequential([tn.Flatten()], (None, 28, 28, 1), backend="numpy")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"schedule": tn.Cosine}, r"is no schedule\n  expected: one, such as Cosine\(\)"),
        ({"loss": tn.SoftmaxCrossEntropy}, r"is no loss\n  expected: one, such as SoftmaxCrossEntropy\(\)"),
        ({"optimizer": tn.SGD}, "is no optimizer"),
        ({"augmentation": tn.Augmentation}, "is no augmentation"),
    ],
)
def test_a_class_is_not_one_of_its_objects(part: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        _trainer(**part)


# --- settings that change -----------------------------------------------------------------------------------


def test_a_changed_setting_is_checked_and_a_bad_one_not_taken() -> None:
    layer = tn.Dropout(0.5)
    layer.rate = np.float32(0.25)  # type: ignore[assignment]
    assert type(layer.rate) is float
    with pytest.raises(ConfigError, match=r"rate=1\.5"):
        layer.rate = 1.5
    assert layer.rate == 0.25


@pytest.mark.parametrize(
    ("layer", "setting"),
    [(tn.Dense(2), "units"), (tn.Dense(2), "l2"), (tn.Conv2D(2), "stride"), (tn.MaxPool2D(), "window")],
)
def test_what_a_model_was_built_by_stays(layer: tn.Layer, setting: str) -> None:
    setattr(layer, setting, 1)  # not in use yet
    shape = (4,) if isinstance(layer, tn.Dense) else (4, 4, 1)
    tn.Sequential([layer], shape, backend="numpy")
    with pytest.raises(
        ConfigError, match=rf"its {setting} cannot change any more\n.*\n.*\n  fix: build another"
    ):
        setattr(layer, setting, 2)


@pytest.mark.parametrize("records", [tn.Trainer.run, lambda trainer: trainer.model.predict(DATA[0])])
def test_a_slope_changed_later_shows_where_steps_are_recorded(
    records: Callable[[Any], Any], backend: str
) -> None:
    outputs = []
    for slope in (0.1, 0.5):
        layer = tn.LeakyReLU(0.1)
        model = tn.Sequential([tn.Dense(3), layer, tn.Dense(2)], (2,), backend=backend)
        x = np.array([[1, -1], [-1, 1], [2, 1], [0, -3]], np.float32)
        trainer = tn.Trainer(model, (x, DATA[1]), optimizer=tn.SGD(0.1), epochs=2, batch_size=4)
        trainer.run()
        model.predict(x)
        layer.slope = slope
        trainer.epochs = 4
        records(trainer)
        outputs.append(model.predict(x))
        fresh = tn.Sequential([tn.Dense(3), tn.LeakyReLU(slope), tn.Dense(2)], (2,), backend=backend)
        fresh.store.values.flat[...] = model.store.values.flat
        np.testing.assert_array_equal(fresh.predict(x), outputs[-1])
    assert (outputs[0] != outputs[1]).any()


def test_the_layers_of_a_model_stay() -> None:
    model = tn.Sequential([tn.Dense(3), tn.Dense(2)], (2,), backend="numpy")
    assert isinstance(model.layers, tuple)
    with pytest.raises(AttributeError):
        model.layers = ()  # type: ignore[misc]
