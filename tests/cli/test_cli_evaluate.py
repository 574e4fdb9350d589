"""tinynet evaluate: figures by class for a run or a file, and a picture of the mistakes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import Command, Trained

import tinynet as tn
from tinynet import checkpoint, data
from tinynet.data import load, write_idx
from tinynet.runs.predictions import predict


def test_a_run_and_its_model_file_give_the_accuracy_of_the_report(tinynet: Command, trained: Trained) -> None:
    expected = json.loads((trained.folder / "report.json").read_text())["test"]["accuracy"]
    for what in (trained.folder, trained.folder / "model.safetensors"):
        said = tinynet("evaluate", what, "--dataset", "sample", "--backend", "numpy")
        assert f"accuracy {100 * expected:.2f} %" in said
        assert "precision" in said
        assert said.count("│ 100 │") == 10


def test_the_training_split(tinynet: Command, trained: Trained) -> None:
    said = tinynet("evaluate", trained.folder, "--dataset", "sample", "--split", "train")
    assert "4,000 train images of sample" in said


def test_the_images_that_a_run_held_out(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    """The accuracy is that of the kept epoch; the tiny recipe holds out 100 of the first 500 images."""
    report = json.loads((trained.folder / "report.json").read_text())
    asked = ("evaluate", trained.folder, "--split", "validation")
    said = tinynet(*asked, "--backend", "numpy", "--out", tmp_path)
    assert "100 validation images of sample" in said
    assert f"accuracy {100 * report['training']['final_val_accuracy']:.2f} %" in said
    assert "100 of these 100 images were in its validation data." in said
    rows = (tmp_path / "evaluation.csv").read_text().splitlines()[1:]
    everything = load("sample").train
    assert [int(row.split(",")[1]) for row in rows] == everything.labels[400:500].tolist()
    data.write_csv(tmp_path / "train.csv", everything.images[:50], everything.labels[:50])
    assert "is not the one the run" in tinynet(*asked, "--dataset", tmp_path / "train.csv", code=1)


def test_a_run_that_held_nothing_out(
    tinynet: Command, train: Command, trained: Trained, tmp_path: Path
) -> None:
    train("--validation", "0", "--epochs", "1")
    said = tinynet("evaluate", tmp_path / "run", "--split", "validation", code=1)
    assert "held no images out of its training" in said
    assert "fix: measure the test images: --split test" in said
    shutil.copy(trained.folder / "model.safetensors", tmp_path / "alone.safetensors")
    said = tinynet("evaluate", tmp_path / "alone.safetensors", "--split", "validation", code=1)
    assert "the weights are in no run's folder" in said


def test_the_mistakes_are_drawn(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    picture = tmp_path / "mistakes.png"
    tinynet("evaluate", trained.folder, "--dataset", "sample", "--mistakes", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_out_has_what_the_screen_says(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    said = tinynet("evaluate", trained.folder, "--dataset", "sample", "--backend", "numpy", "--out", out)
    found = json.loads((out / "evaluation.json").read_text())
    assert found["data"] == "1,000 test images of sample"
    assert f"accuracy {100 * found['accuracy']:.2f} % ({found['errors']} wrong" in said
    assert f"calibration error {100 * found['calibration']['expected_calibration_error']:.2f} %" in said
    means = [found[f"macro_{key}"] for key in ("precision", "recall", "f1", "roc_auc", "average_precision")]
    assert "│ macro │ " + " │ ".join(f"{mean:.4f}" for mean in means) in said
    first = found["first"][0]
    assert f"The first 5 images, label and prediction: {first['label']} as {first['predicted']} (" in said
    assert re.search(r"Most confused: \d taken for \d \(\d+ times?\)", said)
    assert "--out FOLDER" not in said
    assert f"({100 * first['confidence']:.1f} %)" in said


def test_a_net_that_answers_several_questions(tinynet: Command, tmp_path: Path) -> None:
    model = tn.Sequential([tn.Rescale(), tn.Flatten(), tn.Dense(10)], (28, 28, 1), backend="numpy")
    tn.save_model(tmp_path / "tags.safetensors", model, tn.BinaryCrossEntropy())
    said = tinynet("evaluate", tmp_path / "tags.safetensors", "--dataset", "sample", code=1)
    assert "answers several questions by yes or no" in said
    assert "received: 10 outputs of BinaryCrossEntropy" in said


def test_an_out_that_is_a_file(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    said = tinynet("evaluate", trained.folder, "--dataset", "sample", "--out", tmp_path / "taken", code=2)
    assert "is a file" in said
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("missing.safetensors", None, "there is no file"),
        ("text.safetensors", b"hello", "is damaged, or no safetensors file"),
    ],
)
def test_a_file_that_is_no_model(
    tinynet: Command, tmp_path: Path, file: str, content: bytes | None, complaint: str
) -> None:
    if content:
        (tmp_path / file).write_bytes(content)
    assert complaint in tinynet("evaluate", tmp_path / file, "--dataset", "sample", code=1)


def test_a_folder_that_is_no_run(tinynet: Command, tmp_path: Path) -> None:
    assert "is not the folder of a run" in tinynet("evaluate", tmp_path, "--dataset", "sample", code=1)


def test_a_model_of_another_data_set_is_told(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    model, loss, _ = checkpoint.load_model(trained.folder / "model.safetensors", backend="numpy")
    checkpoint.save_model(tmp_path / "m.safetensors", model, loss, {})
    said = tinynet("evaluate", tmp_path / "m.safetensors", "--dataset", "sample")
    assert "NOTE: trained on other data, evaluated on sample" in said


def test_a_data_folder_without_the_files(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(3, np.uint8))
    said = tinynet("evaluate", trained.folder, "--dataset", "mnist", "--data-dir", tmp_path, code=1)
    assert "lacks files of mnist" in said


def test_the_mean_over_shifted_images(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    """And what predict says of the same image, averaged in the same way."""
    asked = ("--dataset", "sample", "--tta", "1")
    said = tinynet("evaluate", trained.folder, *asked, "--out", tmp_path / "evaluation")
    found = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert found["data"] == "1,000 test images of sample, each moved by up to 1 pixel"
    model, loss, _ = checkpoint.load_model(trained.folder)
    images = load("sample").test.images
    expected = predict(model, loss, images, shifts=1).probabilities
    after = expected.argmax(axis=1) == load("sample").test.labels
    before = predict(model, loss, images).classes == load("sample").test.labels
    assert found["accuracy"] == found["tta"]["with"]["accuracy"] == after.mean()
    assert found["tta"]["without"]["accuracy"] == before.mean()
    assert found["tta"]["put_right"] == (after & ~before).sum()
    gain = (
        f"The gain of averaging over shifts by up to 1 pixel: {100 * (after.mean() - before.mean()):+.2f} "
        f"points, from {100 * before.mean():.2f} % (95 % interval "
    )
    assert gain in said
    assert gain in (tmp_path / "evaluation" / "evaluation.md").read_text()
    assert "gain of" not in tinynet("evaluate", trained.folder, "--dataset", "sample")
    assert f"({100 * expected[0].max():.1f} %)" in said
    write_idx(tmp_path / "one.idx", images[:1, ..., 0])
    said = tinynet("predict", trained.folder, tmp_path / "one.idx", "--tta", "1")
    assert f"{100 * expected[0].max():.1f} %" in said
