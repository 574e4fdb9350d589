"""Pictures of one's own, all the way: train, evaluate, predict, explain, export; without a test, too."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from commands import Command
from PIL import Image, ImageDraw
from safetensors.numpy import save_file

from tinynet import checkpoint
from tinynet.data.pictures.whole import read_whole
from tinynet.serve import models

SIZE = (16, 16, 3)
RECIPE = """
layers = [
  { type = "Rescale" },
  { type = "Conv2D", filters = 8, kernel = 5 },
  { type = "ReLU" },
  { type = "MaxPool2D" },
  { type = "Flatten" },
  { type = "Dense", units = 10 },
]

[training]
epochs = 12
batch_size = 16
validation = 0.2
optimizer = { type = "Adam", learning_rate = 0.01 }
"""


def draw(path: Path, disc: bool, rng: np.random.Generator) -> None:
    """A green disc or an orange square, of any size and place, on a dark ground."""
    width, height, r = (int(n) for n in rng.integers((30, 30, 8), (50, 50, 13)))
    picture = Image.new("RGB", (width, height), tuple(rng.integers(0, 60, 3).tolist()))
    x, y = int(rng.integers(r, width - r)), int(rng.integers(r, height - r))
    box, pen = (x - r, y - r, x + r, y + r), ImageDraw.Draw(picture)
    if disc:
        pen.ellipse(box, fill=(40, 200, 90))
    else:
        pen.rectangle(box, fill=(240, 150, 30))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty of each."""
    folder, rng = tmp_path_factory.mktemp("pictures") / "signs", np.random.default_rng(1)
    for n in range(80):
        draw(folder / ("disc" if n % 2 else "square") / f"{n:02}.png", bool(n % 2), rng)
    return folder


