"""The CUDA sources: what is read from them, and that NVIDIA's compiler takes them for every GPU we mean."""

from __future__ import annotations

import ctypes
import re
from functools import cache
from importlib import metadata
from typing import Any

import pytest
from cuda_host import instances

from tinynet.kernels.cuda import source
from tinynet.kernels.cuda.device import OPTIONS
from tinynet.kernels.cuda.source import Parameter, files, kernels, text

ARCHITECTURES = (50, 60, 70, 75, 80, 86, 89, 90, 100, 120)
"""The oldest that CUDA 12 compiles for, and others up to the newest."""
NVRTC = "nvidia-cuda-nvrtc-cu12"


@cache
def nvrtc() -> ctypes.CDLL:
    """The compiler that CuPy uses; it needs no GPU."""
    try:
        listed = metadata.files(NVRTC) or []
    except metadata.PackageNotFoundError:
        pytest.skip(f"NVIDIA's compiler is not installed: pip install {NVRTC}")
    (library,) = (file for file in listed if re.fullmatch(r"libnvrtc\.so\.\d+|nvrtc64_\d+_0\.dll", file.name))
    return ctypes.CDLL(str(library.locate()))


def compile_for(architecture: int, code: str, wanted: list[str]) -> tuple[int, str]:
    """(status, log) of NVRTC for instances of the templates in `code`; 0 is success."""
    program = ctypes.c_void_p()
    name = ctypes.c_char_p(b"test.cu")
    compiler = nvrtc()
    created = compiler.nvrtcCreateProgram(ctypes.byref(program), code.encode(), name, 0, None, None)
    assert created == 0
    for instance in wanted:
        assert compiler.nvrtcAddNameExpression(program, instance.encode()) == 0
    options = [option.encode() for option in (*OPTIONS, f"-arch=sm_{architecture}")]
    status = compiler.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    compiler.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    compiler.nvrtcGetProgramLog(program, log)
    compiler.nvrtcDestroyProgram(ctypes.byref(program))
    return status, log.value.decode()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", files())
def test_every_kernel_compiles(file: str, architecture: int) -> None:
    wanted = [
        instance for kernel in kernels().values() if kernel.file == file for instance in instances(kernel)
    ]
    status, log = compile_for(architecture, text(file), wanted)
    assert status == 0, log
    assert "error" not in log
    assert not re.search("warning(?!: Architectures prior to)", log), log


def test_what_does_not_compile_is_told_by_file_and_line() -> None:
    lines = text("pooling.cu").splitlines()
    broken = source.read("pooling.cu").splitlines().index("    dx[i] = sum;")
    code = text("pooling.cu").replace("    dx[i] = sum;", "    dx[i] = sums;", 1)
    status, log = compile_for(75, code, ["maxpool_backward<float>"])
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
    """The first parameter is the number of threads; nothing waits, nothing is added atomically."""
    assert kernel.parameters[0] == Parameter("int", "size", False)
    assert all(p.type in (*source.TYPES, *kernel.types) for p in kernel.parameters)
    assert not re.search(r"atomic\w+\(|__syncthreads|__shared__", text(kernel.file))
