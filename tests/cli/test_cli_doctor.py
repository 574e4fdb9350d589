"""tinynet doctor: it tells what works, and what to do about the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import Command

from tinynet import backends, extras
from tinynet.backends import cuda_status
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.cli import doctor


def test_a_healthy_machine(tinynet: Command) -> None:
    if not backends.status("numba").works:
        pytest.skip("numba cannot be loaded here")
    said = tinynet("doctor")
    assert "No problems" in said
    for word in (
        "Python",
        "numba",
        "cupy",
        "BLAS",
        "thread",
        "data cache",
        "kernel cache",
        "notebooks",
        "optuna",
    ):
        assert word in said
    assert "not fetched yet" in said
    assert "tinynet data fetch mnist" in said


def test_without_numba(tinynet: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    real = backends.status
    gone = backends.Status("numba", False, "numba cannot be imported: gone", "pip install numba")
    monkeypatch.setattr(backends, "status", lambda name: gone if name == "numba" else real(name))
    said = tinynet("doctor", code=1)
    assert "numba cannot be imported: gone → pip install numba" in said
    assert "the numba backend does not work" in said


def test_what_keeps_a_gpu_from_being_used(tinynet: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = cuda_status.Facts(("cupy-cuda12x", "cupy-cuda13x"), 12_040)
    monkeypatch.setattr(cuda_status, "read", lambda: facts)
    said = tinynet("doctor")
    assert "several builds of CuPy are installed" in said
    assert f"→ pip uninstall -y cupy-cuda12x cupy-cuda13x && {extras.install('cuda12')}" in said


def test_a_backend_that_breaks_or_errs_when_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(self: Any, *arguments: object) -> None:
        raise RuntimeError("illegal instruction")

    assert doctor.failure_of("numpy") == ""
    with monkeypatch.context() as patch:
        patch.setattr(NumpyBackend, "relu", crash)
        assert doctor.failure_of("numpy") == "RuntimeError: illegal instruction"


def finding(what: str) -> tuple[bool, str, str]:
    """What is found of a folder or a data set: whether it is good, the text and the fix."""
    return {name: (good, text, fix) for name, good, text, fix in doctor.folder_rows()}[what]


def test_folders_that_cannot_be_written(
    tinynet: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "file" / "cache"))
    good, _, fix = finding("data cache")
    assert not good
    assert "TINYNET_CACHE" in fix


def test_the_kernel_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    numba = pytest.importorskip("numba")
    from tinynet.kernels.cpu import cache_folder

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    cache_folder.current().mkdir(parents=True)
    for number in range(3):
        (cache_folder.current() / f"kernel.{number}.nbc").write_bytes(bytes(100_000))
    good, found, _ = finding("kernel cache")
    assert good
    assert found == f"{cache_folder.current()}, can be written; 3 compiled kernels, 0.3 MB"

    (tmp_path / "file").touch()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "file"))
    good, found, fix = finding("kernel cache")
    assert not good
    assert "cannot be written" in found
    assert "0 compiled kernels" in found
    assert "NUMBA_CACHE_DIR" in fix


def test_data_sets_that_are_there(monkeypatch: pytest.MonkeyPatch, mnist_dir: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("TINYNET_DATA", str(mnist_dir))
    assert finding("mnist")[0]
    fetch = f"tinynet data fetch fashion-mnist --data-dir {mnist_dir / 'fashion-mnist'}"
    assert finding("fashion-mnist") == (False, f"{mnist_dir} has the files of mnist", fetch)
    monkeypatch.setenv("TINYNET_DATA", str(tmp_path))
    assert "lacks files of mnist" in finding("mnist")[1]
