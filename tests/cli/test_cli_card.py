"""tinynet card: a run's card on the screen and in a file, and where there is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import Command, Trained

from tinynet import checkpoint
from tinynet.cli import main
from tinynet.cli.card import AT_MOST
from tinynet.layers import Dense, Flatten, Rescale
from tinynet.model import Sequential
from tinynet.page import default
from tinynet.types import Shape


def test_a_runs_card_has_the_reports_figures(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "card.md"
    said = tinynet("card", trained.folder, "--out", out)
    text = out.read_text()
    report = json.loads((trained.folder / "report.json").read_text())
    assert f"Card: {out}" in said
    assert f"{report['test']['errors']:,} errors" in text
    assert f"{100 * report['test']['accuracy']:.2f} % of 1,000 test images are right" in text
    assert "| training | " in text
    assert "| validation | " in text
    assert report["facts"]["weights_sha256"] in text
    assert f"`{report['facts']['command']}`" in text
    assert "None of these 1,000 images was in its training data." in text
    printed = CliRunner().invoke(main, ["card", str(trained.folder)])
    assert printed.stdout == text
    assert "NOTE: this is the bundled sample" in printed.stderr


def test_a_safetensors_file_is_measured(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    file = tmp_path / "alone.safetensors"
    shutil.copy(trained.folder / "model.safetensors", file)
    said = tinynet("card", file, "--dataset", "sample")
    assert "1,000 test images are right" in said
    assert "| training |" not in said  # which images it was trained on is not known


def test_other_images_are_told(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    tinynet("data", "to-kaggle", tmp_path, "--dataset", "sample")
    said = tinynet("card", trained.folder, "--dataset", tmp_path / "train.csv")
    assert "All figures are of kaggle" in said
    assert "600 test images are right" in said
    assert "| training |" not in said


def test_without_a_run_it_is_the_card_of_the_net_that_comes_with_tinynet(tinynet: Command) -> None:
    said = tinynet("card")
    assert said.startswith("# Model card: freehand")
    assert "By drawings on a screen" in said
    assert default.load("numpy").about["card"]["figures"]["parts"][0]["samples"] == AT_MOST


def test_a_run_that_is_not_finished_or_is_none(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    (folder / "report.json").unlink()
    said = tinynet("card", folder)
    assert "Its training was stopped: the weights are as they were last saved." in said
    assert "1,000 test images are right" in said
    assert "is not the folder of a run" in tinynet("card", tmp_path, code=1)
    assert "there is no file" in tinynet("card", tmp_path / "none.safetensors", code=1)


@pytest.mark.parametrize(
    ("shape", "classes", "said"),
    [
        ((28, 28, 1), list("abcdefghij"), "its classes are others"),
        ((8, 8, 1), list("0123456789"), "its images are others"),
    ],
)
def test_data_of_another_net_are_not_measured(
    tinynet: Command, tmp_path: Path, shape: Shape, classes: list[str], said: str
) -> None:
    file = tmp_path / "odd.safetensors"
    model = Sequential([Rescale(), Flatten(), Dense(10)], shape, backend="numpy")
    checkpoint.save_model(file, model, about={"classes": classes})
    assert said in tinynet("card", file, "--dataset", "sample", code=1)
