"""Which images a figure is measured on, how many of them a net has met, and data that have moved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import Command, Trained

from tinynet.cli.sources import lasting_name


@pytest.fixture(scope="module")
def rows(tinynet: Command, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Kaggle's files, made of the sample, and a net trained on them; look, do not touch."""
    home = tmp_path_factory.mktemp("rows")
    tinynet("data", "to-kaggle", home / "digits", "--dataset", "sample")
    options = ("--dataset", home / "digits" / "train.csv", "--backend", "numpy")
    tinynet("train", tiny, *options, "--out", home / "run")
    return home


def accuracy(run: Path) -> str:
    found = json.loads((run / "report.json").read_text())["test"]["accuracy"]
    return f"accuracy {100 * found:.2f} %"


def test_a_run_is_measured_on_its_own_test_part(tinynet: Command, rows: Path) -> None:
    said = tinynet("evaluate", rows / "run")
    assert accuracy(rows / "run") in said
    assert "600 test images of kaggle" in said
    assert "None of these 600 images was in its training data." in said


def test_images_of_other_data_that_a_run_has_met_are_counted(
    tinynet: Command, rows: Path, tmp_path: Path
) -> None:
    said = tinynet("evaluate", rows / "run", "--dataset", "sample", "--out", tmp_path / "out")
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())["leakage"]
    assert 0 < found["trained_on"] < 400
    assert 0 < found["validated_by"] < 100
    sentence = f"{found['trained_on']} of these 1,000 images were in its training data"
    assert sentence in said
    assert sentence in (tmp_path / "out" / "evaluation.md").read_text()
    assert "400 of these 2,400 images were in its training data, 100 more" in tinynet(
        "evaluate", rows / "run", "--split", "train"
    )


def test_an_ensemble_counts_what_any_of_its_nets_has_met(
    tinynet: Command, rows: Path, trained: Trained, tmp_path: Path
) -> None:
    assert "different data sets" in tinynet("ensemble", rows / "run", trained.folder, code=2)
    said = tinynet("ensemble", rows / "run", trained.folder, "--dataset", "sample", "--out", tmp_path / "out")
    assert " of these 1,000 images were in their training data" in said
    assert "in their training data" in (tmp_path / "out" / "evaluation.md").read_text()
    twin = shutil.copytree(rows / "run", tmp_path / "twin")
    assert "None of these 600 images" in tinynet("ensemble", rows / "run", twin)


def test_a_submission_is_warned_of_only_where_it_is_true(
    tinynet: Command, rows: Path, trained: Trained, tmp_path: Path
) -> None:
    test, submission = rows / "digits" / "test.csv", tmp_path / "submission.csv"
    said = tinynet("predict", rows / "run", test, "--submission", submission)
    assert "None of these 2,000 images was in its training data." in said
    assert "means nothing" not in said
    said = tinynet("predict", trained.folder, test, "--submission", submission)
    assert " of these 2,000 images were in its training data" in said
    assert "A score on images that a net was trained on means nothing." in said


def test_an_image_explained_may_have_been_learned(tinynet: Command, rows: Path, tmp_path: Path) -> None:
    for table, sentence in (("train", "This image was in its"), ("test", "This image was not in its")):
        said = tinynet("explain", rows / "run", rows / "digits" / f"{table}.csv", "--out", tmp_path / table)
        assert f"{sentence} training data." in said
        assert sentence in (tmp_path / table / "explanation.md").read_text()


def test_a_run_from_another_says_what_that_one_has_met(
    tinynet: Command, tiny: Path, rows: Path, tmp_path: Path
) -> None:
    options = ("--dataset", "sample", "--backend", "numpy", "--out", tmp_path / "child")
    said = tinynet("train", "--from", rows / "run", *options)
    found = json.loads((tmp_path / "child" / "report.json").read_text())["facts"]["leakage"]
    sentence = f"{found['trained_on']} of these 1,000 images were in its training data"
    assert sentence in said
    assert f"> **WARNING: {sentence}" in (tmp_path / "child" / "report.md").read_text()


def test_of_a_file_in_no_run_s_folder_it_cannot_be_told(
    tinynet: Command, trained: Trained, tmp_path: Path
) -> None:
    shutil.copy(trained.folder / "model.safetensors", tmp_path / "loose.safetensors")
    said = tinynet("evaluate", tmp_path / "loose.safetensors")
    assert "1,000 test images of sample" in said  # the file says which data set it was
    assert "cannot be told: the weights are in no run's folder" in said
    assert "None of these 1,000" in tinynet("evaluate", trained.folder / "best.safetensors")


@pytest.fixture
def moved(rows: Path, tmp_path: Path) -> Path:
    """The run of `rows` after its data were moved to `there`."""
    shutil.copytree(rows / "run", tmp_path / "run")
    settings = json.loads((tmp_path / "run" / "config.json").read_text())
    gone = str(tmp_path / "gone" / "train.csv")
    for name in ("config.json", "log.jsonl", "report.json", "report.md"):
        path = tmp_path / "run" / name
        path.write_text(path.read_text().replace(settings["dataset"], gone))
    shutil.copytree(rows / "digits", tmp_path / "there")
    return tmp_path


