"""Layers of one's own at the command line: known to the command that names their file, and to no other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import Command

from tinynet.layers import LAYERS

OWN = '''
"""A layer of one's own."""

from __future__ import annotations

from dataclasses import dataclass

from tinynet.layers import Layer


@dataclass(eq=False)
class Scaled(Layer):
    """y = factor x"""

    factor: float = 2.0

    def build(self, input_shape):
        return input_shape

    def forward(self, x, *, train, key):
        return self.ops.xp.multiply(x, self.factor, dtype=x.dtype), None

    def backward(self, dy, cache):
        return dy * self.ops.xp.asarray(self.factor, dy.dtype)
'''
NET = """
layers = [
  { type = "Rescale" },
  { type = "Flatten" },
  { type = "Scaled", factor = 1.5 },
  { type = "Dense", units = 10 },
]
[training]
epochs = 1
batch_size = 50
samples = 500
validation = 0.2
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A file of layers, and a recipe that names one of them."""
    own, net = tmp_path / "my_layers.py", tmp_path / "my.toml"
    own.write_text(OWN)
    net.write_text(NET)
    return own, net


@pytest.fixture
def run(tinynet: Command, files: tuple[Path, Path], tmp_path: Path) -> Path:
    own, net = files
    data = ("--dataset", "sample", "--backend", "numpy")
    said = tinynet("train", net, "--layers", own, *data, "--out", tmp_path / "run")
    assert f"try: tinynet evaluate {tmp_path / 'run'} --layers {own}" in said
    assert "Scaled" not in LAYERS
    return tmp_path / "run"


COMMANDS = {
    "evaluate": (),
    "audit": (),
    "card": (),
    "summary": (),
    "ensemble": (),
    "train --resume": (),
    "predict": ("digits.csv",),
    "explain": ("digits.csv", "--out", "why"),
    "export --to npz -o net.npz": (),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_reads_a_net_takes_its_layers(
    tinynet: Command,
    files: tuple[Path, Path],
    run: Path,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    tinynet("data", "to-kaggle", "digits", "--dataset", "sample")
    Path("digits/test.csv").rename("digits.csv")
    twice = [shutil.copytree(run, "twin")] if command == "ensemble" else []
    name, *options = command.split()
    asked = (name, *options, run, *twice, *COMMANDS[command])
    said = tinynet(*asked, code=1)
    assert "unknown layer" in said
    assert "'Scaled'" in said
    assert "--layers FILE.py" in said
    tinynet(*asked, "--layers", files[0])
    assert "Scaled" not in LAYERS


def test_a_recipe_names_no_code(tinynet: Command, files: tuple[Path, Path], tmp_path: Path) -> None:
    said = tinynet("train", files[1], "--dataset", "sample", "--out", tmp_path / "run", code=1)
    assert "unknown layer" in said
    assert "name the file of a layer of your own: --layers FILE.py" in said
    assert not (tmp_path / "run").exists()


def test_what_the_page_and_onnx_cannot_say_is_refused_by_name(
    tinynet: Command, files: tuple[Path, Path], run: Path, tmp_path: Path
) -> None:
    for form in ("html", "onnx"):
        said = tinynet("export", run, "--to", form, "-o", tmp_path / "out", "--layers", files[0], code=1)
        assert "scaled_1" in said
        assert not (tmp_path / "out").exists()


def test_a_block_holds_layers_of_ones_own(tinynet: Command, files: tuple[Path, Path], tmp_path: Path) -> None:
    own, net = files
    scaled = '{ type = "Scaled", factor = 1.5 }'
    net.write_text(NET.replace(scaled, f'{{ type = "Residual", layers = [ {scaled} ] }}'))
    data = ("--dataset", "sample", "--backend", "numpy")
    assert "unknown layer" in tinynet("train", net, *data, "--out", tmp_path / "run", code=1)
    tinynet("train", net, "--layers", own, *data, "--out", tmp_path / "run")
    assert "unknown layer" in tinynet("evaluate", tmp_path / "run", code=1)
    tinynet("evaluate", tmp_path / "run", "--layers", own)


def test_folds_know_the_layers_too(tinynet: Command, files: tuple[Path, Path], tmp_path: Path) -> None:
    own, net = files
    said = tinynet(
        *("crossval", net, "--layers", own, "--dataset", "sample", "--folds", 2, "--backend", "numpy"),
        *("--out", tmp_path / "folds"),
    )
    assert "2 folds" in said
    found = json.loads((tmp_path / "folds" / "fold-1" / "config.json").read_text())
    assert found["recipe"]["layers"][2] == {"type": "Scaled", "factor": 1.5}


BROKEN = {
    "a slip of syntax": ("def f(:\n", "my_layers.py, line 1: SyntaxError: "),
    "an import of nothing": (
        "\nimport no_such_thing\n",
        "line 2, in <module>: ModuleNotFoundError: No module",
    ),
    "an end": ("import sys\nsys.exit(0)\n", "line 2, in <module>: SystemExit: 0"),
    "no layer": ("x = 1\n", "my_layers.py defines no layer"),
    "a name that is taken": (OWN.replace("Scaled", "Dense"), "defines a layer Dense, and there is one"),
    "a wrong forward": (
        OWN.replace("x.dtype), None", "x.dtyp), None"),
        "line 21, in forward: AttributeError",
    ),
    "a wrong build": (
        OWN.replace("return input_shape", "return x"),
        "line 18, in build: NameError: name 'x'",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_an_error_in_the_file_is_told_with_its_line(
    tinynet: Command, files: tuple[Path, Path], tmp_path: Path, fault: str
) -> None:
    own, net = files
    text, expected = BROKEN[fault]
    own.write_text(text)
    data = ("--dataset", "sample", "--backend", "numpy")
    said = tinynet("train", net, "--layers", own, *data, "--out", tmp_path / "run", code=1)
    assert expected in said
    assert "Traceback" not in said
    assert "Dense" in LAYERS


def test_a_layer_that_fails_where_a_file_is_read_is_told_with_its_line(
    tinynet: Command, files: tuple[Path, Path], run: Path
) -> None:
    files[0].write_text(OWN.replace("return input_shape", "return x"))
    said = tinynet("evaluate", run, "--layers", files[0], code=1)
    assert "my_layers.py, line 18, in build: NameError: name 'x'" in said


def test_there_must_be_such_a_file(tinynet: Command, tmp_path: Path) -> None:
    assert "does not exist" in tinynet("train", "--layers", tmp_path / "none.py", code=2)
