"""Extras: one way to ask for them, one message where they are missing, and pyproject.toml knows them all."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tinynet
from tinynet import extras, version
from tinynet.cli.doctor import EXTRAS
from tinynet.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = ROOT / "pyproject.toml"
posix = pytest.mark.skipif(sys.platform == "win32", reason="the lines are those of a POSIX shell")


@pytest.mark.parametrize("extra", extras.LIBRARIES)
def test_a_missing_one_is_named_with_what_installs_it(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    modules, packages, _ = extras.LIBRARIES[extra]
    first, module = modules.split()[0], modules.split()[-1]
    assert extras.load(extra).__name__ == first
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as caught:
        extras.load(extra)
    lines = str(caught.value).splitlines()
    assert packages.replace(" ", ", ") in lines[0]
    assert lines[1:] == [
        f"  expected: tinynet with its extra `{extra}`",
        f"  received: import of {module} halted; None in sys.modules",
        f"  fix: {extras.install(extra)} (or pip install {packages})",
    ]


def test_they_are_those_of_pyproject() -> None:
    declared = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    told_by_the_backend = {"cuda12", "cuda13"}
    assert {*extras.LIBRARIES, *EXTRAS} == {*declared} - {"dev"} - told_by_the_backend
    for extra, (_, packages, _) in extras.LIBRARIES.items():
        assert [requirement.split(">=")[0] for requirement in declared[extra]] == packages.split()
    for extra, (package, _) in EXTRAS.items():
        assert any(requirement.startswith(package) for requirement in declared[extra])


def install_from(url: str | None, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that pip put tinynet into the folder `site`, from `url`; None: from an index."""
    info = site / "tinynet_engine-0.2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tinynet-engine\nVersion: 0.2.0\n")
    if url:
        (info / "direct_url.json").write_text(json.dumps({"url": url}))
    monkeypatch.setattr(extras, "__file__", str(site / "tinynet" / "extras.py"))
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])


@posix
def test_an_extra_is_installed_into_a_checkout_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "my clone"
    checkout.mkdir()
    (checkout / "pyproject.toml").touch()
    monkeypatch.setattr(extras, "__file__", str(checkout / "tinynet" / "extras.py"))
    assert extras.install("tune") == f"pip install -e '{checkout}[tune]'"
    assert extras.install(again=True) == f"pip install --force-reinstall -e '{checkout}'"


@posix
def test_a_package_is_installed_from_where_it_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "a folder" / "tinynet_engine-0.2.0-py3-none-any.whl"
    install_from(wheel.as_uri(), tmp_path / "site", monkeypatch)
    assert extras.install("tune") == "pip install 'tinynet-engine[tune]'"  # the file is gone
    wheel.parent.mkdir()
    wheel.touch()
    assert extras.install("tune") == f"pip install '{wheel}[tune]'"


@posix
@pytest.mark.parametrize("url", [None, "https://example.org/tinynet_engine-0.2.0-py3-none-any.whl"])
def test_a_package_of_an_index_is_installed_by_name(
    url: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_from(url, tmp_path, monkeypatch)
    assert extras.install("tune") == "pip install 'tinynet-engine[tune]'"
    assert extras.install() == "pip install tinynet-engine"


@posix
def test_a_package_that_no_installer_knows_is_installed_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "tinynet" / "extras.py"))
    monkeypatch.setattr(sys, "path", [])
    assert extras.install("tune") == "pip install 'tinynet-engine[tune]'"


def test_the_distributions_name_and_version_are_those_of_pyproject() -> None:
    pyproject = tomllib.loads(PYPROJECT.read_text("utf-8"))
    assert pyproject["project"]["name"] == extras.DISTRIBUTION
    assert {"tinynet", extras.DISTRIBUTION} == {*pyproject["project"]["scripts"]}
    assert pyproject["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "tinynet.version.VERSION"}
    assert tinynet.__version__ == version.VERSION


STRANGER = re.compile(r"""pip install[^`\n&#;]*[\s'"]tinynet(?![-\w/.])""")
"""Installs another project, which has our import name on the package index."""
BY_HAND = re.compile(r"""pip install[^`\n]*(?:\.\[|tinynet-engine)""")
"""What `extras.install` says, for one kind of installation only."""


def texts() -> dict[Path, str]:
    """The files that a person may read a command in; this one plants what it looks for."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a checkout of git's")
    paths = {ROOT / name for name in listed.stdout.splitlines()} - {Path(__file__).resolve()}
    kinds = {".py", ".md", ".ipynb", ".toml", ".yml", ".yaml", ".cff"}
    return {path: path.read_text("utf-8") for path in paths if path.suffix in kinds and path.exists()}


def test_no_text_sends_anybody_to_a_strangers_package() -> None:
    assert STRANGER.search("pip install 'tinynet[tune]'")
    assert not STRANGER.search("pip install -e . && .venv/bin/tinynet train")
    assert [str(path) for path, text in texts().items() if STRANGER.search(text)] == []


def test_the_package_asks_extras_for_the_command() -> None:
    assert BY_HAND.search("pip install -e '.[tune]'")
    ours = {path: text for path, text in texts().items() if path.is_relative_to(ROOT / "tinynet")}
    assert len(ours) > 50
    assert [str(path) for path, text in ours.items() if BY_HAND.search(text)] == []
