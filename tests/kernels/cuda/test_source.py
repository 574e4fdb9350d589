"""The CUDA sources: what is read from them, and that NVIDIA's compiler takes them for every GPU we mean."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tinynet.kernels.cuda import source
from tinynet.kernels.cuda.source import NO_ASCII, Parameter, files, kernels, read, text

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench"))

import cuda_kernels

ARCHITECTURES = (50, 60, 70, *cuda_kernels.ARCHITECTURES)
"""From the oldest that CUDA 12 compiles for."""
NO_SPILLS_FROM = 75
"""Two blocks of `tiles.cuh` on a processor have 128 registers a thread. Older GPUs need more for the same."""


def compile_for(architecture: int, code: str, wanted: list[str]) -> cuda_kernels.Compiled:
    """By NVRTC; without it, the test is skipped."""
    try:
        cuda_kernels.nvrtc()
    except metadata.PackageNotFoundError:
        pytest.skip(f"NVIDIA's compiler is not installed: pip install {cuda_kernels.NVRTC}")
    return cuda_kernels.compile_for(architecture, code, wanted)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", files())
def test_every_kernel_compiles_and_keeps_its_values_in_registers(file: str, architecture: int) -> None:
    wanted = [name for kernel in kernels().values() if kernel.file == file for name in kernel.instances()]
    status, log, resources, _ = compile_for(architecture, text(file), wanted)
    assert status == 0, log
    assert "error" not in log
    assert not re.search("warning(?!: Architectures prior to)", log), log
    assert resources.keys() == set(wanted)
    assert architecture < NO_SPILLS_FROM or not any(taken.spilled for taken in resources.values()), resources


def test_a_spill_is_seen() -> None:
    """More values at once than a thread has registers."""
    code = """
    __global__ void many(int size, const float *x, float *y) {
        float kept[400];
        #pragma unroll
        for (int i = 0; i < 400; i++) kept[i] = x[i * size];
        __threadfence();
        #pragma unroll
        for (int i = 0; i < 400; i++) y[i * size] = kept[i] * kept[399 - i];
    }"""
    taken = compile_for(80, code, ["many"]).resources["many"]
    assert taken.registers == 255
    assert taken.spilled > 100


def test_what_is_drawn_for_an_image_is_rounded_after_each_operation() -> None:
    """A product fused with a sum would give other numbers than NumPy's, if seldom."""
    fused = r"fma\.rn\.f64"
    status, _, _, assembly = compile_for(80, text("augmentation.cu"), ["distortions"])
    assert status == 0
    assert "mul.rn.f64" in assembly
    assert not re.search(fused, assembly)
    plain = text("augmentation.cu").replace("__dmul_rn(a.value, b.value)", "a.value * b.value")
    plain = plain.replace("__dadd_rn(a.value, b.value)", "a.value + b.value")
    assert re.search(fused, compile_for(80, plain, ["distortions"]).assembly)


def test_what_does_not_compile_is_told_by_file_and_line() -> None:
    lines = text("pooling.cu").splitlines()
    broken = source.read("pooling.cu").splitlines().index("    dx[i] = sum;")
    code = text("pooling.cu").replace("    dx[i] = sum;", "    dx[i] = sums;", 1)
    status, log, *_ = compile_for(75, code, ["maxpool_backward<float, signed char>"])
    assert status != 0
    assert f"pooling.cu({broken + 1}): error" in log
    assert len(lines) > broken


@pytest.mark.parametrize("file", files())
def test_the_text_to_compile_can_be_written_in_every_encoding(file: str) -> None:
    assert text(file).isascii()
    assert re.sub("//.*", "", source.read(file)).isascii()  # so only comments have lost anything


def test_every_global_function_is_read() -> None:
    """One that the parser misses could not be launched."""
    code = "".join(map(text, files()))
    assert len(re.findall("__global__ ", code)) == len(kernels())


def test_parameters_are_read_from_the_declaration() -> None:
    take = kernels()["take"]
    assert take.types == ("Value",)
    assert take.instance(("unsigned char",)) == "take<unsigned char>"
    assert take.parameters == (
        Parameter("int", "size", False),
        Parameter("Value", "x", True),
        Parameter("long long", "index", True),
        Parameter("Value", "y", True),
        Parameter("int", "length", False),
    )


@pytest.mark.parametrize("kernel", kernels().values(), ids=list(kernels()))
def test_kernels_keep_to_the_rules_of_the_house(kernel: Any) -> None:
    """The first parameter is the number of threads; nothing is added atomically: blocks alone are counted.

    Threads may share memory and wait for each other: the tests run them so, with `cuda_threads.h`.
    """
    assert kernel.parameters[0] == Parameter("int", "size", False)
    assert all(p.type in (*source.TYPES, *kernel.types) for p in kernel.parameters)
    counted = read("last_block.cuh")
    assert re.findall(r"atomic\w+\(", counted) == ["atomicInc("]
    assert not re.search(r"atomic\w+\(", text(kernel.file).replace(NO_ASCII.sub("#", counted), ""))
