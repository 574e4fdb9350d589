"""tinynet warmup: what it says, and when there is nothing to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numba
import pytest
from commands import Command

from tinynet.backends.base import Backend
from tinynet.cli.screen import console
from tinynet.experiments import warmup
from tinynet.kernels.cpu import cache_folder
from tinynet.runs import recipe
from tinynet.runs.recipe import Recipe

compiled = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="numba compiles nothing under NUMBA_DISABLE_JIT"
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int, str, str]]:
    """What was to be warmed up. One kernel seems to be compiled for each recipe; the cache is empty."""

    def steps(chosen: Recipe, ops: Backend, dtype: str) -> list[tuple[str, Callable[[], object]]]:
        requests.append((len(chosen.layers), ops.name, dtype))
        return [("training", compile_one), ("prediction", lambda: None)]

    def compile_one() -> None:
        cache_folder.announce()
        cache_folder.current().mkdir(parents=True, exist_ok=True)
        (cache_folder.current() / f"kernel-{len(requests)}-{time.monotonic_ns()}.nbc").touch(mode=0o600)

    requests: list[tuple[int, str, str]] = []
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(warmup, "steps", steps)
    return requests


@compiled
def test_all_architectures_by_default(tinynet: Command, asked: list[tuple[int, str, str]]) -> None:
    said = tinynet("warmup", "--backend", "numba")
    assert [name for name in recipe.names() if f"{name}: 1 kernel compiled, " in said] == recipe.names()
    assert f"{len(recipe.names())} kernels compiled in " in said
    assert f"Kernel cache: {cache_folder.current()}, {len(recipe.names())} compiled kernels, 0.0 MB." in said
    assert asked == [(len(recipe.load(name).layers), "numba", "float32") for name in recipe.names()]
    assert cache_folder.announce is None


@compiled
def test_those_that_are_named(tinynet: Command, asked: list[tuple[int, str, str]], tiny: Path) -> None:
    said = tinynet("warmup", "mlp", tiny, "--backend", "numba", "--dtype", "float64")
    assert "mlp: 1 kernel compiled" in said
    assert f"{tiny}: 1 kernel compiled" in said
    assert asked == [(5, "numba", "float64"), (3, "numba", "float64")]


@compiled
def test_nothing_left(tinynet: Command, tiny: Path) -> None:
    tinynet("warmup", tiny, "--backend", "numba")
    said = tinynet("warmup", tiny, "--backend", "numba")
    assert f"{tiny}: 0 kernels compiled" in said
    assert "Nothing was left to compile. Kernel cache:" in said


@compiled
def test_the_bar_on_a_terminal(tinynet: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_force_terminal", True)
    monkeypatch.setattr(console, "is_interactive", True)
    monkeypatch.setattr(warmup, "steps", lambda *arguments: [("training", lambda: time.sleep(0.3))])
    said = tinynet("warmup", "linear", "--backend", "numba")
    assert "linear: training" in said
    assert "0/1 0 kernels compiled" in said


def test_an_unknown_architecture_is_the_mistake_it_is_in_train(tinynet: Command) -> None:
    assert tinynet("warmup", "mlp", "nosuch", code=1) == tinynet("train", "nosuch", code=1)


def test_a_backend_without_compiled_kernels(tinynet: Command, asked: list[tuple[int, str, str]]) -> None:
    assert tinynet("warmup", "--backend", "numpy") == (
        "Nothing to compile: the numpy backend has no compiled kernels on disk."
    )
    assert asked == []


def test_without_the_compiler(
    tinynet: Command, asked: list[tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    assert tinynet("warmup", "--backend", "numba") == "Nothing to compile: NUMBA_DISABLE_JIT is set."


@compiled
def test_a_cache_that_cannot_be_written(
    tinynet: Command, asked: list[tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "file"))
    said = tinynet("warmup", "--backend", "numba", code=1)
    assert "compiled kernels cannot be kept" in said
    assert "NUMBA_CACHE_DIR" in said
    assert asked == []
