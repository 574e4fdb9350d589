"""tinynet classical: the report on the sample, nets beside it, and nets that saw the answers."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from commands import Command, Trained

from tinynet import checkpoint
from tinynet.cli.progress import fits
from tinynet.data import load, write_csv, write_submission
from tinynet.data.kaggle import TEST_LABELS
from tinynet.experiments.classical import models


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few clusters; one thread, as two that share a busy core wait for each other."""
    monkeypatch.setattr(models, "MINI_CLUSTERS", 20)
    monkeypatch.setenv("TINYNET_THREADS", "1")


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A Kaggle folder: 700 digits, and a test table with 20 that the tiny net sees in the sample."""
    folder = tmp_path / "digits"
    folder.mkdir()
    data = load("sample").train
    write_csv(folder / "train.csv", data.images[1000:1700], data.labels[1000:1700])
    write_csv(folder / "test.csv", data.images[380:480])
    write_submission(folder / TEST_LABELS, data.labels[380:480])
    return folder


def test_the_report_on_the_sample(tinynet: Command, tmp_path: Path) -> None:
    said = tinynet("classical", "--dataset", "sample", "--out", tmp_path / "report")
    assert "The first 4,000 of the 4,000 training images of sample" in said
    assert "random forest: 9" in said
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [model["test"]["samples"] for model in report["models"]] == [1000] * 8
    assert "is not empty" in tinynet("classical", "--out", tmp_path / "report", code=1)


def test_rows_that_are_there_twice_are_counted(tinynet: Command, digits: Path, tmp_path: Path) -> None:
    data = load("sample").train
    write_csv(digits / "train.csv", np.repeat(data.images[:200], 2, axis=0), np.repeat(data.labels[:200], 2))
    said = tinynet("classical", "--kaggle", digits, "--out", tmp_path / "report")
    counted = json.loads((tmp_path / "report" / "report.json").read_text())["rows"]["in_train"]["validation"]
    assert counted > 40
    assert f"{counted} of the validation rows and 0 of the test table's are also among" in said


def test_a_net_on_the_same_rows_stands_in_the_table(
    tinynet: Command, train: Command, digits: Path, tmp_path: Path
) -> None:
    said = tinynet("classical", "--kaggle", digits, "--rows", tmp_path / "rows")
    assert f"tinynet train --dataset {tmp_path / 'rows'}" in said
    run = tmp_path / "beside"
    train("--dataset", tmp_path / "rows", "--out", run)
    tinynet("classical", "--kaggle", digits, "--run", run, "--out", tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    *classical, net = report["models"]
    assert len(classical) == 8
    assert net["name"] == "tiny (beside)"
    own = json.loads((run / "report.json").read_text())
    assert net["validation"]["confusion"] == own["test"]["confusion"]
    assert net["test"]["samples"] == 100
    assert net["fit_seconds"] == pytest.approx(own["training"]["seconds_total"])
    assert (net["trained_on"], net["numbers"], net["bytes"]) == (400, 7850, 31400)
    assert "| tiny (beside) |" in (tmp_path / "report" / "report.md").read_text()


def test_a_net_that_was_trained_on_validation_rows_is_refused(
    tinynet: Command, trained: Trained, tmp_path: Path
) -> None:
    said = tinynet(
        "classical", "--dataset", "sample", "--run", trained.folder, "--out", tmp_path / "report", code=1
    )
    assert "was trained on images it would be tested on" in said
    assert "none of the 800 validation rows among its 400 images" in said
    assert "--rows FOLDER" in said
    assert not (tmp_path / "report").exists()


def test_a_net_that_was_trained_on_the_test_table_is_refused(
    tinynet: Command, trained: Trained, digits: Path
) -> None:
    """Kaggle's trap: its test.csv lies inside MNIST."""
    said = tinynet("classical", "--kaggle", digits, "--run", trained.folder, code=1)
    assert "none of the 100 test table's rows among its 400 images received: 20 of them" in said


def test_a_net_that_was_validated_by_validation_rows_is_refused(
    tinynet: Command, train: Command, tmp_path: Path, held_out: Path
) -> None:
    said = tinynet("classical", "--kaggle", held_out, "--run", tmp_path / "run", code=1)
    assert "was validated by images it would be tested on" in said


@pytest.fixture
def held_out(train: Command, tmp_path: Path) -> Path:
    """A Kaggle folder of what the run in tmp_path/run held out."""
    train()
    data = load("sample").train
    (tmp_path / "kaggle").mkdir()
    write_csv(tmp_path / "kaggle" / "train.csv", data.images[400:500], data.labels[400:500])
    return tmp_path / "kaggle"


def test_runs_that_cannot_be_judged(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished"
    shutil.copytree(trained.folder, unfinished, ignore=shutil.ignore_patterns("model.safetensors"))
    ask = ("classical", "--dataset", "sample", "--out", tmp_path / "report", "--run")
    assert f"tinynet train --resume {unfinished}" in tinynet(*ask, unfinished, code=1)
    assert "is not the folder of a run" in tinynet(*ask, tmp_path, code=1)
    assert "have one name" in tinynet(*ask, trained.folder, "--run", trained.folder, code=1)


def test_the_runs_data_set_is_another_now(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(trained.folder, moved)
    settings = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(settings | {"data_sha256": "0" * 64}))
    ask = ("classical", "--dataset", "sample", "--out", tmp_path / "report", "--run", moved)
    assert "is not the one the run tiny was trained on" in tinynet(*ask, code=1)


def test_a_net_of_other_classes(tinynet: Command, train: Command, digits: Path, tmp_path: Path) -> None:
    tinynet("classical", "--kaggle", digits, "--rows", tmp_path / "rows")
    train("--dataset", tmp_path / "rows")
    path = tmp_path / "run" / "model.safetensors"
    model, loss, about = checkpoint.load_model(path)
    checkpoint.save_model(path, model, loss, about | {"classes": [*"abcdefghij"]})
    said = tinynet("classical", "--kaggle", digits, "--run", tmp_path / "run", code=1)
    assert "is for other classes expected: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 received: a, b, c" in said


def test_kaggle_and_dataset_exclude_each_other(tinynet: Command, tmp_path: Path) -> None:
    assert "do not go together" in tinynet("classical", "--kaggle", tmp_path, "--dataset", "sample", code=2)


def test_a_long_fit_says_that_it_is_at_work(capsys: pytest.CaptureFixture[str]) -> None:
    with fits(2, every=0.05) as announce:
        announce("one")
        time.sleep(0.2)
        announce("other")
    said = capsys.readouterr().out
    assert "fitting one …\nfitting one … 0 s" in said
    assert "fitting other …\n" in said
    time.sleep(0.1)
    assert capsys.readouterr().out == ""
