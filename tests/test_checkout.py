"""A program in the folder above a checkout called `tinynet` gets the package, not the checkout's folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = "import tinynet as tn; from tinynet import errors; print(tn.Sequential.__name__, tn.__file__)"


@pytest.fixture
def above(tmp_path: Path) -> Path:
    """A folder with a checkout called tinynet in it."""
    (tmp_path / "tinynet").mkdir()
    shutil.copy(ROOT / "__init__.py", tmp_path / "tinynet")
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def run(above: Path, *options: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, *options]
    return subprocess.run(command, cwd=above, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("options", [["program.py"], ["-c", PROGRAM]], ids=["script", "-c"])
def test_the_installed_package_is_found(above: Path, options: list[str]) -> None:
    done = run(above, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["Sequential", str(ROOT / "tinynet" / "__init__.py")]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
@pytest.mark.parametrize("options", [["program.py"], ["-c", PROGRAM]], ids=["script", "-c"])
def test_a_link_to_a_checkout_is_no_circle(above: Path, options: list[str]) -> None:
    shutil.move(above / "tinynet", above / "elsewhere")
    (above / "tinynet").symlink_to(above / "elsewhere")
    done = run(above, *options)
    assert done.stdout.split() == ["Sequential", str(ROOT / "tinynet" / "__init__.py")], done.stderr[-500:]


def test_so_is_one_that_lies_further_down_pythons_path(above: Path) -> None:
    package = above / "site" / "tinynet"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("class Sequential: pass\n")
    (package / "errors.py").touch()
    done = run(above, "-S", "program.py", path=above / "site")
    assert done.stdout.split() == ["Sequential", str(package / "__init__.py")], done.stderr


def test_without_one_the_error_says_what_to_install(above: Path) -> None:
    done = run(above, "-S", "program.py")
    assert done.returncode == 1
    checkout = above / "tinynet"
    assert f"{checkout} is a checkout of tinynet, and tinynet is not installed" in done.stderr
    assert f"fix: pip install -e '{checkout}'" in done.stderr
