"""Weights of classes: those of scikit-learn, and what becomes of them in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nets import blobs, mlp, weights
from sklearn.utils.class_weight import compute_class_weight

from tinynet.data.datasets import Split
from tinynet.errors import ConfigError, DataError, ShapeError
from tinynet.layers import Dense, Sigmoid
from tinynet.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError, balanced, class_weights
from tinynet.model import Sequential
from tinynet.runs import recipe
from tinynet.runs.trainers import trainer_from_recipe

LABELS = np.array([0] * 6 + [1] * 3 + [2])


def test_balanced_weights_are_scikit_learns() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    np.testing.assert_allclose(balanced(LABELS, 3), expected)
    np.testing.assert_allclose(class_weights("balanced", LABELS[:, None], 3), expected[LABELS])
    with pytest.raises(DataError, match="no training sample is of class 3"):
        balanced(LABELS, 4)


@pytest.mark.parametrize("label", [-1, 3])
@pytest.mark.parametrize("weights", ["balanced", (1, 1, 1)])
def test_labels_out_of_range(label: int, weights: Any) -> None:
    with pytest.raises(DataError, match="out of range"):
        class_weights(weights, np.array([0, 1, 2, label]), 3)


def test_a_table_may_name_a_class_without_samples() -> None:
    np.testing.assert_array_equal(class_weights([1, 4, 0, 7], LABELS, 4), [1] * 6 + [4] * 3 + [0])


@pytest.mark.parametrize(
    "table", [(), (0, 0, 0), (-1, 1, 1), (float("nan"), 1, 1), 3, np.array(3.0), (True, 1, 1), "equal"]
)
def test_weights_that_are_none(table: Any) -> None:
    with pytest.raises(ConfigError):
        class_weights(table, LABELS, 3)


def test_weights_for_other_classes_or_for_values() -> None:
    with pytest.raises(ShapeError, match=r"as many weights as classes(.|\n)*expected: 3"):
        class_weights([1, 2], LABELS, 3)
    with pytest.raises(ConfigError, match="only classes take class weights"):
        class_weights("balanced", LABELS.astype(float), 3)
    said = r"no class weights\n  expected: a list .*\"balanced\"\n  received: 'even'"
    with pytest.raises(ConfigError, match=said):
        class_weights("even", LABELS, 3)
    with pytest.raises(ConfigError, match="only classes take class weights"):
        mlp().fit(np.ones((4, 2)), np.ones((4, 3)), loss=MeanSquaredError(), class_weight="balanced")


def test_a_rare_class_is_learned_where_its_errors_count_alike() -> None:
    rng = np.random.default_rng(0)
    labels = (np.arange(400) < 20).astype(np.int64)
    x = (rng.normal(size=(400, 2)) + labels[:, None]).astype(np.float32)
    recall = {}
    for weight in (None, "balanced", [1.0, 19.0]):
        model = Sequential([Dense(2)], (2,), backend="numpy")
        model.fit(x, labels, epochs=40, class_weight=weight)
        recall[str(weight)] = (model.predict(x[:20]).argmax(axis=1) == 1).mean()
    assert min(recall["balanced"], recall["[1.0, 19.0]"]) > recall["None"] + 0.2


@pytest.mark.parametrize(
    ("net", "loss", "classes"),
    [([Dense(3), Sigmoid()], CrossEntropy, 3), ([Dense(1)], BinaryCrossEntropy, 2)],
)
def test_they_are_weights_of_samples_for_any_loss_of_classes(net: Any, loss: Any, classes: int) -> None:
    x, y = blobs(60)
    y, table = y % classes, np.arange(1.0, classes + 1)
    found = []
    for settings in ({"class_weight": table}, {"sample_weight": table[y]}, {}):
        model = Sequential([type(layer)(**vars_of(layer)) for layer in net], (2,), backend="numpy", seed=1)
        model.fit(x, y, epochs=2, loss=loss(), **settings)
        found.append(weights(model))
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def vars_of(layer: Any) -> dict[str, Any]:
    return {"units": layer.units} if isinstance(layer, Dense) else {}


def plan_with(class_weight: str | list[float]) -> recipe.Recipe:
    return recipe.from_table(
        {
            "input_shape": [2],
            "layers": [{"type": "Dense", "units": 3}],
            "training": {"epochs": 1, "validation": 10, "class_weight": class_weight},
        }
    )


def train_by(plan: recipe.Recipe, labels: np.ndarray) -> Sequential:
    x, _ = blobs(60)
    ops = mlp("numpy").backend
    trainer = trainer_from_recipe(Split(x, labels), plan, backend=ops, dtype="float32", seed=1)
    trainer.run()
    return trainer.model


def test_the_key_of_a_recipe() -> None:
    """Balanced by the 50 samples that are trained on; validation counts each sample once."""
    x, y = blobs(60)
    by_key = train_by(plan_with("balanced"), y)
    by_hand = Sequential([Dense(3)], (2,), backend="numpy", seed=1)
    counts = np.bincount(y[:50], minlength=3)
    by_hand.fit(x[:50], y[:50], epochs=1, sample_weight=(50 / (3 * counts))[y[:50]])
    np.testing.assert_array_equal(weights(by_key), weights(by_hand))


def test_a_class_that_the_training_part_lacks() -> None:
    y = blobs(60)[1].copy()
    y[:50] = np.arange(50) % 2
    y[50:] = 2
    with pytest.raises(DataError, match="no training sample is of class 2"):
        train_by(plan_with("balanced"), y)
    assert np.isfinite(weights(train_by(plan_with([1.0, 2.0, 3.0]), y))).all()
    with pytest.raises(DataError, match="all sample weights are zero"):
        train_by(plan_with([0.0, 0.0, 1.0]), y)
