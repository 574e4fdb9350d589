"""What a classifier makes of images, and the CSV file that keeps it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from nets import cnn, images, mlp

from tinynet.data import Split
from tinynet.errors import NonFiniteError, RunError, ShapeError
from tinynet.layers import Dense, Flatten, ReLU, Rescale
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.runs.predictions import (
    Predictions,
    class_names,
    predict,
    read_predictions,
    shifted,
    write_predictions,
)

IMAGES = np.zeros((5, 4), np.float32)


def classifier() -> tuple[Sequential, SoftmaxCrossEntropy]:
    model, loss = Sequential([Dense(3)], (4,), backend="numpy"), SoftmaxCrossEntropy()
    loss.start(model)
    return model, loss


@pytest.mark.parametrize("weight", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_predict_nothing(weight: float) -> None:
    model, loss = classifier()
    assert predict(model, loss, IMAGES).probabilities.shape == (5, 3)
    model.store.values.views["dense_1.b"][...] = weight
    with np.errstate(invalid="ignore"), pytest.raises(NonFiniteError, match="NaN for 5 of 5 images"):
        predict(model, loss, IMAGES)


def test_predictions_stay_when_others_are_made(backend: str) -> None:
    model, loss = cnn(backend), SoftmaxCrossEntropy()
    loss.start(model)
    x, _ = images(6)
    before = predict(model, loss, x)
    kept = before.probabilities.copy()
    predict(model, loss, x[::-1].copy())
    assert np.array_equal(before.probabilities, kept)


def test_a_model_without_classes() -> None:
    model, loss = Sequential([ReLU()], (2, 2, 1), backend="numpy"), SoftmaxCrossEntropy()
    loss.start(model)
    with pytest.raises(ShapeError, match="no classifier"):
        predict(model, loss, np.zeros((5, 2, 2, 1), np.float32))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    split = Split(np.zeros((2, 28, 28, 1), np.uint8), np.array([1, 0]))
    predictions = Predictions(np.array([[0.25, 0.75], [0.0, 1.0]]))
    write_predictions(tmp_path / "predictions.csv", split, predictions, "ab")
    labels, predicted, confidence, names = read_predictions(tmp_path)
    assert (labels.tolist(), predicted.tolist(), confidence.tolist()) == ([1, 0], [1, 1], [0.75, 1.0])
    assert names == []


def test_pictures_have_their_file_and_the_names_of_their_classes(tmp_path: Path) -> None:
    files = np.array(["hot/red, 1.png", "cold/2.png"])
    split = Split(np.zeros((2, 28, 28, 1), np.uint8), np.array([1, 0]), files)
    predictions = Predictions(np.array([[0.25, 0.75, 0], [0.0, 0.0, 1.0]]))
    write_predictions(tmp_path / "predictions.csv", split, predictions, ("cold", "hot, dry"))
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == files.tolist()
    assert [row["label_name"] for row in rows] == ["hot, dry", "cold"]
    assert [row["predicted_name"] for row in rows] == ["hot, dry", "2"]  # an output without a name
    found = read_predictions(tmp_path)
    assert found.predicted.tolist() == [1, 2]
    assert found.names == ['"hot/red, 1.png","hot, dry","hot, dry"', "cold/2.png,cold,2"]


HEAD = "index,label,predicted,confidence\n"


@pytest.mark.parametrize(
    "content",
    [
        *["", HEAD[:-2], "a" + HEAD, HEAD + "1,0,0,0.5\n", HEAD + "0,0,0,0.5\n0,0,0,0.5\n", HEAD + "\n\n"],
        *[HEAD + f"0,{label},0,0.5\n" for label in ("x", "-1", "1.5", "9" * 30, "9" * 5000, "٣", "", "\0")],
        *[HEAD + f"0,0,0,{share}\n" for share in ("nan", "inf", "-0.5", "1e9", "", "0.5,1", '"' * 200_000)],
        HEAD + "0,0,0,0.5\udcff",
        HEAD + "0,0,0,0.5,a.png,a,a\n",
        HEAD[:-1] + ",file,label_name,predicted_name\n0,0,0,0.5\n",
    ],
)
def test_a_damaged_file_is_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "predictions.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(RunError, match=r"predictions.csv cannot be read(.|\n)*fix: finish the run"):
        read_predictions(tmp_path)


def test_a_classifier_gives_probabilities() -> None:
    model = Sequential([Rescale(), Flatten(), Dense(4)], (6, 6, 1), backend="numpy")
    loss = SoftmaxCrossEntropy()
    loss.start(model)
    x, _ = images(7)
    found = predict(model, loss, x)
    logits = np.exp(model.predict(x).astype(float))
    np.testing.assert_allclose(found.probabilities, logits / logits.sum(axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(found.classes, logits.argmax(axis=1))
    np.testing.assert_array_equal(found.confidence, found.probabilities.max(axis=1))


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"do not fit the model\n  expected: \(2,\)\n  received: \(6, 6, 1\)"
    ):
        predict(mlp(), SoftmaxCrossEntropy(), images(3)[0])


def test_outputs_without_a_name_have_their_number() -> None:
    assert class_names(["cat"], 3) == ["cat", "1", "2"]
    assert class_names(["cat", "dog"], 1) == ["cat"]


def test_an_image_is_moved_in_all_directions() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1)
    views = [view[0, ..., 0] for view in shifted(image, 1)]
    assert len(views) == 5
    assert np.array_equal(views[0], image[0, ..., 0])
    moved = {view[1, 1] for view in views[1:]}
    assert moved == {1, 4, 6, 9}  # what was above, left, right and below
    assert np.array_equal(views[1], [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]])
    assert len(list(shifted(image, 2))) == 13
    with pytest.raises(ShapeError, match="only images"):
        next(shifted(IMAGES, 1))


def test_probabilities_are_averaged_over_the_moves(backend: str) -> None:
    model, loss = cnn(backend), SoftmaxCrossEntropy()
    loss.start(model)
    x, _ = images(3)
    expected = np.mean([predict(model, loss, view).probabilities for view in shifted(x, 1)], axis=0)
    found, plain = predict(model, loss, x, shifts=1), predict(model, loss, x)
    assert np.array_equal(found.probabilities, expected)
    assert not np.array_equal(found.probabilities, plain.probabilities)
    assert found.unshifted is not None
    assert np.array_equal(found.unshifted, plain.probabilities)
    assert plain.unshifted is None
