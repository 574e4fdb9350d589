"""tinynet predict: pictures, IDX and CSV in; a table, a CSV or a submission out."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from commands import Command, Trained
from PIL import Image

from tinynet import checkpoint, layers
from tinynet.data import load, write_csv, write_idx
from tinynet.data.datasets import Split
from tinynet.model import Sequential


@pytest.fixture(scope="module")
def digits() -> Split:
    return load("sample").test


@pytest.fixture
def predict(tinynet: Command, trained: Trained) -> Command:
    return lambda *arguments, code=0: tinynet("predict", trained.folder, *arguments, code=code)


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_every_kind_of_file_gives_the_predictions_of_the_run(
    predict: Command, trained: Trained, digits: Split, tmp_path: Path
) -> None:
    write_csv(tmp_path / "test.csv", digits.images[:30])
    write_csv(tmp_path / "train.csv.gz", digits.images[:30], digits.labels[:30])
    write_idx(tmp_path / "plain", digits.images[:30, ..., 0])
    write_idx(tmp_path / "packed.gz", digits.images[:30])
    Image.fromarray(digits.images[0, ..., 0]).save(tmp_path / "digit.png")
    names = ["test.csv", "train.csv.gz", "plain", "packed.gz"]
    out = tmp_path / "out.csv"
    predict(*(tmp_path / name for name in names), tmp_path / "digit.png", "--out", out)
    expected = [row["predicted"] for row in rows(trained.folder / "predictions.csv")[:30]]
    found = rows(out)
    assert [row["prediction"] for row in found] == expected * 4 + expected[:1]
    assert [row["index"] for row in found[30:60]] == [str(i) for i in range(30)]
    assert found[-1]["fitted"] == "used as it is"
    assert all(float(row["probability"]) >= float(row["probability_2"]) for row in found)


def test_the_table_shows_twenty_rows_and_says_that_there_are_more(
    predict: Command, digits: Split, tmp_path: Path
) -> None:
    write_idx(tmp_path / "many", digits.images[:25])
    said = predict(tmp_path / "many")
    assert said.count("many #") == 20
    assert "… and 5 more (use --out)" in said


def test_a_picture_is_explained(predict: Command, tmp_path: Path) -> None:
    canvas = np.full((120, 90), 240, np.uint8)
    canvas[20:100, 40:50] = 10
    Image.fromarray(canvas).save(tmp_path / "one.png")
    said = predict(tmp_path / "one.png", "--top", 3)
    assert "inverted, cropped from 120 x 90 to 80 x 10 (height x width)" in said
    assert said.count("%)") == 2


def test_top_is_limited_by_the_classes(predict: Command, digits: Split, tmp_path: Path) -> None:
    write_idx(tmp_path / "one", digits.images[:1])
    predict(tmp_path / "one", "--top", 99, "--out", tmp_path / "out.csv")
    (row,) = rows(tmp_path / "out.csv")
    assert sum(float(p) for name, p in row.items() if name.startswith("prob")) == pytest.approx(1, abs=1e-4)


def test_a_submission(predict: Command, trained: Trained, digits: Split, tmp_path: Path) -> None:
    write_csv(tmp_path / "test.csv", digits.images[:12])
    said = predict(tmp_path / "test.csv", "--submission", tmp_path / "submission.csv")
    assert "12 labels for Kaggle" in said
    lines = (tmp_path / "submission.csv").read_text().splitlines()
    expected = [row["predicted"] for row in rows(trained.folder / "predictions.csv")[:12]]
    assert lines == ["ImageId,Label", *(f"{i},{label}" for i, label in enumerate(expected, 1))]


def test_class_names_come_from_the_checkpoint(
    tinynet: Command, trained: Trained, digits: Split, tmp_path: Path
) -> None:
    model, loss, about = checkpoint.load_model(trained.folder / "model.safetensors", backend="numpy")
    checkpoint.save_model(tmp_path / "m.safetensors", model, loss, about | {"classes": list("ABCDEFGHIJ")})
    write_idx(tmp_path / "one", digits.images[:1])
    tinynet("predict", tmp_path / "m.safetensors", tmp_path / "one", "--out", tmp_path / "out.csv")
    assert rows(tmp_path / "out.csv")[0]["prediction"] in "ABCDEFGHIJ"
    said = tinynet(
        "predict", tmp_path / "m.safetensors", tmp_path / "one", "--submission", tmp_path / "s", code=1
    )
    assert "a submission is for models of the ten digits" in said
    checkpoint.save_model(tmp_path / "m.safetensors", model, loss, {})
    tinynet("predict", tmp_path / "m.safetensors", tmp_path / "one")


def test_files_with_a_mistake(predict: Command, tmp_path: Path) -> None:
    assert "cannot be read" in predict(tmp_path / "missing.png", code=1)
    (tmp_path / "notes.txt").write_text("no picture")
    assert "is not a picture" in predict(tmp_path / "notes.txt", code=1)
    write_idx(tmp_path / "labels", np.arange(5, dtype=np.uint8))
    assert "do not fit this model" in predict(tmp_path / "labels", code=1)
    write_idx(tmp_path / "small", np.zeros((2, 8, 8), np.uint8))
    assert "received: shape (2, 8, 8, 1)" in predict(tmp_path / "small", code=1)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    assert "wrong header" in predict(tmp_path / "bad.csv", code=1)
    assert "Missing argument 'FILES...'" in predict(code=2)


def test_a_file_with_a_mistake_does_not_stop_the_others(
    predict: Command, digits: Split, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(digits.images[0, ..., 0]).save(tmp_path / name)
    Image.fromarray(np.full((50, 40), 200, np.uint8)).save(tmp_path / "blank.png")
    (tmp_path / "notpic.png").write_text("no picture")
    files = [tmp_path / f"{name}.png" for name in ("a", "blank", "notpic", "nothere", "b")]
    said = predict(*files, "--out", tmp_path / "out.csv", code=1)
    assert [row["file"] for row in rows(tmp_path / "out.csv")] == [str(files[0]), str(files[4])]
    assert "2 predictions in" in said
    assert "blank.png is blank" in said
    assert "received: every pixel is alike" in said
    assert "notpic.png is not a picture" in said
    assert "nothere.png cannot be read" in said
    assert said.count("left out: ") == 3
    assert predict(*files[1:4], "--out", tmp_path / "none.csv", code=1).count("left out: ") == 3
    assert not (tmp_path / "none.csv").exists()
    assert "blank.png is blank" in predict(*files, "--submission", tmp_path / "s.csv", code=1)
    assert not (tmp_path / "s.csv").exists()


def test_an_output_that_cannot_be_written(predict: Command, digits: Split, tmp_path: Path) -> None:
    write_idx(tmp_path / "one", digits.images[:1])
    assert "cannot be written" in predict(tmp_path / "one", "--out", tmp_path / "no" / "out.csv", code=1)
    both = ("--out", tmp_path / "both.csv", "--submission", tmp_path / "both.csv")
    assert "name the same file" in predict(tmp_path / "one", *both, code=2)


def test_several_digits_in_a_picture_are_no_answer(predict: Command, tmp_path: Path) -> None:
    canvas = np.full((120, 200), 240, np.uint8)
    canvas[20:100, 40:50] = canvas[20:100, 140:150] = 10
    Image.fromarray(canvas).save(tmp_path / "two.png")
    out = tmp_path / "out.csv"
    said = predict(tmp_path / "two.png", "--out", out, "--seen", tmp_path / "seen.png")
    assert "not sure" in said
    assert "two.png: several digits: 2 separate shapes; crop the picture to one of them" in said
    assert rows(out)[0]["note"] == "several digits: 2 separate shapes"
    with Image.open(tmp_path / "seen.png") as sheet:
        levels = np.asarray(sheet.convert("RGB")).astype(int)
    assert np.ptp(levels, axis=2).max() < 10  # it is readable in grey
    assert levels.min() < 60


def test_a_drawing_is_a_picture(predict: Command, tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text('{"strokes": [[[10, 10], [11, 90]]], "label": 1}')
    out = tmp_path / "out.csv"
    assert (
        "what the net saw in 1 picture:" in predict(file, "--out", out, "--seen", tmp_path / "s.png").lower()
    )
    assert rows(out)[0]["fitted"] == "1 stroke, scaled, centred"
    assert (tmp_path / "s.png").stat().st_size > 10_000
    said = tinynet("explain", trained.folder, file, "--out", tmp_path / "why", "--samples", 2)
    assert "one.json: 1 stroke, scaled, centred" in said
    file.write_text('{"strokes": []}')
    assert "one.json is blank" in predict(file, code=1)


def test_a_sheet_of_what_was_seen_needs_a_picture(predict: Command, digits: Split, tmp_path: Path) -> None:
    write_idx(tmp_path / "one", digits.images[:1])
    said = predict(tmp_path / "one", "--seen", tmp_path / "seen.png", code=2)
    assert "--seen is for pictures" in said
    assert not (tmp_path / "seen.png").exists()


def test_a_model_of_nan_has_no_answer(
    tinynet: Command, trained: Trained, digits: Split, tmp_path: Path
) -> None:
    model, loss, about = checkpoint.load_model(trained.folder / "model.safetensors", backend="numpy")
    model.store.values.flat[:] = np.nan
    checkpoint.save_model(tmp_path / "m.safetensors", model, loss, about)
    write_idx(tmp_path / "one", digits.images[:1])
    wanted = ("--submission", tmp_path / "s.csv")
    said = tinynet("predict", tmp_path / "m.safetensors", tmp_path / "one", *wanted, code=1)
    assert "the model does not give probabilities" in said
    assert "nan %" not in said
    assert not (tmp_path / "s.csv").exists()


def test_a_softmax_over_a_single_output_is_refused(tinynet: Command, digits: Split, tmp_path: Path) -> None:
    net = [layers.Rescale(), layers.Flatten(), layers.Dense(1)]
    checkpoint.save_model(tmp_path / "m", Sequential(net, (28, 28, 1), backend="numpy"))
    write_idx(tmp_path / "one", digits.images[:1])
    said = tinynet("predict", tmp_path / "m", tmp_path / "one", code=1)
    assert "SoftmaxCrossEntropy makes no probabilities of a single output" in said
