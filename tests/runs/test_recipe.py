"""tinynet.runs.recipe: the named recipes, files of one's own, and what is said about mistakes in them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tinynet import zoo
from tinynet.callbacks.monitors import EarlyStopping
from tinynet.errors import ConfigError
from tinynet.history import BestBy
from tinynet.io import tables
from tinynet.layers import Dense, Dropout
from tinynet.losses import MeanSquaredError
from tinynet.optim import SGD
from tinynet.runs import recipe
from tinynet.runs.recipe import Training
from tinynet.runs.trainers import build_monitors

ZOO = Path(zoo.__file__).parent
SIZES = {"linear": 7_850, "mlp": 101_770, "lenet": 1_199_882, "kaggle-cnn": 2_686_858}


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        (tmp_path / "mine.toml").write_text(text)
        return str(tmp_path / "mine.toml")

    return write


@pytest.mark.parametrize("name", recipe.names())
def test_every_named_recipe_builds_and_survives_a_round_trip(name: str) -> None:
    found = recipe.load(name)
    model = found.build_model(backend="numpy")
    assert model.output_shape == (10,)
    assert recipe.from_table(tables.to_arguments(found)) == found
    assert model.store.count + model.store.state_count == SIZES.get(
        name, model.store.count + model.store.state_count
    )


@pytest.mark.parametrize("file", sorted(ZOO.rglob("*.toml")), ids=lambda file: "-".join(file.parts[-2:]))
def test_a_comment_in_the_zoo_says_how_many_parameters_there_are(file: Path) -> None:
    store = recipe.load(str(file)).build_model(backend="numpy").store
    said = re.findall(r"([\d,]+) parameters", file.read_text("utf-8"))
    assert said == [f"{store.count + store.state_count:,}"] * len(said)


@pytest.mark.parametrize("name", recipe.names())
def test_a_recipe_written_as_a_file_is_read_as_equal(name: str, toml: Callable[[str], str]) -> None:
    found = dataclasses.replace(recipe.load(name), input_shape=(28, 28, 1))
    assert recipe.load(toml(recipe.to_toml(found))) == found
    wide = dataclasses.replace(found, input_shape=(32, 30, 3))
    assert recipe.load(toml(recipe.to_toml(wide))) == wide


def test_a_written_recipe_says_all_of_the_training_and_of_layers_what_is_not_at_its_default() -> None:
    text = recipe.to_toml(dataclasses.replace(recipe.load("lenet"), training=Training(epochs=12)))
    assert '  { type = "Conv2D", filters = 32 },' in text
    assert "epochs = 12\nmin_steps = 0\nbatch_size = 64\n" in text
    assert 'optimizer = { type = "Adam", learning_rate = 0.001, weight_decay = 0.0,' in text
    assert "monitor" not in text
    assert "input_shape" not in text


def test_a_training_has_one_notion_of_the_best_epoch() -> None:
    stopping = EarlyStopping(monitor="val_accuracy", min_delta=0.1, restore_best=False)
    for plan, by in (
        (Training(), BestBy("val_loss")),
        (Training(monitor="val_accuracy"), BestBy("val_accuracy")),
        (Training(early_stopping=EarlyStopping()), BestBy("val_loss", 0.0, True)),
        (Training(early_stopping=stopping), BestBy("val_accuracy", 0.1, False)),
        (Training(monitor="accuracy", early_stopping=EarlyStopping()), BestBy("accuracy", 0.0, True)),
    ):
        assert plan.best_by == by
        assert all(monitor.monitor == by.monitor for monitor in build_monitors(plan))
    with pytest.raises(ConfigError, match="one best epoch"):
        Training(monitor="accuracy", early_stopping=stopping)


def test_exactly_so_many_epochs() -> None:
    plan = recipe.load("cnn").with_epochs(3).training
    assert plan.epochs_on(100) == 3
    assert plan.batch_size == recipe.load("cnn").training.batch_size


def test_the_named_recipes() -> None:
    assert set(SIZES) < set(recipe.names())
    assert "cnn" in recipe.names()


def test_a_file_of_ones_own(toml: Callable[[str], str]) -> None:
    found = recipe.load(
        toml('input_shape = [4, 4, 1]\nlayers = [ { type = "Flatten" } ]\n[training]\nepochs = 3')
    )
    assert found.input_shape == (4, 4, 1)
    assert found.training == Training(epochs=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers = []\nlayer = 1", r"unknown key 'layer' for the recipe\n  expected: layers, input_shape"),
        (
            "layers = []\n[training]\nepoch = 1",
            r"unknown key 'epoch' for training\n  expected: epochs, ",
        ),
        (
            'layers = [ { type = "Dense", unit = 1 } ]',
            r"unknown key 'unit' for layer Dense\n  expected: units",
        ),
        ('layers = [ { type = "Dens" } ]', r"unknown layer\n  expected: .*Dense.*\n  received: 'Dens'"),
        ("layers = [ 3 ]", "a layer is described by a table with a type"),
        ("layers = 3", r"wrong value for 'layers'.*\n  expected: a list, each a table\n"),
        (
            "training = 3\nlayers = []",
            r"wrong value for 'training' of the recipe\n  expected: a table",
        ),
        ("layers = []\n[training]\nepochs = 1.5", r"wrong value for 'epochs'.*\n  expected: a whole number"),
        (
            "layers = []\n[training]\nepochs = -1",
            r"epochs is too small\n  expected: at least 1\n  received: -1",
        ),
        ('layers = []\n[training]\noptimizer = { type = "Adan" }', "unknown optimizer"),
        ('layers = []\n[training]\nloss = { type = "L3" }', "unknown loss"),
        ('layers = []\n[training]\nloss = "L3"', "unknown loss"),
        ("layers = []\n[training]\nloss = 3", r'for example \{ type = "SoftmaxCrossEntropy" \}'),
        (
            "layers = []\n[training]\noptimizer = {}",
            r'an optimizer is .*\n  expected: for example \{ type = "SGD" \}',
        ),
        ('loss = "BinaryCrossEntropy"\nlayers = []', r"fix: it belongs under \[training\]"),
        ("layers = []\n[training]\nrotation = 3", r"fix: it belongs under \[training\.augmentation\]"),
        ('layers = []\n[training]\nschedule = { type = "Step", evry = 1 }', "unknown key 'evry'"),
        (
            "layers = []\n[training]\nearly_stopping = { patienc = 1 }",
            "unknown key 'patienc' for early_stopping",
        ),
        (
            "layers = []\n[training.augmentation]\nflip = 1",
            r"unknown key 'flip' for augmentation\n  expected: rotation, shift, scale, .* mixup, cutmix",
        ),
        ('layers = []\n[training]\naugmentation = { shift = "far" }', "wrong value for 'shift' of augm"),
        (
            "layers = []\n[training]\naugmentation = { shift = 8 }",
            "Augmentation cannot use this value for shift",
        ),
        ("layers = []\n[training]\naugmentation = 3", "wrong value for 'augmentation'"),
        ("[training]", "lacks layers"),
        ("layers = [", "is not valid TOML"),
    ],
)
def test_a_mistake_is_explained_with_the_file(toml: Callable[[str], str], text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        recipe.load(toml(text))
    assert "mine.toml" in str(caught.value)


def test_a_name_stands_for_a_table_of_defaults(toml: Callable[[str], str]) -> None:
    short, long = (
        recipe.load(toml("layers = []\n[training]\n" + "\n".join(f"{key} = {each}" for key, each in lines)))
        for lines in (
            [("loss", '"BinaryCrossEntropy"'), ("optimizer", '"AdamW"'), ("schedule", '"Cosine"')],
            [
                ("loss", '{ type = "BinaryCrossEntropy" }'),
                ("optimizer", '{ type = "AdamW" }'),
                ("schedule", '{ type = "Cosine" }'),
            ],
        )
    )
    assert short == long
    assert type(short.training.loss).__name__ == "BinaryCrossEntropy"


def test_recipes_are_equal_by_what_they_say() -> None:
    plan, same = (recipe.Recipe([Dense(10), Dropout(0.5)]) for _ in "ab")
    assert plan == same
    for other in (
        recipe.Recipe([Dense(11), Dropout(0.5)]),
        recipe.Recipe([Dense(10), Dropout(0.5)], (4,)),
        recipe.Recipe(plan.layers, training=Training(optimizer=SGD())),
        recipe.Recipe(plan.layers, training=Training(loss=MeanSquaredError())),
    ):
        assert plan != other


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file .*\n  fix: check the spelling"):
        recipe.load(str(tmp_path / "no.toml"))
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(ConfigError, match="UTF-8"):
        recipe.load(str(tmp_path / "latin.toml"))
    with pytest.raises(
        ConfigError, match=r"unknown architecture\n  expected: best, cnn, .*\.toml file\n.*'alexnet'"
    ):
        recipe.load("alexnet")


@pytest.mark.parametrize(
    ("name", "reference", "meant"), [("lennet", False, "lenet"), ("kagle-cnn", True, "kaggle-cnn")]
)
def test_a_name_that_is_almost_one(name: str, reference: bool, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"fix: did you mean '{meant}'"):
        recipe.load(name, reference=reference)
    with pytest.raises(ConfigError) as caught:
        recipe.load("qqq", reference=reference)
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("training", "available", "counts"),
    [
        (Training(), 100, (100, 0)),
        (Training(validation=0.1), 100, (90, 10)),
        (Training(validation=30), 100, (70, 30)),
        (Training(validation=0.25, samples=40), 100, (30, 10)),
        (Training(samples=100), 100, (100, 0)),
    ],
)
def test_the_cut(training: Training, available: int, counts: tuple[int, int]) -> None:
    assert training.cut(available) == counts


@pytest.mark.parametrize(
    "training", [Training(samples=101), Training(validation=100), Training(validation=500)]
)
def test_too_few_samples(training: Training) -> None:
    with pytest.raises(ConfigError, match="too small for this recipe"):
        training.cut(100)


@pytest.mark.parametrize(
    ("validation", "message"), [(1.5, "a share below 1, or a count"), (0.0001, "no sample is left")]
)
def test_a_validation_part_is_a_count_or_a_share_of_something(validation: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Training(validation=validation).cut(4000)


def test_epochs_in_words() -> None:
    assert Training(epochs=6).epochs_in_words() == "6"
    assert Training(epochs=6, min_steps=1500).epochs_in_words() == "6, or as many as make 1,500 steps"
