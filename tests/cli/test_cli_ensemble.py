"""tinynet ensemble: the mean of several nets' probabilities, and nets that do not go together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Command, Trained

from tinynet import checkpoint, data, layers, metrics
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


def saved_with_bias(path: Path, logits: Any) -> Path:
    """A net that gives every image these ten logits."""
    model = Sequential([layers.Rescale(), layers.Flatten(), layers.Dense(10, init="zeros")], (28, 28, 1))
    model.store.values.views["dense_1.b"][...] = logits
    checkpoint.save_model(path, model, SoftmaxCrossEntropy(), {"classes": list("0123456789")})
    return path


def test_what_all_call_otherwise_is_drawn_listed_and_counted(tinynet: Command, tmp_path: Path) -> None:
    """Two nets that say 3 whatever they see: wrong of all images with another label."""
    paths = [
        saved_with_bias(tmp_path / f"{sure}.safetensors", sure * (np.arange(10) == 3)) for sure in (2, 4)
    ]
    out, labels = tmp_path / "out", data.load("sample").test.labels
    asked = ("ensemble", *paths, "--dataset", "sample")
    others = int((labels != 3).sum())
    sentence = f"Both nets call {others} of 1,000 test images of sample otherwise than their label."
    assert f"{sentence} To see them: --out FOLDER." in tinynet(*asked)
    said = tinynet(*asked, "--out", out)
    page = (out / "evaluation.md").read_text()
    assert sentence in said
    assert sentence in page
    assert f"The images with what each net says: {out / 'disagreement.png'}" in said
    assert "](disagreement.png)" in page
    assert (out / "disagreement.png").read_bytes().startswith(b"\x89PNG")
    rows = json.loads((out / "evaluation.json").read_text())["against_label"]
    assert [row["index"] for row in rows] == np.flatnonzero(labels != 3).tolist()
    assert [row["label"] for row in rows] == [str(label) for label in labels if label != 3]
    sure = [np.exp(each) / (np.exp(each) + 9) for each in (2, 4)]
    assert [net["confidence"] for net in rows[0]["nets"]] == pytest.approx(sure, rel=1e-5)
    assert rows[0]["probability_of_label"] == pytest.approx(np.mean([(1 - p) / 9 for p in sure]), rel=1e-4)

    saved_with_bias(paths[1], np.arange(10) == 5)
    threes = data.load("sample").test.images[labels == 3]
    data.write_csv(tmp_path / "threes.csv", threes, labels[labels == 3])
    said = tinynet("ensemble", *paths, "--dataset", tmp_path / "threes.csv", "--out", out)
    assert "Both nets call none of " in said
    assert "Both nets call none of " in (out / "evaluation.md").read_text()
    assert not (out / "disagreement.png").exists()
    assert json.loads((out / "evaluation.json").read_text())["against_label"] == []


def test_each_net_has_its_interval_and_its_gain(tinynet: Command, tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{seed}.safetensors", seed) for seed in range(2)]
    out, digits = tmp_path / "out", data.load("sample").test
    said = tinynet("ensemble", *paths, "--dataset", "sample", "--tta", "1", "--out", out)
    found = json.loads((out / "evaluation.json").read_text())
    page = (out / "evaluation.md").read_text()
    for path, net in zip(paths, found["ensemble"]["nets"], strict=True):
        model, loss, _ = checkpoint.load_model(path)
        plain, moved = (
            predict(model, loss, digits.images, shifts=n).classes == digits.labels for n in (0, 1)
        )
        low, high = metrics.wilson_interval(int(moved.sum()), 1000)
        assert net["interval"] == [low, high]
        assert net["tta"]["without"]["accuracy"] == plain.mean()
        row = (
            f"{path} | {100 * moved.mean():.2f} % | {100 * low:.2f} to {100 * high:.2f} % | {(~moved).sum()} "
            f"| {100 * plain.mean():.2f} % | {100 * (moved.mean() - plain.mean()):+.2f} |"
        )
        assert row in said.replace("│", "|")
        assert row in page
    together = found["ensemble"]["together"]
    assert together["accuracy"] == found["accuracy"] == together["tta"]["with"]["accuracy"]
    for text in (said, page):
        assert "the mean of their probabilities: a rule fixed beforehand" in text
        assert "The gain of averaging over shifts by up to 1 pixel: " in text
    assert "without --tta" not in tinynet("ensemble", *paths, "--dataset", "sample")


def test_on_the_images_that_all_held_out(
    tinynet: Command, train: Command, trained: Trained, tmp_path: Path
) -> None:
    """Nets of one recipe and other seeds; one that held others out is refused, and one that held out none."""
    for name, option in (("twin", ("--seed", "1")), ("other", ("--validation", "0.4"))):
        train("--epochs", "1", *option, "--out", tmp_path / name)
    asked = ("ensemble", trained.folder, tmp_path / "twin", "--split", "validation")
    said = tinynet(*asked, "--out", tmp_path / "out")
    assert "100 validation images of sample" in said
    assert "100 of these 100 images were in their validation data." in said
    held_out = data.load("sample").train[400:500]
    each = [
        predict(model, loss, held_out.images).probabilities
        for model, loss, _ in map(checkpoint.load_model, (trained.folder, tmp_path / "twin"))
    ]
    right = np.mean(each, axis=0).argmax(axis=1) == held_out.labels
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["accuracy"] == right.mean()
    said = tinynet("ensemble", trained.folder, tmp_path / "other", "--split", "validation", code=1)
    assert "held out other images than" in said
    assert "expected: the 100 validation images of sample" in said
    assert "received: 200 of sample" in said
    assert "1,000 test images" in tinynet("ensemble", trained.folder, tmp_path / "other")
    assert "--split is for a data set" in tinynet(*asked, "--file", tmp_path / "any.png", code=2)


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


def test_a_net_without_names_takes_those_of_another_of_as_many_classes(
    tinynet: Command, tmp_path: Path
) -> None:
    named = save(tmp_path / "named.safetensors", 0, classes="0123456789", units=10)
    nameless = save(tmp_path / "nameless.safetensors", 1, classes="", units=10)
    for nets in ((named, nameless), (nameless, named)):
        assert "all together" in tinynet("ensemble", *nets, "--dataset", "sample")
    three = save(tmp_path / "three.safetensors", 2, classes="", units=3)
    assert "classes 3 without names" in tinynet("ensemble", named, three, "--dataset", "sample", code=1)


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
