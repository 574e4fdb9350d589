"""The file of the last rung, of two nets trained in no time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from commands import call

from tinynet.data import load
from tinynet.learn import last_percent as shown
from tinynet.learn.ladder import rung
from tinynet.learn.last_percent import read

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import last_percent

TINY = """
layers = [ { type = "Rescale" }, { type = "Flatten" }, { type = "Dense", units = 10 } ]
[training]
epochs = 1
validation = 500
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, `one` and `two`, and what they say `together` on shifted images."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "tiny.toml").write_text(TINY)
    for seed, name in enumerate(("one", "two")):
        options = ("--dataset", "sample", "--backend", "numpy", "--seed", seed, "--out", folder / name)
        call("train", folder / "tiny.toml", *options)
    call("ensemble", folder / "one", folder / "two", "--tta", 1, "--out", folder / "together")
    return folder


@pytest.fixture(scope="module")
def out(folder: Path) -> Path:
    """The file that the script writes of them."""
    out = folder / "last_percent.json"
    command = [str(folder / "together"), "--trial", str(folder / "one"), "--out", str(out)]
    result = CliRunner().invoke(last_percent.main, command)
    assert result.exit_code == 0, result.output
    return out


def test_the_file_has_every_figure_and_the_images_that_all_nets_miss(folder: Path, out: Path) -> None:
    found, test = read(out), load("sample").test
    evaluation = json.loads((folder / "together" / "evaluation.json").read_text())
    report = json.loads((folder / "one" / "report.json").read_text())
    assert (found["dataset"], found["images"]) == ("sample", 1000)
    assert [(net["net"], net["recipe"]) for net in found["nets"]] == [("one", "tiny"), ("two", "tiny")]
    assert [net["errors"] for net in found["nets"]] == [
        net["errors"] for net in evaluation["ensemble"]["nets"]
    ]
    assert found["nets"][0]["unshifted"] == report["test"]["errors"]
    assert found["together"]["errors"] == evaluation["errors"]
    share = report["training"]["final_val_accuracy"]
    assert found["trials"] == [{"trial": "one", "right": round(500 * share), "images": 500}]
    assert len(found["missed"]) == len(evaluation["against_label"]) > 0
    for row in found["missed"]:
        np.testing.assert_array_equal(row["image"], test.images[row["index"]])
        assert row["label"] == str(test.labels[row["index"]])
        assert all(net["says"] != row["label"] for net in row["nets"])


def test_a_trial_that_was_told_once_is_told_again(folder: Path, out: Path, tmp_path: Path) -> None:
    """Runs are deleted, and what they came to is not."""
    again = tmp_path / "again.json"
    again.write_bytes(out.read_bytes())
    command = [str(folder / "together"), "--trial", str(folder / "two"), "--out", str(again)]
    for _ in range(2):
        assert CliRunner().invoke(last_percent.main, command).exit_code == 0
    assert [each["trial"] for each in read(again)["trials"]] == ["one", "two"]
    assert read(again)["trials"][0] == read(out)["trials"][0]


def test_figures_of_other_images_than_test_images_are_refused() -> None:
    with pytest.raises(Exception, match="where test images are asked for"):
        last_percent.record({"data": "500 validation images of sample"}, [])


def test_the_rung_shows_any_such_file(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last two cells, run on this one: a table, and a sheet where images are recorded."""
    path = Path(__file__).resolve().parents[2] / "examples" / rung("13").notebook
    cells = json.loads(path.read_text("utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    found = read(out)
    monkeypatch.setattr(shown, "read", lambda: found)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for source in (sources[0], *sources[-2:]):
        exec(source, names)  # noqa: S102 (cells of our own notebook)
    said = capsys.readouterr().out
    assert f"with one view {found['nets'][0]['unshifted']} wrong" in said
    assert f"Both nets call {len(found['missed'])} of 1,000 test images otherwise" in said
    assert (tmp_path / "mnist.png").stat().st_size > 0
