"""What a machine with a GPU and without a network needs: packed where there is one, installed from that."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from tinynet.backends import cuda_status
from tinynet.data import datasets

HERE = Path(__file__).parent
PLATFORMS = [f"manylinux{version}_x86_64" for version in ("_2_28", "_2_27", "_2_17", "2014", "1")]


def pack(into: Path, python: str, names: Sequence[str]) -> None:
    """Wheels, for Linux and this Python, of the packages `names` or of all that are needed; and MNIST."""
    wheels = into / "wheels"
    where = [item for platform in PLATFORMS for item in ("--platform", platform)]
    options = ["--only-binary=:all:", "--python-version", python, "--implementation", "cp", *where]
    alone = ["--no-deps"] if names else []
    _pip("download", *alone, *options, "--dest", str(wheels), *(names or needed()))
    shutil.copytree(datasets.locate("mnist") or datasets.fetch("mnist"), into / "mnist", dirs_exist_ok=True)


def needed() -> list[str]:
    """The packages that tinynet, its tests and its build ask for."""
    table = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))
    project = table["project"]
    extras, found = project["optional-dependencies"], []
    wanted = [*table["build-system"]["requires"], *project["dependencies"], *extras["test"]]
    while wanted:
        asked = wanted.pop(0)
        if asked.startswith(project["name"]):  # an extra that is made of others
            names = asked.partition("[")[2].rstrip("]").split(",")
            wanted += [each for name in names for each in extras[name]]
        else:
            found.append(asked)
    return found


def install(wheels: Path | None, peers: Path) -> None:
    """tinynet into this environment, with all that it, its tests and the peers need: from a folder of wheels,
    or else from the network."""
    if wheels:
        found = sorted(map(str, wheels.glob("*.whl")))
        _pip("install", "--quiet", "--no-index", "--no-deps", *found)
        _pip("install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "-e", str(HERE.parent))
        return
    extra = "cuda13" if cuda_status.driver_version() >= 13_000 else "cuda12"
    _pip("install", "--quiet", "-e", f"{HERE.parent}[{extra},test]")
    subprocess.run([str(HERE / "peers" / "setup"), str(peers), "torch-cuda", "jax-cuda"], check=True)


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)
