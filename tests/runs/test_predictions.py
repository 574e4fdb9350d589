"""What a classifier makes of images: probabilities, classes, and the file that keeps them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nets import images, mlp

from tinynet.data.datasets import Split
from tinynet.errors import RunError, ShapeError
from tinynet.layers import Dense, Flatten, Rescale
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.runs import predictions
from tinynet.runs.predictions import Predictions


def test_a_classifier_gives_probabilities() -> None:
    model = Sequential([Rescale(), Flatten(), Dense(4)], (6, 6, 1), backend="numpy")
    loss = SoftmaxCrossEntropy()
    loss.start(model)
    x, _ = images(7)
    found = predictions.predict(model, loss, x)
    logits = np.exp(model.predict(x).astype(float))
    np.testing.assert_allclose(found.probabilities, logits / logits.sum(axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(found.classes, logits.argmax(axis=1))
    np.testing.assert_array_equal(found.confidence, found.probabilities.max(axis=1))


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"do not fit the model\n  expected: \(2,\)\n  received: \(6, 6, 1\)"
    ):
        predictions.predict(mlp(), SoftmaxCrossEntropy(), images(3)[0])


def test_outputs_without_a_name_have_their_number() -> None:
    assert predictions.class_names(["cat"], 3) == ["cat", "1", "2"]
    assert predictions.class_names(["cat", "dog"], 1) == ["cat"]


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    made = Predictions(np.array([[0.25, 0.75], [0.875, 0.125]]))
    split = Split(np.zeros((2, 1, 1, 1), np.uint8), np.array([1, 1]))
    predictions.write_predictions(tmp_path / "predictions.csv", split, made)
    labels, predicted, confidence = predictions.read_predictions(tmp_path)
    assert labels.tolist() == [1, 1]
    assert predicted.tolist() == [1, 0]
    assert confidence.tolist() == [0.75, 0.875]


@pytest.mark.parametrize(
    "content", [None, "index,label\n0,1\n", "index,label,predicted,confidence\n0,a,1,1\n"]
)
def test_a_file_that_cannot_be_read_is_refused_with_the_fix(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "predictions.csv").write_text(content)
    with pytest.raises(RunError, match=r"cannot be read(.|\n)*fix: finish the run"):
        predictions.read_predictions(tmp_path)
