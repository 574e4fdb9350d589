"""The search space: what a file may say, where its values go, and what is said about mistakes."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinynet.errors import ConfigError
from tinynet.experiments.tuning import space
from tinynet.experiments.tuning.space import Choices, Range, Space
from tinynet.io import tables
from tinynet.layers import Dropout
from tinynet.layers.stack import walk
from tinynet.runs import recipe

CNN = recipe.load("cnn")


def of(**settings: Any) -> Space:
    return space.from_table({"search": {path.replace("__", "."): plain for path, plain in settings.items()}})


def applied(path: str, value: Any, name: str = "cnn") -> dict[str, Any]:
    plan = recipe.load(name)
    return tables.to_arguments(Space({}).applied({path: value}, plan))


def sizes(table: dict[str, Any]) -> list[int]:
    return [layer[size] for layer in table["layers"] for size in ("filters", "units") if size in layer]


def test_a_value_goes_where_its_path_leads() -> None:
    assert applied("training.batch_size", 7)["training"]["batch_size"] == 7
    assert applied("training.optimizer.learning_rate", 0.5)["training"]["optimizer"] == {
        "type": "Adam",
        "learning_rate": 0.5,
    }
    assert applied("layers.1.filters", 9)["layers"][1]["filters"] == 9
    assert applied("layers.3", {"type": "ELU"})["layers"][3] == {"type": "ELU"}
    stopping = applied("training.early_stopping.patience", 2)["training"]["early_stopping"]
    assert stopping == {"patience": 2}


def test_a_star_means_every_layer_that_has_the_setting() -> None:
    layers = applied("layers.*.rate", 0.125)["layers"]
    assert [layer["rate"] for layer in layers if "rate" in layer] == [0.125, 0.125]
    layers = applied("layers.*.l2", 0.5)["layers"]
    assert {layer["type"] for layer in layers if "l2" in layer} == {"Conv2D", "Dense"}


def test_width_scales_all_but_the_output() -> None:
    assert sizes(tables.to_arguments(CNN)) == [16, 32, 32, 128, 10]
    assert sizes(applied("width", 0.5)) == [8, 16, 16, 64, 10]
    assert sizes(applied("width", 1e-6)) == [1, 1, 1, 1, 10]


def test_width_scales_the_layers_inside_others_too() -> None:
    plan = recipe.load("resnet")
    wide = Space({}).applied({"width": 2.0}, plan)
    models = [each.build_model(backend="numpy") for each in (plan, wide)]
    shapes = [[layer.output_shape for layer in walk(model.layers)] for model in models]
    assert [(*shape[:-1], 2 * shape[-1]) for shape in shapes[0][1:-1]] == shapes[1][1:-1]
    assert shapes[0][-1] == shapes[1][-1] == (10,)


def test_a_recipe_is_not_changed_by_its_variants() -> None:
    before = recipe.to_toml(CNN)
    Space({}).applied({"width": 2.0, "layers.*.rate": 0.1, "training.optimizer.weight_decay": 1.0}, CNN)
    assert recipe.to_toml(CNN) == before


def test_a_whole_table_comes_before_its_parts() -> None:
    values = {"training.optimizer.learning_rate": 0.3, "training.optimizer": {"type": "SGD"}}
    changed = Space({}).applied(values, CNN)
    assert tables.to_table(changed.training.optimizer) == {"type": "SGD", "learning_rate": 0.3}
    changed = Space({}).applied({"layers.12.rate": 0.9, "layers.*.rate": 0.1}, CNN)
    assert [layer.rate for layer in changed.layers if isinstance(layer, Dropout)] == [0.9, 0.1]


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.floats(0, 1))
def test_a_number_from_a_range_is_short_and_lies_in_it(low: float, step: float, share: float) -> None:
    setting = Range(low, low + step)
    value = setting.value(low + share * step)
    assert low <= value <= low + step
    assert value in (low, low + step) or value == float(f"{value:.4g}")


def test_whole_numbers_stay_whole() -> None:
    setting = Range(1, 4, points=9)
    assert setting.grid() == [1, 2, 3, 4]
    assert {type(value) for value in setting.grid()} == {int}
    assert type(setting.value(3)) is int
    assert Range(0.5, 2.0, log=True, points=3).grid() == [0.5, 1.0, 2.0]


def test_a_choice_keeps_its_type() -> None:
    values = [1, 1.0, True, "1", [1], {"type": "ELU"}]
    setting = Choices(values)
    again = [setting.value(label) for label in setting.labels]
    assert [(type(value), value) for value in again] == [(type(value), value) for value in values]


def test_the_grid_has_every_combination_once() -> None:
    settings = of(training__batch_size=[32, 64], width={"low": 0.5, "high": 2.0, "points": 3}, a=[1])
    drawn = [settings.combination(place) for place in range(settings.combinations())]
    assert [list(each) for each in drawn] == [["training.batch_size", "width", "a"]] * 6
    values = [tuple(settings.values(each).values()) for each in drawn]
    assert values == list(itertools.product([32, 64], [0.5, 1.25, 2.0], [1]))


def test_a_file_and_back(tmp_path: Path) -> None:
    settings = of(
        training__schedule=[{"type": "Constant"}, {"type": "OneCycle", "peak": 0.2}],
        width={"low": 0.5, "high": 2.0, "log": True},
    )
    (tmp_path / "space.toml").write_text(settings.to_toml())
    assert space.read(tmp_path / "space.toml") == settings
    settings.check(CNN)


@pytest.mark.parametrize("name", recipe.names())
def test_the_default_space_fits_every_named_recipe(name: str) -> None:
    plan = recipe.load(name)
    settings = space.default(plan)
    settings.check(plan)
    assert {"training.optimizer.learning_rate", "training.batch_size"} <= set(settings.settings)


def test_the_default_space_leaves_out_what_a_recipe_lacks() -> None:
    linear, cnn = (set(space.default(recipe.load(name)).settings) for name in ("linear", "cnn"))
    assert {"training.loss.smoothing", "layers.*.rate", "width"} <= cnn - linear
    has_augmentation = "augmentation" in {field.name for field in dataclasses.fields(recipe.Training)}
    assert ("training.augmentation.rotation" in cnn) == has_augmentation


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"is one table\n  expected: \[search\]"),
        ("[search]", "is one table"),
        ("search = 3", "is one table"),
        ("[search]\nwidth = [1]\n[serch]\n", "is one table"),
        ("[search]\nwidth = 3", "neither a range nor a list"),
        ("[search]\ntraining.batch_size = [32]", r"'training' is neither .*\n(.*\n)*.*in quotes"),
        ("[search]\nwidth = { low = 1, high = 2, lg = true }", "unknown key 'lg' for the range of 'width'"),
        ("[search]\nwidth = { low = 1, high = '2' }", "wrong value for 'high'"),
        ("[search]\nwidth = { low = 2, high = 1 }", r"from low to high\n  expected: low < high"),
        ("[search]\nwidth = { low = nan, high = 1 }", "a whole number or a number"),
        ("[search]\nwidth = { low = 0, high = 1, log = true }", "low above 0"),
        ("[search]\nwidth = { low = 0, high = 1, points = 1 }", "2 or more"),
        ("[search]\nwidth = []", "all different"),
        ("[search]\nwidth = [1, 1]", "all different"),
        ("[search", "is not valid TOML"),
    ],
)
def test_a_mistake_is_explained_with_the_file(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        space.read(tmp_path / "mine.toml")
    assert "mine.toml" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        space.read(tmp_path / "no.toml")


@pytest.mark.parametrize(
    ("path", "plain", "message"),
    [
        ("training.batchsize", [32], "unknown key 'batchsize'"),
        ("training.batch_size", {"low": 16.0, "high": 64.0}, "a whole number"),
        ("training.batch_size", [32, 0], r"cannot take 0 for.*\n.*too small"),
        ("training.optimizer.beta1", {"low": 0.5, "high": 1.0}, "beta1"),
        ("training.batch_size.x", [1], "wrong value for 'batch_size'"),
        ("layers.*.slope", [0.1], "no layer has this setting"),
        ("layers.99.rate", [0.1], r"layers 0 to 18"),
        ("layers.1.kernel.0", [3], "no layer has this setting"),
        ("width", [1.0, "2"], "a factor above 0"),
        ("width", [0], "a factor above 0"),
        ("layers", [3], "wrong value for 'layers'"),
        ("epochs", [3], "unknown key 'epochs' for the recipe"),
    ],
)
def test_a_setting_that_the_recipe_cannot_take(path: str, plain: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        space.from_table({"search": {path: plain}}).check(CNN)
    assert repr(path) in str(caught.value)


def test_width_of_a_net_without_hidden_layers() -> None:
    with pytest.raises(ConfigError, match="no layer before the output"):
        of(width=[2.0]).check(recipe.load("linear"))
