"""Numba without the private names that kernels use: what goes on, what is refused; and all are fenced."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numba
import pytest

from tinynet.kernels.cpu import cache_folder, numba_private

ROOT = Path(__file__).resolve().parents[3]
compiled = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="numba compiles nothing under NUMBA_DISABLE_JIT"
)

WITHOUT_CACHE = """
from numba.core import caching
del caching._CacheLocator

import numpy as np
from tinynet.backends.numba_ import NumbaBackend
from tinynet.cli import doctor
from tinynet.kernels.cpu import activations, cache_folder, numba_private

assert not numba_private.HAS_CACHE
x = np.linspace(-1, 1, 12, dtype="f4").reshape(3, 4)
y = NumbaBackend().relu(x)
assert (y == np.maximum(x, 0)).all()
assert doctor._kernel_cache()[1].startswith("Numba's own")
kernels = [each for each in vars(activations).values() if hasattr(each, "launch")]
print(sum(sum(each.launch.stats.cache_hits.values()) for each in kernels))
"""

WITHOUT_CODE_WRITER = """
import sys
import numba.core
del numba.core.cgutils
sys.modules["numba.core.cgutils"] = None

from tinynet import backends

print(backends.get("auto").name, backends.status("numba"))
"""


def run(script: str, cache: Path) -> str:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", script]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@compiled
def test_without_our_cache_numbas_own_keeps_the_kernels(tmp_path: Path) -> None:
    assert run(WITHOUT_CACHE, tmp_path) == "0\n"
    assert list(tmp_path.rglob(f"*relu_{cache_folder.version()}*.nbc"))
    assert run(WITHOUT_CACHE, tmp_path) == "1\n"


@compiled
def test_where_numba_finds_no_folder_kernels_are_compiled_at_every_start(tmp_path: Path) -> None:
    nowhere = "from numba.core import caching\ncaching.CompileResultCacheImpl._locator_classes = []\n"
    for _ in range(2):
        assert run(nowhere + WITHOUT_CACHE, tmp_path) == "0\n"
    assert list(tmp_path.iterdir()) == []


def test_a_numba_that_cannot_write_code_is_refused_with_the_releases_that_can(tmp_path: Path) -> None:
    said = run(WITHOUT_CODE_WRITER, tmp_path)
    assert said.startswith("numpy Status(name='numba', works=False")
    assert f"compiled by {numba_private.NEEDED}, and this is {numba.__version__}" in said


def test_the_releases_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert numba_private.NEEDED in project["dependencies"]


def test_nothing_else_imports_a_private_name() -> None:
    private = re.compile(r"numba\.core|from numba\.\w+ import .*\b_")
    sources = [path for folder in ("kernels", "tinynet", "bench") for path in (ROOT / folder).rglob("*.py")]
    found = {path.name for path in sources if private.search(path.read_text("utf-8"))}
    assert found == {"numba_private.py"}
