"""Extras: one way to ask for them, one message where they are missing, and pyproject.toml knows them all."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from tinynet import extras
from tinynet.cli.doctor import EXTRAS
from tinynet.errors import ConfigError

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


@pytest.mark.parametrize("extra", extras.LIBRARIES)
def test_a_missing_one_is_named_with_what_installs_it(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, package, _ = extras.LIBRARIES[extra]
    assert extras.load(extra).__name__ == module
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as caught:
        extras.load(extra)
    lines = str(caught.value).splitlines()
    assert package in lines[0]
    assert lines[1:] == [
        f"  expected: tinynet with its extra `{extra}`",
        f"  received: import of {module} halted; None in sys.modules",
        f"  fix: pip install -e '.[{extra}]' (or pip install {package})",
    ]


def test_they_are_those_of_pyproject() -> None:
    declared = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    told_by_the_backend = {"cuda12", "cuda13"}
    assert {*extras.LIBRARIES, *EXTRAS} == {*declared} - {"dev"} - told_by_the_backend
    for extra, (_, package, _) in extras.LIBRARIES.items():
        assert [requirement.startswith(f"{package}>=") for requirement in declared[extra]] == [True]
    for extra, (package, _) in EXTRAS.items():
        assert any(requirement.startswith(package) for requirement in declared[extra])
