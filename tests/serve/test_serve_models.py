"""Which files can be served, under which names, and that filling up a batch changes no answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from served import save

from tinynet import checkpoint, layers
from tinynet.errors import CheckpointError, ConfigError, ShapeError
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.serve.models import LARGEST, Served, load


def test_names_are_those_of_files_and_folders_or_given(tmp_path: Path) -> None:
    file = save(tmp_path)
    folder = tmp_path / "runs" / "cnn-1"
    folder.mkdir(parents=True)
    file.rename(folder / "model.safetensors")
    other = save(tmp_path, "a=b")
    found = load([str(folder), str(other), f"mine={folder}"], "numpy")
    assert [*found] == ["cnn-1", "a=b", "mine"]
    with pytest.raises(ConfigError, match=r"two models are called 'cnn-1'"):
        load([str(folder), f"cnn-1={other}"], "numpy")


def test_what_cannot_be_served_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not the folder of a run"):
        load([str(tmp_path)], "numpy")
    vectors = Sequential([layers.Dense(3)], (2,), backend="numpy")
    checkpoint.save_model(tmp_path / "v.safetensors", vectors, SoftmaxCrossEntropy())
    with pytest.raises(ShapeError, match="cannot be served"):
        load([str(tmp_path / "v.safetensors")], "numpy")


def test_a_batch_filled_up_has_the_same_answers(served: Served) -> None:
    images = np.random.default_rng(2).integers(0, 256, (LARGEST, 28, 28, 1), np.uint8)
    one_by_one = np.concatenate([served.probabilities(image[None]) for image in images])
    for count in (1, 2, 3, 5, 31, 33, 63, LARGEST):
        assert np.allclose(served.probabilities(images[:count]), one_by_one[:count], atol=1e-6)


def test_a_model_describes_itself(served: Served) -> None:
    found = served.describe()
    assert found["weights_sha256"] == checkpoint.weights_sha256(served.model)
    assert found["parameters"] == served.model.store.count
    assert [layer["type"] for layer in found["layers"]][:2] == ["Rescale", "Conv2D"]
