"""From a recipe to a Trainer: what reaches it, and what no two of them share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinynet.data import Split
from tinynet.data.augmentation import Augmentation
from tinynet.io import tables
from tinynet.layers import Dense
from tinynet.optim import SGD
from tinynet.runs import recipe
from tinynet.runs.recipe import Training
from tinynet.runs.trainers import build_trainer, split_train_validation


def test_an_augmentation_reaches_the_trainer(tmp_path: Path) -> None:
    text = 'layers = [ { type = "Flatten" } ]\n[training.augmentation]\nrotation = 10\nelastic = 1.5'
    (tmp_path / "mine.toml").write_text(text)
    plan = recipe.load(str(tmp_path / "mine.toml"))
    assert recipe.from_table(tables.to_arguments(plan)) == plan
    model = plan.build_model(backend="numpy")
    samples = np.zeros((4, 28, 28, 1), np.uint8), np.zeros(4, np.int64)
    assert build_trainer(plan.training, model, samples).train.augmentation == Augmentation(10, elastic=1.5)
    plain = recipe.load("cnn")
    assert build_trainer(plain.training, model, samples).train.augmentation is None


def test_each_model_and_each_trainer_gets_objects_of_its_own() -> None:
    plan = recipe.Recipe([Dense(10)], (4,), Training(optimizer=SGD(0.5)))
    samples = np.zeros((4, 4)), np.zeros(4, np.int64)
    one, other = (build_trainer(plan.training, plan.build_model(backend="numpy"), samples) for _ in "ab")
    assert one.optimizer is not other.optimizer
    assert one.loss is not other.loss
    assert one.model.layers[0] is not other.model.layers[0]
    assert plan.layers[0].name == ""
    assert not plan.training.optimizer.state
    assert one.optimizer.learning_rate == other.optimizer.learning_rate == 0.5


def test_the_first_samples_are_trained_on_and_the_next_ones_held_out_with_their_files() -> None:
    everything = Split(np.arange(7)[:, None], np.arange(7), np.array([f"{n}.png" for n in range(7)]))
    trained, held_out = split_train_validation(Training(samples=5, validation=2), everything)
    assert trained.labels.tolist() == trained.images[:, 0].tolist() == [0, 1, 2]
    assert held_out.labels.tolist() == held_out.images[:, 0].tolist() == [3, 4]
    assert held_out.files is not None
    assert held_out.files.tolist() == ["3.png", "4.png"]
    assert everything[2:].files is not None
    assert Split(everything.images, everything.labels)[:1].files is None
