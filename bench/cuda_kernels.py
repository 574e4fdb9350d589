"""What NVIDIA's compiler makes of each CUDA kernel: registers of a thread, and what does not fit into them.

    pip install nvidia-cuda-nvrtc-cu12                    # the compiler that CuPy uses; it needs no GPU
    python bench/cuda_kernels.py                          # a row for each kernel, on the GPUs we mean
    python bench/cuda_kernels.py --arch 86 --arch 120

An architecture is ten times the compute capability: 75 is Turing, 80 the A100, 90 the H100, 120 the RTX 50. A
value that does not fit into registers is spilled to memory; then the exit code is 1.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from typing import NamedTuple

import click

from tinynet.kernels.cuda.device import OPTIONS
from tinynet.kernels.cuda.source import Kernel, files, kernels, text

NVRTC = "nvidia-cuda-nvrtc-cu12"
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
ENTRY = re.compile(
    r"Function properties for (\w+)\n.*?(\d+) bytes spill stores, (\d+) bytes spill loads\n.*?Used (\d+) reg"
)


class Resources(NamedTuple):
    """What a thread of a kernel takes."""

    registers: int
    spilled: int
    """Bytes written to memory and read again because registers are short."""


class Compiled(NamedTuple):
    """What NVRTC makes of a source."""

    status: int
    """0 is success."""
    log: str
    resources: dict[str, Resources]
    """By the name of the instance."""
    assembly: str
    """PTX, from which the machine's instructions are made."""


@cache
def nvrtc() -> ctypes.CDLL:
    """The compiler; metadata.PackageNotFoundError where it is not installed."""
    listed = metadata.files(NVRTC) or []
    (library,) = (file for file in listed if re.fullmatch(r"libnvrtc\.so\.\d+|nvrtc64_\d+_0\.dll", file.name))
    return ctypes.CDLL(str(library.locate()))


def compile_for(architecture: int, code: str, wanted: list[str]) -> Compiled:
    """Compile the instances `wanted` of the templates in `code`."""
    program, compiler = ctypes.c_void_p(), nvrtc()
    name = ctypes.c_char_p(b"test.cu")
    if compiler.nvrtcCreateProgram(ctypes.byref(program), code.encode(), name, 0, None, None):
        raise click.ClickException("NVRTC makes no program")
    try:
        for instance in wanted:
            compiler.nvrtcAddNameExpression(program, instance.encode())
        options = [each.encode() for each in (*OPTIONS, f"-arch=sm_{architecture}", "--ptxas-options=-v")]
        status: int = compiler.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*options)
        )
        said = _text(program, "ProgramLog")
        assembly = "" if status else _text(program, "PTX")
        lowered = {} if status else {_lowered(program, instance): instance for instance in wanted}
    finally:
        compiler.nvrtcDestroyProgram(ctypes.byref(program))
    used = {
        entry: Resources(int(used), int(out) + int(back)) for entry, out, back, used in ENTRY.findall(said)
    }
    return Compiled(status, said, {instance: used[entry] for entry, instance in lowered.items()}, assembly)


def _text(program: ctypes.c_void_p, what: str) -> str:
    """What the compiler has to say by its functions of that name."""
    size = ctypes.c_size_t()
    getattr(nvrtc(), f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(nvrtc(), f"nvrtcGet{what}")(program, text)
    return text.value.decode()


def _lowered(program: ctypes.c_void_p, instance: str) -> str:
    """The name that the compiler gives to an instance."""
    found = ctypes.c_char_p()
    nvrtc().nvrtcGetLoweredName(program, instance.encode(), ctypes.byref(found))
    return (found.value or b"").decode()


def resources(architecture: int) -> dict[str, Resources]:
    """Of every instance of every kernel."""
    found: dict[str, Resources] = {}
    for file in files():
        wanted = [name for kernel in kernels().values() if kernel.file == file for name in kernel.instances()]
        compiled = compile_for(architecture, text(file), wanted)
        if compiled.status:
            raise click.ClickException(f"{file} does not compile for sm_{architecture}:\n{compiled.log}")
        found |= compiled.resources
    return found


def table(found: dict[int, dict[str, Resources]]) -> Iterator[str]:
    """A row for each kernel, of the instance that takes most; spilled bytes behind a plus."""
    yield "| kernel | " + " | ".join(f"sm_{architecture}" for architecture in found) + " |"
    yield "|---|" + "---:|" * len(found)
    for kernel in kernels().values():
        most = [_most(kernel, of_all) for of_all in found.values()]
        cells = [f"{each.registers}" + (f" **+{each.spilled} B**" if each.spilled else "") for each in most]
        yield f"| {kernel.name} | " + " | ".join(cells) + " |"


def _most(kernel: Kernel, of_all: dict[str, Resources]) -> Resources:
    taken = [of_all[instance] for instance in kernel.instances()]
    return Resources(max(each.registers for each in taken), max(each.spilled for each in taken))


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--arch", "architectures", type=int, multiple=True, default=ARCHITECTURES, show_default=True)
def main(architectures: tuple[int, ...]) -> None:
    try:
        found = {architecture: resources(architecture) for architecture in architectures}
    except metadata.PackageNotFoundError:
        raise click.ClickException(f"NVIDIA's compiler is not installed: pip install {NVRTC}") from None
    click.echo("Registers of a thread (of the instance that takes most):\n")
    click.echo("\n".join(table(found)))
    spilling = [name for of_all in found.values() for name, each in of_all.items() if each.spilled]
    click.echo(f"\nSpilled: {', '.join(sorted(set(spilling))) or 'nothing'}.")
    sys.exit(bool(spilling))


if __name__ == "__main__":
    main()
