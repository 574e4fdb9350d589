"""The kernels' decorator: it compiles with or without a place to keep what it compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core import caching

from tinynet.backends.numba_ import NumbaBackend
from tinynet.kernels.cpu.jit import jit

compiled = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="numba compiles nothing under NUMBA_DISABLE_JIT"
)


def double(x: float) -> float:
    return 2 * x


@compiled
def test_without_any_place_for_a_cache_kernels_are_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator available"):
        numba.njit(cache=True)(double)
    assert jit(double)(4.0) == 8.0


def test_a_cache_that_cannot_be_written_any_more_costs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, *arguments: object) -> None:
        raise OSError(28, "No space left on device")

    kernel = jit(double)
    monkeypatch.setattr(caching.FunctionCache, "save_overload", full)
    assert kernel(4.0) == 8.0
    assert kernel(np.float32(4.0)) == 8.0


def test_the_backend_works_with_an_unwritable_cache_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "file" / "folder")}
    script = (
        "import numpy as np; from tinynet.backends.numba_ import NumbaBackend as B; "
        "assert (B().relu(np.array([-1.0, 2.0])) == [0, 2]).all()"
    )
    finished = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def test_kernels_run_uncompiled_for_coverage() -> None:
    script = """
import numpy as np
from tinynet.backends.numba_ import NumbaBackend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.rng import Key
x = np.linspace(-3, 3, 32).reshape(1, 4, 4, 2)
for run in (
    lambda ops: ops.gelu(x),
    lambda ops: ops.maxpool(x, (2, 2), (1, 1), ((0, 1), (0, 1)))[0],
    lambda ops: ops.random_bits(Key(1, 2, 3, 4), 9),
):
    np.testing.assert_allclose(run(NumbaBackend()), run(NumpyBackend()), rtol=1e-12, atol=1e-12)
"""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    finished = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


@compiled
def test_a_kernel_announces_that_it_is_compiled_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    ops = NumbaBackend()
    kernel = jit(double)
    ops.announce_compiling(lambda: calls.append("compiling"))
    monkeypatch.setattr(caching.FunctionCache, "load_overload", lambda self, *arguments: None)
    kernel(4.0)
    kernel(5.0)
    ops.announce_compiling(None)
    kernel(np.float32(4.0))
    assert calls == ["compiling"]