@pytest.fixture
def learned(tinynet: Command, signs: Path, tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(RECIPE)
    run = tmp_path / "run"
    said = tinynet("train", tmp_path / "small.toml", "--dataset", signs, "--size", "16", "--out", run)
    assert f"Pictures in {signs}, in colour, scaled to 16 × 16: 64 to train with, 16 to test with" in said
    assert "51 training images" in said
    return run


def test_all_the_way(tinynet: Command, learned: Path, signs: Path, tmp_path: Path) -> None:
    report = json.loads((learned / "report.json").read_text())
    assert report["test"]["accuracy"] > 0.9
    assert [each["name"] for each in report["test"]["classes"]] == ["disc", "square"]
    assert "to test with" in (learned / "report.md").read_text()
    assert "None of these 16 images" in tinynet("evaluate", learned)
    assert "None of these 16 images" in tinynet("evaluate", learned, "--dataset", signs)
    assert "hold" in tinynet("audit", learned)
    picture = signs / "disc" / "01.png"
    said = tinynet("explain", learned, picture, "--out", tmp_path / "why")
    assert "scaled from" in said
    assert "one level more in each of its channels changes it by" in said
    assert not re.search(r"\b(ink|grey level|stroke)\b", said + (tmp_path / "why/explanation.md").read_text())
    tinynet("predict", learned, picture, "--seen", tmp_path / "seen.png")
    assert is_coloured(tmp_path / "seen.png")
    assert is_coloured(tmp_path / "why" / "saliency.png")
    tinynet("export", learned, "-o", tmp_path / "page.html")
    assert '"whole": true' in (tmp_path / "page.html").read_text()
    tinynet("export", learned, "--to", "onnx", "-o", tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    image = read_whole(picture, SIZE).image[None]
    model, loss, _ = checkpoint.load_model(learned, backend="numpy")
    [found] = session.run(None, {"image": image.astype(np.float32)})
    np.testing.assert_allclose(found, loss.probabilities(model.predict(image)), atol=1e-5)


def test_a_folder_is_measured_in_part_or_whole(
    tinynet: Command, learned: Path, signs: Path, tmp_path: Path
) -> None:
    """What was cut off as a test part is said, and can be had whole; a broken picture can be left out."""
    unseen, rng = tmp_path / "unseen", np.random.default_rng(2)
    for n in range(10):
        draw(unseen / ("disc" if n % 2 else "square") / f"{n}.png", bool(n % 2), rng)
    said = tinynet("evaluate", learned, "--dataset", unseen, "--out", tmp_path / "out")
    assert "Measured on its test part alone, 2 of 10 images. For all of them: --split all." in said
    assert "test part alone, 2 of 10 images" in (tmp_path / "out" / "evaluation.md").read_text()
    said = tinynet("evaluate", learned, "--dataset", unseen, "--split", "all", "--out", tmp_path / "all")
    assert "on 10 images of unseen" in said
    assert "alone" not in said
    rows = list(csv.DictReader((tmp_path / "all" / "evaluation.csv").read_text().splitlines()))
    assert {row["file"] for row in rows} == {str(path.relative_to(unseen)) for path in unseen.glob("*/*.png")}
    (unseen / "disc" / "broken.png").write_bytes(b"no picture")
    asked = ("evaluate", learned, "--dataset", unseen)
    assert "leave them out with --skip-broken" in tinynet(*asked, code=1)
    assert "2 of 10 images" in tinynet(*asked, "--skip-broken")
    tinynet("data", "explore", unseen, "--skip-broken", "--out", tmp_path / "look")
    (unseen / "disc").rename(unseen / "ring")
    said = tinynet(*asked, "--skip-broken", code=1)
    assert "the net does not know a class of" in said
    assert "net's classes: disc, square" in said
    assert "the net knows other classes" in tinynet("evaluate", learned, "--dataset", "sample", code=1)


def test_pictures_in_the_wrong_folder_are_on_the_sheet_of_several_nets(
    tinynet: Command, learned: Path, tmp_path: Path
) -> None:
    """In colour, of another size than digits, with the names of the files."""
    mixed, rng = tmp_path / "mixed", np.random.default_rng(4)
    for n in range(8):
        draw(mixed / ("disc" if n % 2 else "square") / f"{n}.png", bool(n % 2), rng)
    draw(mixed / "square" / "no-square.png", True, rng)
    nets = [learned, shutil.copytree(learned, tmp_path / "twin")]
    said = tinynet("ensemble", *nets, "--dataset", mixed, "--split", "all", "--out", tmp_path / "out")
    assert "Both nets call 1 of 9 images of mixed otherwise than their label." in said
    [row] = json.loads((tmp_path / "out" / "evaluation.json").read_text())["against_label"]
    assert (row["file"], row["label"]) == ("square/no-square.png", "square")
    assert [net["says"] for net in row["nets"]] == ["disc", "disc"]
    assert (
        f"| #{row['index']} square/no-square.png | square |" in (tmp_path / "out/evaluation.md").read_text()
    )
    with Image.open(tmp_path / "out" / "disagreement.png") as sheet:
        colours = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    assert (abs(colours.astype(int) - (40, 200, 90)).max(axis=1) < 40).sum() > 300  # the disc's green


def test_a_recipe_of_more_images_takes_all(tinynet: Command, signs: Path, tmp_path: Path) -> None:
    """The number of images in a recipe, such as kaggle-cnn's, is no bar to data of one's own."""
    (tmp_path / "small.toml").write_text(
        RECIPE.replace("validation = 0.2", "samples = 40_000\nvalidation = 10_000")
    )
    asked = ("train", tmp_path / "small.toml", "--dataset", signs, "--size", "16", "--epochs", "1")
    said = tinynet(*asked, "--out", tmp_path / "run")
    assert "The recipe takes 40,000 training images; all 64 are taken here, 25.0 % of them" in said
    assert "48 training images" in said
    assert "54 training images" in tinynet(*asked, "--validation", "10", "--out", tmp_path / "other")
    assert "hold" in tinynet("audit", tmp_path / "run")


def test_what_is_of_another_kind_is_said_to_be(
    tinynet: Command, learned: Path, signs: Path, tmp_path: Path
) -> None:
    picture, onnx = signs / "disc" / "01.png", tmp_path / "net.onnx"
    assert "is a single picture" in tinynet("train", "--dataset", picture, code=1)
    said = tinynet("explain", learned, signs, "--out", tmp_path / "why", code=1)
    assert "is a folder, and one image is explained at a time" in said
    assert f"name a picture in it: {picture}" in said
    tinynet("export", learned, "-o", onnx)
    assert f"tinynet import {onnx}" in tinynet("predict", onnx, picture, code=1)
    loose = shutil.copy(learned / "model.safetensors", tmp_path / "loose.safetensors")
    assert f"{loose} is not the folder of a run" in tinynet("audit", loose, code=1)
    save_file({"fc.weight": np.ones((10, 784), np.float32)}, tmp_path / "torch.safetensors")
    assert "--recipe NAME" in tinynet("predict", tmp_path / "torch.safetensors", picture, code=1)


def test_mistakes_are_drawn_in_colour(tinynet: Command, signs: Path, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(RECIPE)
    asked = ("--dataset", signs, "--size", "16", "--epochs", "1", "--lr", "0")
    run = tmp_path / "run"
    tinynet("train", tmp_path / "small.toml", *asked, "--out", run)
    said = tinynet("evaluate", run, "--out", tmp_path / "out", "--mistakes", tmp_path / "mistakes.png")
    assert "Mistakes drawn in" in said
    assert is_coloured(tmp_path / "mistakes.png")
    assert (tmp_path / "out" / "mistakes.png").read_bytes() == (tmp_path / "mistakes.png").read_bytes()
    for table in (run / "predictions.csv", tmp_path / "out" / "evaluation.csv"):
        rows = list(csv.DictReader(table.read_text().splitlines()))
        assert all((signs / row["file"]).is_file() for row in rows)
        assert all(row["file"].startswith(row["label_name"]) for row in rows)
        assert {row["predicted_name"] for row in rows} <= {"disc", "square"}
    text = (run / "predictions.csv").read_text()
    (run / "predictions.csv").write_text(text.replace(",disc/", ",square/", 1))
    assert "does not hold names in the predictions, from the data" in tinynet("audit", run, code=1)


def test_data_are_drawn_in_colour(tinynet: Command, signs: Path, tmp_path: Path) -> None:
    tinynet("data", "show", signs, "--out", tmp_path / "plain.png")
    mixed = ("--augment", "--cutmix", "1")
    tinynet("data", "show", signs, *mixed, "--out", tmp_path / "mixed.png")
    tinynet("data", "explore", signs, "--out", tmp_path / "look")
    for name in ("plain.png", "mixed.png", "look/mean-images.png", "look/samples.png", "look/pixels.png"):
        assert is_coloured(tmp_path / name), name


def is_coloured(path: Path) -> bool:
    """Whether many of the drawn pixels are green, as no ink of our plots is."""
    red, green, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB"), int), -1, 0)
    return int(((green > red + 30) & (green > blue + 30)).sum()) > 300


def test_two_classes_by_a_single_output(tinynet: Command, signs: Path, tmp_path: Path) -> None:
    """By binary cross-entropy, with weights for both: every command has both classes."""
    plan, run = tmp_path / "binary.toml", tmp_path / "run"
    plan.write_text(f'{RECIPE}loss = {{ type = "BinaryCrossEntropy" }}\nclass_weight = "balanced"\n')
    said = tinynet("train", plan, "--dataset", signs, "--size", "16", "--out", run)
    assert "The last Dense has 1 unit, not 10: it is the logit of square against disc" in " ".join(
        said.split()
    )
    model, loss, _ = checkpoint.load_model(run, backend="numpy")
    assert (model.output_shape, type(loss).__name__) == ((1,), "BinaryCrossEntropy")
    assert json.loads((run / "report.json").read_text())["test"]["accuracy"] > 0.9
    assert "disc" in tinynet("evaluate", run)
    assert "hold" in tinynet("audit", run)
    picture = signs / "disc" / "01.png"
    assert "disc" in tinynet("predict", run, picture, "--out", tmp_path / "said.csv")
    tinynet("card", run, "--out", tmp_path / "card")
    said = tinynet("export", run, "--to", "onnx", "-o", tmp_path / "net.onnx")
    assert "Output `probabilities`: (batch, 2)" in said
    tinynet("import", tmp_path / "net.onnx", "-o", tmp_path / "back.safetensors")
    assert "disc" in tinynet("predict", tmp_path / "back.safetensors", picture)
    assert re.search(
        r"(1[3-6]) in int8, \1 in float32",
        tinynet("export", run, "--to", "c", "--int8", "-o", tmp_path / "net.h"),
    )
    assert '"disc"' in (tmp_path / "net.h").read_text()
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    image = read_whole(picture, SIZE).image[None]
    [found] = session.run(None, {"image": image.astype(np.float32)})
    assert found.shape == (1, 2)
    np.testing.assert_allclose(found, loss.probabilities(model.predict(image)), atol=1e-5)
    tinynet("export", run, "-o", tmp_path / "page.html")
    assert '"classes": ["disc", "square"]' in (tmp_path / "page.html").read_text()
    assert "Predicted: disc" in tinynet("explain", run, picture, "--out", tmp_path / "why")
    served = models.load([str(run)], "numpy")["run"]
    np.testing.assert_allclose(served.probabilities(image), found, atol=1e-5)
    assert [each["label"] for each in served.explain(image[0])["top"]] == ["disc", "square"]


def test_a_folder_is_predicted_past_a_broken_picture(
    tinynet: Command, learned: Path, signs: Path, tmp_path: Path
) -> None:
    mixed = tmp_path / "mixed"
    (mixed / "deep").mkdir(parents=True)
    for name in ("disc/01.png", "square/02.png"):
        (mixed / "deep" / name.replace("/", "-")).write_bytes((signs / name).read_bytes())
    (mixed / "broken.png").write_bytes(b"no picture")
    written = ("--out", tmp_path / "out.csv", "--seen", tmp_path / "s.png")
    said = tinynet("predict", learned, mixed, *written, code=1)
    assert "broken.png is not a picture" in said
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert [line.split(",")[2] for line in lines[1:]] == ["disc", "square"]
    assert (tmp_path / "s.png").exists()


def test_without_a_test_part(tinynet: Command, signs: Path, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(RECIPE)
    run = tmp_path / "run"
    asked = ("--dataset", signs, "--size", "16", "--test", "0", "--epochs", "2")
    said = tinynet("train", tmp_path / "small.toml", *asked, "--out", run)
    assert "none to test with" in said
    assert "no test part to say how good it is" in said
    report = (run / "report.md").read_text()
    assert "# A net without a test" in report
    assert "none were left to test it with" in report
    assert not (run / "confusion-matrix.png").exists()
    assert "hold" in tinynet("audit", run)
    assert "has no test part" in tinynet("evaluate", run, code=1)
    assert f"try: tinynet evaluate {run} --split train" in said
    assert "80 train images" in tinynet("evaluate", run, "--split", "train")
    others = ("evaluate", run, "--dataset", signs)
    assert "measure all its images: --split all" in tinynet(*others, code=1)
    assert "on 80 images of signs" in tinynet(*others, "--split", "all")
    tinynet("card", run)
    tinynet("export", run, "-o", tmp_path / "page.html")


def test_broken_pictures_are_left_out_only_if_asked(tinynet: Command, signs: Path, tmp_path: Path) -> None:
    shutil.copytree(signs, tmp_path / "signs")
    (tmp_path / "signs" / "disc" / "99.png").write_bytes(b"no picture")
    (tmp_path / "small.toml").write_text(RECIPE)
    asked = ("train", tmp_path / "small.toml", "--dataset", tmp_path / "signs", "--epochs", "1")
    run = tmp_path / "run"
    assert "99.png is not a picture" in tinynet(*asked, "--out", run, code=1)
    assert not run.exists()
    assert "1 broken one is left out" in tinynet(*asked, "--skip-broken", "--out", run)
    assert "None of these" in tinynet("evaluate", run)  # read again, in the same way


def test_a_size_is_for_pictures(tinynet: Command, tmp_path: Path) -> None:
    said = tinynet(
        "train", "linear", "--dataset", "sample", "--size", "14", "--out", tmp_path / "run", code=1
    )
    assert "sample has a size of its own: --size is for pictures in folders" in said
    assert not (tmp_path / "run").exists()


def test_data_are_shown_as_training_sees_them(tinynet: Command, signs: Path, tmp_path: Path) -> None:
    tinynet("data", "explore", signs, "--size", "8x6x1", "--out", tmp_path / "look")
    facts = json.loads((tmp_path / "look" / "exploration.json").read_text())["splits"]["train"]
    assert facts["shape"] == [8, 6, 1]
    for size in ("28", "8"):
        tinynet("data", "show", signs, "--size", size, "--out", tmp_path / f"{size}.png")
    tinynet("data", "show", signs, "--out", tmp_path / "default.png")
    assert (tmp_path / "28.png").read_bytes() == (tmp_path / "default.png").read_bytes()
    assert (tmp_path / "28.png").read_bytes() != (tmp_path / "8.png").read_bytes()
    for command in ("show", "explore"):
        said = tinynet("data", command, "sample", "--size", "14", "--out", tmp_path / "x.png", code=1)
        assert "has a size of its own" in said
    said = tinynet("data", "explore", signs, "--size", "64", "--out", tmp_path / "large", code=1)
    assert "too large for their covariance" in said


@pytest.mark.parametrize("size", ["0", "ten", "8x8x2", "1x2x3x4", "5000"])
def test_no_size(tinynet: Command, size: str) -> None:
    assert "is no size: expected 32" in tinynet("train", "--size", size, code=2)


def test_folds_and_searches_of_pictures(tinynet: Command, signs: Path, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(RECIPE.replace("epochs = 12", "epochs = 1"))
    said = tinynet(
        "crossval", tmp_path / "small.toml", "--dataset", signs, "--folds", "2", "--out", tmp_path / "folds"
    )
    assert "2 folds of 64 training images" in said
    said = tinynet(
        "tune", tmp_path / "small.toml", "--dataset", signs, "--trials", "1", "--out", tmp_path / "tune"
    )
    assert "tinynet train" in said
