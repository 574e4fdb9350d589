"""tinynet ensemble: the mean of several nets' probabilities, and nets that do not go together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import Command

from tinynet import checkpoint, data, layers
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.runs.predictions import predict


def save(path: Path, seed: int, *, classes: str = "0123456789", units: int = 10) -> Path:
    model = Sequential([layers.Rescale(), layers.Flatten(), layers.Dense(units)], (28, 28, 1), seed=seed)
    checkpoint.save_model(path, model, SoftmaxCrossEntropy(), {"classes": list(classes)} if classes else {})
    return path


def test_the_mean_of_their_probabilities(tinynet: Command, tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{seed}.safetensors", seed) for seed in range(3)]
    said = tinynet("ensemble", *paths, "--dataset", "sample", "--out", tmp_path / "out")
    digits = data.load("sample").test
    each = [
        predict(model, loss, digits.images).probabilities
        for model, loss, _ in map(checkpoint.load_model, paths)
    ]
    right = (np.mean(each, axis=0).argmax(axis=1) == digits.labels).mean()
    assert f"│ all together │ {100 * right:.2f} %" in said
    assert all(f"{100 * (one.argmax(axis=1) == digits.labels).mean():.2f} %" in said for one in each)
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["accuracy"] == right


@pytest.mark.parametrize("copies", [1, 2], ids=["one net", "one net twice"])
def test_one_net_is_no_ensemble(tinynet: Command, tmp_path: Path, copies: int) -> None:
    path = save(tmp_path / "net.safetensors", 0)
    assert "two runs or more" in tinynet("ensemble", *[path] * copies, "--dataset", "sample", code=1)


def test_nets_of_other_classes_do_not_go_together(tinynet: Command, tmp_path: Path) -> None:
    digits = save(tmp_path / "digits.safetensors", 0)
    letters = save(tmp_path / "letters.safetensors", 0, classes="abcdefghij")
    said = tinynet("ensemble", digits, letters, "--dataset", "sample", code=1)
    assert "classes 0, 1, 2" in said
    assert "classes a, b, c" in said


def test_nets_of_classes_without_names_go_by_their_number(tinynet: Command, tmp_path: Path) -> None:
    ten, three = (save(tmp_path / f"{n}.safetensors", 0, classes="", units=n) for n in (10, 3))
    said = tinynet("ensemble", ten, three, "--dataset", "sample", code=1)
    assert "expected: images (28, 28, 1), classes 10 without names" in said
    assert "received: images (28, 28, 1), classes 3 without names" in said


def test_nets_of_other_classes_than_the_images_are_pointed_out(tinynet: Command, tmp_path: Path) -> None:
    letters = [save(tmp_path / f"{seed}.safetensors", seed, classes="abcdefghij") for seed in (0, 1)]
    said = tinynet("ensemble", *letters, "--dataset", "sample")
    assert "NOTE: trained on other data, evaluated on sample" in said


def test_they_answer_for_files_and_write_a_submission(tinynet: Command, tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{seed}.safetensors", seed) for seed in range(2)]
    images = data.load("sample").test.images[:12]
    data.write_csv(tmp_path / "test.csv", images)
    mean = np.mean(
        [predict(*checkpoint.load_model(path)[:2], images).probabilities for path in paths], axis=0
    )
    asked = ("--file", tmp_path / "test.csv")
    tinynet("ensemble", *paths, *asked, "--submission", tmp_path / "s.csv", "--out", tmp_path / "all.csv")
    assert data.kaggle.read_submission(tmp_path / "s.csv", 12).tolist() == mean.argmax(axis=1).tolist()
    lines = (tmp_path / "all.csv").read_text().splitlines()
    assert len(lines) == 13
    assert f"{mean[0].max():.6f}" in lines[1]
    assert "Whether any of these images were in their training data" in tinynet("ensemble", *paths, *asked)
    assert "--file" in tinynet("ensemble", *paths, "--submission", tmp_path / "s.csv", code=2)
