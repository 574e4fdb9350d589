"""The command line as a person sees it, with a tiny architecture on the bundled sample."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from commands import Command, Trained, call

from tinynet.cli.screen import console
from tinynet.data import load
from tinynet.data.datasets import Dataset

TINY = """
layers = [ { type = "Rescale" }, { type = "Flatten" }, { type = "Dense", units = 10 } ]
[training]
epochs = 2
batch_size = 50
samples = 500
validation = 0.2
"""


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A console so wide that no table shortens a cell."""
    monkeypatch.setattr(console, "width", 300)


@pytest.fixture(scope="session")
def tinynet() -> Command:
    return call


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The TOML file of an architecture that trains in no time."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def train(tiny: Path, tmp_path: Path) -> Command:
    """tinynet train with the tiny architecture, the sample and NumPy; into `out` unless told otherwise."""

    def run(*arguments: object, code: int = 0, architecture: Path = tiny) -> str:
        out = () if "--out" in arguments or "--resume" in arguments else ("--out", tmp_path / "run")
        net = () if "--resume" in arguments else (architecture,)
        data = () if {"--dataset", "--resume"} & set(arguments) else ("--dataset", "sample")
        backend = () if {"--backend", "--resume"} & set(arguments) else ("--backend", "numpy")
        return call("train", *net, *data, *backend, *out, *arguments, code=code)

    return run


@pytest.fixture(scope="session")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A finished run; look, do not touch."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    said = call("train", tiny, "--dataset", "sample", "--backend", "numpy", "--out", folder)
    return Trained(folder, said)


class Untouchable:
    """A split that must not be looked at: the first glance fails."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the test images were asked for {name}")

    def __len__(self) -> int:
        raise AssertionError("the test images were counted")


@pytest.fixture
def no_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets come without test images."""

    untouchable: Any = Untouchable()

    def blind(*arguments: Any, **options: Any) -> Dataset:
        return dataclasses.replace(load(*arguments, **options), test=untouchable)

    monkeypatch.setattr("tinynet.cli.progress.load", blind)
