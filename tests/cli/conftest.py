"""The command line as a person sees it, with a tiny architecture on the bundled sample."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from tinynet.cli import main
from tinynet.cli.console import console
from tinynet.data import load

TINY = """
layers = [ { type = "Rescale" }, { type = "Flatten" }, { type = "Dense", units = 10 } ]
[training]
epochs = 2
batch_size = 50
samples = 500
validation = 0.2
"""


def call(*arguments, code=0):
    """Run `tinynet ARGUMENTS`, check its exit code and return what it said, on one line."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception  # a traceback is never what the user should see
    said = " ".join(result.output.split())
    assert result.exit_code == code, said
    return said


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A console so wide that no table shortens a cell."""
    monkeypatch.setattr(console, "width", 300)


@pytest.fixture(scope="session")
def tinynet():
    return call


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """The TOML file of an architecture that trains in no time."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def train(tiny, tmp_path):
    """tinynet train with the tiny architecture, the sample and NumPy; into `out` unless told otherwise."""

    def run(*arguments, code=0, architecture=tiny):
        out = () if "--out" in arguments or "--resume" in arguments else ("--out", tmp_path / "run")
        common = () if "--resume" in arguments else (architecture, "--dataset", "sample")
        backend = () if {"--backend", "--resume"} & set(arguments) else ("--backend", "numpy")
        return call("train", *common, *backend, *out, *arguments, code=code)

    return run


@pytest.fixture(scope="session")
def trained(tiny, tmp_path_factory) -> SimpleNamespace:
    """A finished run; look, do not touch."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    said = call("train", tiny, "--dataset", "sample", "--backend", "numpy", "--out", folder)
    return SimpleNamespace(folder=folder, said=said)


class Untouchable:
    """A split that must not be looked at: the first glance fails."""

    def __getattr__(self, name):
        raise AssertionError(f"the test images were asked for {name}")

    def __len__(self):
        raise AssertionError("the test images were counted")


@pytest.fixture
def no_test_images(monkeypatch):
    """Data sets come without test images."""

    def blind(*arguments, **options):
        return dataclasses.replace(load(*arguments, **options), test=Untouchable())

    monkeypatch.setattr("tinynet.cli.console.load", blind)
