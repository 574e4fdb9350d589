"""The command that lists the registers of CUDA kernels, where NVIDIA's compiler is and where it is not."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tinynet.kernels.cuda.source import kernels

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import cuda_kernels
from cuda_kernels import Resources


def call(*arguments: object) -> Any:
    return CliRunner().invoke(cuda_kernels.main, list(map(str, arguments)))


def of_all(registers: int, spilled: int = 0) -> dict[str, Resources]:
    return {
        name: Resources(registers, spilled) for kernel in kernels().values() for name in kernel.instances()
    }


def test_a_row_for_each_kernel_and_a_column_for_each_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_kernels, "resources", of_all)
    done = call("--arch", 75, "--arch", 90)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert "| kernel | sm_75 | sm_90 |" in lines
    assert [line.split(" | ")[0] for line in lines if line.endswith("| 75 | 90 |")] == [
        f"| {name}" for name in kernels()
    ]
    assert lines[-1] == "Spilled: nothing."


def test_a_spill_is_told_and_shows_in_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of_all(32) | {"relu<double>": Resources(255, 48)}
    monkeypatch.setattr(cuda_kernels, "resources", lambda architecture: found)
    done = call("--arch", 80)
    assert done.exit_code == 1
    assert "| relu | 255 **+48 B** |" in done.output
    assert "Spilled: relu<double>." in done.output


def test_without_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise metadata.PackageNotFoundError(cuda_kernels.NVRTC)

    monkeypatch.setattr(cuda_kernels, "nvrtc", missing)
    done = call()
    assert done.exit_code == 1
    assert done.output == "Error: NVIDIA's compiler is not installed: pip install nvidia-cuda-nvrtc-cu12\n"


def test_a_source_that_does_not_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = cuda_kernels.Compiled(6, "pooling.cu(7): error", {}, "")
    monkeypatch.setattr(cuda_kernels, "compile_for", lambda *arguments: broken)
    done = call("--arch", 80)
    assert done.exit_code == 1
    assert "does not compile for sm_80:\npooling.cu(7): error" in done.output
