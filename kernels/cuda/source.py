"""The CUDA sources of this folder: which kernels they hold, what each takes, and the text to compile.

A kernel's parameters are read from its C++ declaration, so what is written there is all there is to keep in
step with: how many arguments, of which types, and which types the template's names stand for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import product

import numpy as np

TYPES = {
    "bool": np.dtype(np.bool_),
    "unsigned char": np.dtype(np.uint8),
    "signed char": np.dtype(np.int8),
    "unsigned short": np.dtype(np.uint16),
    "short": np.dtype(np.int16),
    "unsigned": np.dtype(np.uint32),
    "int": np.dtype(np.int32),
    "unsigned long long": np.dtype(np.uint64),
    "long long": np.dtype(np.int64),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}
"""C++ types by name, as NumPy has them."""
BOUND = {
    "Real": ("float", "double"),
    "Value": ("bool", "unsigned char", "long long", "float", "double"),
    "Pixel": ("unsigned char", "float", "double"),
    "Target": ("long long", "float", "double"),
    "Place": ("signed char", "int"),
}
"""What each name of a template stands for in turn, where all that may be launched is to be compiled."""
C_NAMES = {dtype: name for name, dtype in TYPES.items()}
KERNEL = re.compile(
    r"(?:template <([^>]*)>\s*)?__global__ void\s(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(([^)]*)\)"
)
NO_ASCII = re.compile(r"[^\x00-\x7F]")
INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel: an array of `type`, or one value; `type` may be a template's name."""

    type: str
    name: str
    is_array: bool


@dataclass(frozen=True)
class Kernel:
    """A kernel in `file`, with the template names `types` that stand for C++ types."""

    name: str
    file: str
    types: tuple[str, ...]
    parameters: tuple[Parameter, ...]

    def instance(self, bound: tuple[str, ...]) -> str:
        """The kernel for these C++ types, as C++ names it: "rescale<float, unsigned char>"."""
        return f"{self.name}<{', '.join(bound)}>" if bound else self.name

    def instances(self) -> list[str]:
        """The kernel for all types of `BOUND`."""
        return [self.instance(types) for types in product(*(BOUND[name] for name in self.types))]


@cache
def kernels() -> dict[str, Kernel]:
    """All kernels by name."""
    found: dict[str, Kernel] = {}
    for file in files():
        for types, name, parameters in KERNEL.findall(read(file)):
            names = tuple(word.removeprefix("typename ") for word in types.split(", ") if word)
            found[name] = Kernel(name, file, names, tuple(map(_parameter, parameters.split(","))))
    return found


def files(ending: str = ".cu") -> list[str]:
    """The names of the sources; with ".cuh", of what they include."""
    entries = resources.files(__package__).iterdir()
    return sorted(entry.name for entry in entries if entry.name.endswith(ending))


@cache
def text(file: str) -> str:
    """A source with what it includes, in ASCII; in a compiler's messages lines count as in the files.

    CuPy writes it to a file in the encoding of the locale, and Windows' have no √ and no Σ. These stand in
    comments, where they become "#" ("?" twice would begin a trigraph).
    """
    source = f'#line 1 "{file}"\n{read(file)}'

    def included(match: re.Match[str]) -> str:
        line = source[: match.start()].count("\n")
        return f'#line 1 "{match[1]}"\n{read(match[1])}#line {line + 1} "{file}"'

    return NO_ASCII.sub("#", INCLUDE.sub(included, source))


def read(file: str) -> str:
    return resources.files(__package__).joinpath(file).read_text(encoding="utf-8")


def _parameter(declaration: str) -> Parameter:
    words = " ".join(declaration.split()).removeprefix("const ")
    kind, name = words.rsplit(" ", 1)
    return Parameter(kind, name.removeprefix("*"), name.startswith("*"))