@pytest.mark.parametrize("command", [["evaluate"], ["audit"], ["train", "--resume"]], ids=" ".join)
def test_data_that_moved_are_named_anew_and_their_hash_is_checked(
    tinynet: Command, moved: Path, command: list[str]
) -> None:
    said = tinynet(*command, moved / "run", code=1)
    assert "the data that the run tiny was trained on are not found" in said
    assert "--data-dir FOLDER, or --dataset FILE" in said
    tinynet(*command, moved / "run", "--dataset", moved / "there" / "train.csv")
    tinynet(*command, moved / "run", "--data-dir", moved / "there")
    if command != ["evaluate"]:  # which measures on any data
        wrong = moved / "there" / "wrong.csv"
        wrong.write_text("".join((moved / "there" / "train.csv").read_text().splitlines(True)[:90]))
        said = tinynet(*command, moved / "run", "--dataset", wrong, code=1)
        assert "the data set kaggle is not the one the run tiny was trained on" in said


def test_predict_and_explain_take_the_new_place_too(tinynet: Command, moved: Path) -> None:
    place = ("--dataset", moved / "there" / "train.csv")
    test = moved / "there" / "test.csv"
    assert "cannot be told: the data that the run tiny" in tinynet("predict", moved / "run", test)
    assert "None of these 2,000" in tinynet("predict", moved / "run", test, *place)
    assert "was not in its" in tinynet("explain", moved / "run", test, *place, "--out", moved / "why")


def test_a_run_of_a_cross_validation_has_its_fold_for_a_test_part(
    tinynet: Command, tiny: Path, tmp_path: Path
) -> None:
    options = ("--dataset", "sample", "--folds", 2, "--backend", "numpy", "--epochs", 1)
    tinynet("crossval", tiny, *options, "--out", tmp_path / "cv")
    fold = tmp_path / "cv" / "fold-2"
    said = tinynet("evaluate", fold)
    assert "2,000 test images of sample, fold 2 of 2" in said
    assert "None of these 2,000 images was in its training data." in said
    assert accuracy(fold) in said
    assert "checks hold" in tinynet("audit", fold)
    assert "400 of these 2,000 images" in tinynet("evaluate", fold, "--split", "train")


@pytest.mark.parametrize("name", ["sample", "mnist", "fashion-mnist", "auto"])
def test_a_folder_or_file_called_like_a_data_set_does_not_take_its_place(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    assert lasting_name(name, "mnist") == ("mnist" if name == "auto" else name)
    assert lasting_name(f"./{name}", "kaggle") == str(tmp_path / name)


def test_a_run_on_the_sample_beside_a_folder_of_that_name(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sample").mkdir()
    train()
    assert json.loads(Path("run/config.json").read_text())["dataset"] == "sample"
    train("--resume", "run")


def test_a_run_on_rows_in_several_files(train: Command, tinynet: Command, rows: Path, tmp_path: Path) -> None:
    header, *lines = (rows / "digits" / "train.csv").read_text().splitlines(True)
    (tmp_path / "rows").mkdir()
    for n in range(3):
        (tmp_path / "rows" / f"train_{n}.csv").write_text("".join([header, *lines[1000 * n :][:1000]]))
    said = train("--dataset", tmp_path / "rows")
    assert "The last 600 rows of 3 files" in said
    assert accuracy(tmp_path / "run") == accuracy(rows / "run")
    assert "None of these 600 images was in its training data." in tinynet("evaluate", tmp_path / "run")
    pattern = ("--dataset", tmp_path / "rows" / "*_[012].csv")
    assert "None of these 600 images" in tinynet("evaluate", tmp_path / "run", *pattern)
    assert "3 files" in (tmp_path / "run" / "report.md").read_text()


def test_a_run_on_arrays(train: Command, tinynet: Command, tiny: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    colours = np.array([[200, 20, 20], [20, 200, 20], [20, 20, 200]])[labels]
    images = (colours[:, None, None] + rng.integers(0, 50, (120, 6, 5, 3))).astype(np.uint8)
    np.savez(tmp_path / "own.npz", x=images, y=labels, classes=np.array(["red", "green", "blue"]))
    small = tmp_path / "small.toml"
    small.write_text(tiny.read_text().replace("samples = 500", "").replace("epochs = 2", "epochs = 20"))
    said = train("--dataset", tmp_path / "own.npz", architecture=small)
    assert "96 to train with, 24 to test with (a share of each class, the same every time)." in said
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert [each["name"] for each in report["test"]["classes"]] == ["red", "green", "blue"]
    assert report["test"]["accuracy"] > 0.9
    assert "None of these 24 images" in tinynet("evaluate", tmp_path / "run")
    assert "hold" in tinynet("audit", tmp_path / "run")


def test_a_data_set_given_again_is_joined(
    train: Command, tinynet: Command, rows: Path, tmp_path: Path
) -> None:
    table = rows / "digits" / "train.csv"
    said = train("--dataset", "sample", "--dataset", table)
    assert "on sample + kaggle" in said
    assert "of these 1,600 images were in its training data" in said  # the table is made of the sample
    run = tmp_path / "run"
    assert json.loads((run / "config.json").read_text())["dataset"] == f"sample + {table}"
    assert "1,600 test images of sample + kaggle" in tinynet("evaluate", run)
    train("--resume", run)
    train("--resume", run, "--dataset", "sample", "--dataset", table)
    assert "is not the one" in train("--resume", run, "--dataset", "sample", code=1)
    said = tinynet("evaluate", run, "--dataset", "sample", "--dataset", "sample", code=1)
    assert "named once each" in said
