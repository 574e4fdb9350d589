"""Tables of plain values: there and back through JSON and TOML, and what is refused."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tinynet import layers as L
from tinynet import losses, optim, schedules
from tinynet.errors import ConfigError
from tinynet.io import tables, toml

KINDS: dict[str, Mapping[str, type[Any]]] = {
    "layer": L.LAYERS,
    "loss": losses.LOSSES,
    "optimiser": optim.OPTIMIZERS,
    "schedule": schedules.SCHEDULES,
}
THINGS = [
    ("layer", L.Dense(10)),
    ("layer", L.Dense(3, init="he_normal", l2=0.01)),
    ("layer", L.Conv2D(8)),
    ("layer", L.Conv2D(8, (3, 5), 2, "same", "he_uniform", 1e-5)),
    ("layer", L.Conv2D(8, 2, (1, 2), 1)),
    ("layer", L.Conv2D(8, 2, padding=(1, 2))),
    ("layer", L.Conv2D(8, 2, padding=((1, 0), (2, 1)))),
    ("layer", L.DepthwiseConv2D()),
    ("layer", L.DepthwiseConv2D((3, 5), 2, "same", 2, "he_uniform", 1e-5)),
    ("layer", L.Residual([L.Dense(3), L.ReLU()])),
    ("layer", L.Residual([L.Residual([L.Conv2D(2, (1, 2))])], [L.MaxPool2D(3), L.Conv2D(2, l2=0.1)])),
    ("layer", L.MaxPool2D()),
    ("layer", L.MaxPool2D(3, 2, "same")),
    ("layer", L.AvgPool2D((2, 3), (1, 1))),
    ("layer", L.GlobalAveragePool()),
    ("layer", L.BatchNorm(0.99, 1e-3)),
    ("layer", L.Dropout(0.5)),
    ("layer", L.Flatten()),
    ("layer", L.Reshape((28, 28, 1))),
    ("layer", L.Rescale(2.0, -1.0)),
    ("layer", L.ReLU()),
    ("layer", L.LeakyReLU(0.2)),
    ("layer", L.ELU(0.5)),
    ("layer", L.GELU()),
    ("layer", L.GELU("tanh")),
    ("layer", L.Sigmoid()),
    ("layer", L.Tanh()),
    ("layer", L.Softmax()),
    ("loss", losses.SoftmaxCrossEntropy()),
    ("loss", losses.SoftmaxCrossEntropy(0.1)),
    ("loss", losses.BinaryCrossEntropy()),
    ("loss", losses.CrossEntropy()),
    ("loss", losses.MeanSquaredError()),
    ("optimiser", optim.SGD()),
    ("optimiser", optim.SGD(0.5, momentum=0.9, nesterov=True, weight_decay=1e-4, clip=1.0)),
    ("optimiser", optim.Adam(1e-4, beta1=0.8, beta2=0.99, epsilon=1e-7)),
    ("optimiser", optim.AdamW(weight_decay=0.05)),
    ("schedule", schedules.Constant()),
    ("schedule", schedules.Constant(warmup=2.0)),
    ("schedule", schedules.Step(every=5.0, factor=0.5)),
    ("schedule", schedules.Cosine(warmup=1.0, final=0.01)),
    ("schedule", schedules.OneCycle(peak=0.2, start=0.1, final=0.001)),
]


def _toml(table: dict[str, Any]) -> dict[str, Any]:
    """Through TOML text."""
    return tomllib.loads("\n".join(f"{key} = {toml.inline(value)}" for key, value in table.items()))


def test_every_kind_is_tried() -> None:
    tried = {type(thing) for _, thing in THINGS}
    assert tried == {kind for kinds in KINDS.values() for kind in kinds.values()}


@pytest.mark.parametrize(
    "through", [dict, lambda t: json.loads(json.dumps(t)), _toml], ids=["", "JSON", "TOML"]
)
@pytest.mark.parametrize(("what", "thing"), THINGS, ids=lambda v: repr(v) if not isinstance(v, str) else v)
def test_round_trip(what: str, thing: Any, through: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    again = tables.from_table(KINDS[what], through(tables.to_table(thing)), what, L.LAYER_FAMILY)
    assert type(again) is type(thing)
    assert repr(again) == repr(thing)


def test_defaults_are_left_out_and_required_fields_kept() -> None:
    assert tables.to_table(L.Conv2D(8, padding="same")) == {"type": "Conv2D", "filters": 8, "padding": "same"}
    assert tables.to_table(L.ReLU()) == {"type": "ReLU"}


def test_a_default_that_a_subclass_changed_is_its_own() -> None:
    assert tables.to_table(optim.AdamW(weight_decay=0.0)) == {"type": "AdamW", "weight_decay": 0.0}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (
            {"type": "Dens", "units": 3},
            ["unknown layer", "expected: Dense, Conv2D", "'Dens'", "fix: did you mean 'Dense'?"],
        ),
        ({"type": ["Dense"], "units": 3}, ["unknown layer", "['Dense']"]),
        (
            {"units": 3},
            [
                "a layer is described by a table with a type",
                'example { type = "DepthwiseConv2D" }',
                "{'units': 3}",
            ],
        ),
        (["Dense"], ["a table with a type", "['Dense']"]),
        ("Dense", ["layer Dense lacks units"]),
        (
            {"type": "Dense", "unit": 3},
            ["unknown key 'unit' for layer Dense", "expected: units, init, l2", "fix: did you mean 'units'?"],
        ),
        ({"type": "ReLU", "slope": 1}, ["unknown key 'slope' for layer ReLU", "expected: no keys"]),
        ({"type": "Dense", "units": 3, "name": "x"}, ["unknown key 'name'"]),
        ({"type": "Dense"}, ["layer Dense lacks units"]),
        (
            {"type": "Dense", "units": "3"},
            ["'units' of layer Dense", "expected: a whole number", "'3' (str)"],
        ),
        ({"type": "Dense", "units": 3.0}, ["'units'", "expected: a whole number", "3.0 (float)"]),
        ({"type": "Dense", "units": True}, ["'units'", "expected: a whole number", "True (bool)"]),
        ({"type": "Dense", "units": None}, ["'units'", "expected: a whole number", "None (NoneType)"]),
        ({"type": "Dense", "units": 3, "l2": "x"}, ["'l2'", "expected: a number", "'x' (str)"]),
        ({"type": "Dense", "units": 3, "init": 1}, ["'init'", "expected: a text", "1 (int)"]),
        (
            {"type": "Conv2D", "filters": 3, "kernel": [3]},
            ["'kernel'", "a whole number or a list of 2, each a whole number"],
        ),
        ({"type": "Conv2D", "filters": 3, "kernel": [3, 3, 3]}, ["'kernel'", "[3, 3, 3] (list)"]),
        ({"type": "Conv2D", "filters": 3, "padding": 1.5}, ["'padding'", "1.5 (float)"]),
        ({"type": "Reshape", "shape": [1, "2"]}, ["'shape'", "expected: a list, each a whole number\n"]),
        ({"type": "Reshape", "shape": 4}, ["'shape'", "expected: a list, each a whole number\n", "4 (int)"]),
    ],
)
def test_what_is_refused_names_the_key_and_the_expectation(table: object, says: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        tables.from_table(L.LAYERS, table, "layer")
    for part in says:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (
            {"type": "SGD", "nesterov": 1},
            ["'nesterov' of optimiser SGD", "expected: true or false", "1 (int)"],
        ),
        ({"type": "Adam", "clip": "no"}, ["'clip'", "expected: a number or nothing", "'no' (str)"]),
        ({"type": "Adam", "steps": 5}, ["unknown key 'steps'"]),
        ({"type": "Adam", "beta1": 1.0}, ["Adam cannot use this value for beta1", "in [0, 1)", "beta1=1.0"]),
    ],
)
def test_optimisers_are_checked_alike(table: object, says: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        tables.from_table(optim.OPTIMIZERS, table, "optimiser")
    for part in says:
        assert part in str(caught.value)


def test_whole_numbers_pass_for_numbers_and_nothing_where_allowed() -> None:
    adam = tables.from_table(
        optim.OPTIMIZERS, {"type": "Adam", "learning_rate": 1, "clip": None}, "optimiser"
    )
    assert adam.learning_rate == 1
    assert adam.clip is None


@dataclass
class Small:
    rate: float = 0.5


@dataclass
class Whole:
    """One field of each kind that holds another dataclass."""

    layers: Sequence[L.Layer]
    optimizer: optim.Optimizer = field(default_factory=optim.Adam)
    small: Small | None = None


FAMILIES: tables.Families = {L.Layer: L.LAYERS, optim.Optimizer: optim.OPTIMIZERS}
NESTED = {
    "layers": [{"type": "Dense", "units": 3}, {"type": "ReLU"}],
    "optimizer": {"type": "Adam", "learning_rate": 0.25},
    "small": {"rate": 0.125},
}


def test_a_table_in_a_table_is_an_object_in_an_object() -> None:
    whole = tables.from_arguments(Whole, NESTED, "the whole", FAMILIES)
    assert [type(layer) for layer in whole.layers] == [L.Dense, L.ReLU]
    assert (whole.optimizer.learning_rate, whole.small) == (0.25, Small(0.125))
    assert tables.to_arguments(whole) == NESTED
    assert tables.to_arguments(Whole([], optim.Adam())) == {"layers": []}


def test_objects_may_stand_where_tables_may() -> None:
    dense, adam = L.Dense(3), optim.Adam()
    whole = tables.from_arguments(Whole, {"layers": [dense], "optimizer": adam}, "the whole", FAMILIES)
    assert whole.layers == (dense,)
    assert whole.optimizer is adam


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": [3]}, "a layer is described by a table with a type"),
        ({"layers": 3}, "wrong value for 'layers' of the whole\n  expected: a list, each a table"),
        ({"optimizer": {"type": "Adan"}}, "unknown optimizer\n"),
        ({"optimizer": {"type": "Adam", "rate": 1}}, "unknown key 'rate' for optimizer Adam"),
        ({"small": {"rat": 1}}, "unknown key 'rat' for small\n  expected: rate"),
        ({"small": 3}, "wrong value for 'small' of the whole\n  expected: a table or nothing"),
    ],
)
def test_a_mistake_in_a_table_in_a_table(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tables.from_arguments(Whole, NESTED | change, "the whole", FAMILIES)
    assert message in str(caught.value)
