"""The table of freehand drawings, and the file of the page's own net, of a net trained in no time."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import call
from drawings.freehand import SHAPES

from tinynet import checkpoint
from tinynet.io.markdown import percent

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import default_net
import freehand

TINY = """
layers = [ { type = "Rescale" }, { type = "Flatten" }, { type = "Dense", units = 10 } ]
[training]
epochs = 3
validation = 0.2
"""
SHAPE_COUNT = sum(map(len, SHAPES.values()))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.toml").write_text(TINY)
    call("train", folder / "tiny.toml", "--dataset", "sample", "--backend", "numpy", "--out", folder / "run")
    return folder / "run"


def test_the_table_has_every_shape_and_its_sums_are_right(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "freehand.md"
    result = CliRunner().invoke(freehand.main, [str(run), "--each", "2", "--out", str(out)])
    assert result.exit_code == 0, result.output
    text = out.read_text()
    rows = re.findall(r"^\| (\d) \| ([^|]+) \| (\d+) \| 2 \| (.*) \|$", text, re.MULTILINE)
    assert {(int(digit), shape) for digit, shape, _, _ in rows} == {(d, s) for d in SHAPES for s in SHAPES[d]}
    right = sum(int(each) for _, _, each, _ in rows)
    assert f"| these drawings | {percent(right / (2 * SHAPE_COUNT))} |" in text
    assert all(int(each) + taken.count("%") == 2 for _, _, each, taken in rows)
    assert 0 < right < 2 * SHAPE_COUNT  # this net is not good


def test_the_file_of_the_default_net(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "digits.safetensors"
    result = CliRunner().invoke(default_net.main, [str(run), "--out", str(out)])
    assert result.exit_code == 0, result.output
    model, _, about = checkpoint.load_model(out, backend="numpy")
    own = checkpoint.load_model(run, backend="numpy").model
    assert checkpoint.weights_sha256(model) == checkpoint.weights_sha256(own)
    headings = [section["heading"] for section in about["card"]["sections"]]
    assert headings.index("By drawings on a screen") == headings.index("Whose handwriting") + 1
    assert about["float16"]["images"] == 1000
