"""tinynet explain: any file that predict takes in; a page with pictures out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Command, Trained
from PIL import Image

from tinynet import checkpoint
from tinynet import layers as L
from tinynet.data import load, write_idx
from tinynet.data.datasets import Split
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential


@pytest.fixture(scope="module")
def digits() -> Split:
    return load("sample").test


@pytest.fixture(scope="module")
def convolutional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small convolutional model as it was initialised."""
    layers = [L.Rescale(), L.Conv2D(3, 5), L.ReLU(), L.MaxPool2D(), L.Flatten(), L.Dense(10)]
    model = Sequential(layers, (28, 28, 1), backend="numpy")
    loss = SoftmaxCrossEntropy()
    loss.start(model)
    path = tmp_path_factory.mktemp("convolutional") / "model.safetensors"
    checkpoint.save_model(path, model, loss, {"classes": list("0123456789")})
    return path


def test_a_picture_and_what_predict_says_of_it(
    tinynet: Command, convolutional: Path, digits: Split, tmp_path: Path, backend: str
) -> None:
    canvas = 255 - np.asarray(Image.fromarray(digits.images[3, ..., 0]).resize((90, 120)))
    Image.fromarray(canvas).save(tmp_path / "photo.png")
    out = tmp_path / "why"
    said = tinynet(
        "explain", convolutional, tmp_path / "photo.png", "--out", out, "--samples", 3, "--backend", backend
    )
    predicted = tinynet("predict", convolutional, tmp_path / "photo.png", "--backend", backend)
    found = json.loads((out / "explanation.json").read_text())
    assert f"Predicted: not sure: {found['first']}? (" in said  # so of a net that was never trained
    assert f"│ not sure: {found['first']}? │" in predicted
    assert "photo.png: inverted, cropped from 120 x 90" in said
    assert found["fitted"].startswith("inverted, cropped from 120 x 90")
    assert "Grad-CAM is of conv2d_1 + relu_1, of 24 × 24 places" in said
    assert found["smooth_grad"] == {"seed": 0, "samples": 3, "noise": 0.15}
    assert {path.name for path in out.iterdir()} >= {"grad-cam.png", "explanation.md", "filters.png"}


def test_a_net_without_convolutions_says_so(
    tinynet: Command, trained: Trained, digits: Split, tmp_path: Path
) -> None:
    write_idx(tmp_path / "many", digits.images[:4])
    out = tmp_path / "why"
    said = tinynet("explain", trained.folder, tmp_path / "many", "--index", 2, "--out", out, "--samples", 2)
    assert "There is no Grad-CAM: this net has no convolution" in said
    assert not (out / "grad-cam.png").exists()
    assert (out / "saliency.png").exists()
    assert "many #2" in (out / "explanation.md").read_text().splitlines()[0]


def test_a_second_page_leaves_the_first_one(
    tinynet: Command,
    convolutional: Path,
    trained: Trained,
    digits: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_idx(tmp_path / "many", digits.images[:4])
    for net in (convolutional, trained.folder):
        tinynet("explain", net, "many", "--samples", 2)
    assert (tmp_path / "explanation-1" / "grad-cam.png").exists()
    assert (tmp_path / "explanation-2" / "explanation.md").exists()
    tinynet("explain", trained.folder, "many", "--samples", 2, "--out", "explanation-1")
    assert not (tmp_path / "explanation-1" / "grad-cam.png").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--index", 4], "an index from 0 to 3"),
        (["--layer", "nosuch"], "Grad-CAM cannot look at 'nosuch'"),
        (["--layer", "dense_1"], "expected: a layer whose output has rows and columns: rescale_1, conv2d_1"),
    ],
)
def test_a_mistake_writes_nothing(
    tinynet: Command, convolutional: Path, digits: Split, tmp_path: Path, options: Any, complaint: str
) -> None:
    write_idx(tmp_path / "many", digits.images[:4])
    arguments = ["explain", convolutional, tmp_path / "many", "--out", tmp_path / "out", *options]
    assert complaint in tinynet(*arguments, "--backend", "numpy", code=1)
    assert not (tmp_path / "out").exists()


def test_noise_is_a_finite_number(
    tinynet: Command, convolutional: Path, digits: Split, tmp_path: Path
) -> None:
    write_idx(tmp_path / "many", digits.images[:4])
    said = tinynet("explain", convolutional, tmp_path / "many", "--noise", "nan", code=2)
    assert "nan is not a finite number" in said


def test_a_missing_image(tinynet: Command, convolutional: Path, tmp_path: Path) -> None:
    assert "cannot be read" in tinynet("explain", convolutional, tmp_path / "nosuch.png", code=1)
