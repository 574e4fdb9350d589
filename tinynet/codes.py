"""One equation, several codes: where each layer, loss, optimiser and schedule is computed, on every backend.

Nothing is listed by hand. The operations are the calls `self.ops.X` in a class's own methods; what these lead
to is found by following the names in their source, on the CPU into `kernels/cpu` and for a GPU into the CUDA
files that the backend launches. In JavaScript the function of a layer has its name. So what is shown is what
runs.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from tinynet.backends.cpu_convolution.base import Convolution
from tinynet.backends.cupy_ import CupyBackend
from tinynet.backends.numba_ import KERNELS, NumbaBackend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.errors import ConfigError
from tinynet.gradcheck import cases
from tinynet.kernels.cuda import source
from tinynet.kernels.js import source as js
from tinynet.layers import LAYERS
from tinynet.losses import LOSSES
from tinynet.optim import OPTIMIZERS
from tinynet.schedules import SCHEDULES

KINDS: dict[str, Mapping[str, type]] = {
    "layer": LAYERS,
    "loss": LOSSES,
    "optimiser": OPTIMIZERS,
    "schedule": SCHEDULES,
}
METHODS = {
    "layer": ("forward", "backward"),
    "loss": ("forward", "backward"),
    "optimiser": ("update",),
    "schedule": ("__call__", "shape"),
}
"""What a class of each kind computes with."""
BACKENDS: dict[str, tuple[type, tuple[str, ...]]] = {
    "numpy": (NumpyBackend, ("tinynet.backends.numpy_",)),
    "numba": (
        NumbaBackend,
        (
            "tinynet.backends.numba_",
            "tinynet.backends.compiled",
            "tinynet.backends.cpu_convolution.",
            "tinynet.kernels.cpu.",
        ),
    ),
    "cuda": (
        CupyBackend,
        (
            "tinynet.backends.cupy_",
            "tinynet.backends.cuda_products",
            "tinynet.backends.cuda_neighbours",
            "tinynet.backends.compiled",
        ),
    ),
}
"""Each backend's class, and the modules into which its operations are followed, by how their names begin."""
NOT_FOLLOWED = {
    "tinynet.backends.cpu_convolution.base",
    "tinynet.kernels.cpu.cache",
    "tinynet.kernels.cpu.cache_folder",
    "tinynet.kernels.cpu.compiling",
    "tinynet.kernels.cpu.crew",
    "tinynet.kernels.cpu.jit",
    "tinynet.kernels.cpu.numba_private",
}
"""How code is compiled, kept and run on several threads: no part of any equation."""
TESTS = {"optimiser": "tests/test_optim.py", "schedule": "tests/test_schedules.py"}
"""Where results worked out by hand are compared with what these compute."""
SHOWS_CONSTANTS = ("tinynet.backends.numpy_", "tinynet.kernels.cpu.")
"""Modules whose constants belong to the equation, as functions do."""
CUDA_BLOCK = re.compile(
    r"(?:^//[^\n]*\n)*(?:^template [^\n]*\n)?^"
    r"(?:__(?:global|device)__ [^;{]*?\b(?!__launch_bounds__)(?P<function>\w+)\([^{;]*\)"
    r"|struct (?:alignas\(\d+\) )?(?P<struct>\w+)[^;{]*) \{",
    re.MULTILINE,
)
"""A function or a struct of a CUDA file up to its opening brace, with the comment above it."""


@dataclass(frozen=True)
class Code:
    """A function, a method or a constant as it stands in a source file."""

    file: str
    """From the root of a checkout: "tinynet/layers/dense.py"."""
    line: int
    text: str

    @property
    def language(self) -> str:
        return {"py": "python", "js": "javascript"}.get(self.file.rpartition(".")[2], "cuda")


@dataclass(frozen=True)
class Proof:
    """A command that shows whether the codes are right, and what it shows."""

    shows: str
    command: str


@dataclass(frozen=True)
class Codes:
    """All there is to read of one layer, loss, optimiser or schedule."""

    name: str
    kind: str
    text: str
    """The class's docstring: equation, shapes, gradients, source."""
    own: tuple[Code, ...]
    operations: tuple[str, ...]
    """The backend's operations that `own` calls; with none, `own` runs on each backend as it stands."""
    backends: dict[str, tuple[Code, ...]]
    """By the name of the backend: what it runs for these operations."""
    inherited: tuple[str, ...]
    """The operations that Numba's backend takes from NumPy's as they are."""
    javascript: tuple[Code, ...]
    """Of a layer: what a page computes it with."""
    proofs: tuple[Proof, ...]


def names() -> dict[str, list[str]]:
    """What can be read, by its kind."""
    return {kind: list(classes) for kind, classes in KINDS.items()}


def read(name: str) -> Codes:
    """The codes of a layer, loss, optimiser or schedule; capital letters and hyphens do not count."""
    known = {_plain(each): (kind, each) for kind, classes in KINDS.items() for each in classes}
    if _plain(name) not in known:
        close = difflib.get_close_matches(_plain(name), known, 1)
        raise ConfigError(
            f"there is no layer, loss, optimiser or schedule {name!r}",
            expected=", ".join(each for _, each in known.values()),
            fix=f"did you mean {known[close[0]][1]!r}?" if close else "tinynet read lists them all",
        )
    kind, found = known[_plain(name)]
    return _codes(kind, KINDS[kind][found])


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name).lower()


@cache
def _codes(kind: str, owner: type) -> Codes:
    methods = [getattr(owner, method) for method in METHODS[kind]]
    operations = tuple(dict.fromkeys(name for method in methods for name in _operations(method)))
    helps = kind in ("layer", "schedule")  # what their methods call in their own file belongs to the equation
    own = _Reader(owner, (owner.__module__,)).follow(methods) if helps else map(_code, methods)
    return Codes(
        owner.__name__,
        kind,
        inspect.cleandoc(owner.__doc__ or ""),
        _by_file(own),
        operations,
        {name: _by_file(_of_backend(*where, operations)) for name, where in BACKENDS.items()},
        tuple(name for name in operations if getattr(NumbaBackend, name) is getattr(NumpyBackend, name)),
        _by_file(_javascript(owner.__name__)) if kind == "layer" else (),
        tuple(_proofs(kind, owner.__name__, operations)),
    )


def _operations(method: Callable[..., Any]) -> Iterator[str]:
    """The X of each call self.ops.X(…) in a method, in the order of its lines."""
    for node in _nodes(method):
        match node:
            case ast.Call(func=ast.Attribute(value=ops, attr=name)) if ast.unparse(ops) == "self.ops":
                yield name


def _of_backend(backend: type, modules: tuple[str, ...], operations: tuple[str, ...]) -> Iterator[Code]:
    reader = _Reader(backend, modules)
    yield from reader.follow(getattr(backend, name) for name in operations)
    yield from _cuda(reader.launched)


def _by_file(codes: Iterable[Code]) -> tuple[Code, ...]:
    """The pieces of each file together, files and pieces in the order in which they come."""
    found = list(codes)
    files = list(dict.fromkeys(code.file for code in found))
    return tuple(sorted(found, key=lambda code: files.index(code.file)))


def _proofs(kind: str, name: str, operations: tuple[str, ...]) -> Iterator[Proof]:
    if name in cases.NAMES:
        yield Proof("backward is the derivative of forward", f"tinynet gradcheck --layer {name}")
    stems = dict.fromkeys(re.sub("_(backward|inference)$", "", each) for each in operations)
    if stems:
        these = " or ".join(stems)
        same = f"agrees_with_the_reference and {f'({these})' if len(stems) > 1 else these}"
        yield Proof("Numba computes what NumPy does", f'pytest tests/backends/test_parity.py -k "{same}"')
        yield Proof("CUDA computes what NumPy does", f'pytest tests/backends/test_cupy_.py -k "{same}"')
    if kind == "layer":
        same = f"computes_what_numpy_does and {name}"
        yield Proof(
            "JavaScript computes what NumPy does", f'pytest tests/kernels/js/test_js_layers.py -k "{same}"'
        )
    if kind in TESTS:
        yield Proof("values worked out by hand", f"pytest {TESTS[kind]}")


# --- Python -------------------------------------------------------------------------------------------------


class _Reader:
    """Follows functions to all that they call, in these modules: methods of `owner`, functions, kernels."""

    def __init__(self, owner: type, modules: tuple[str, ...]) -> None:
        self.owner, self.modules = owner, modules
        self.codes: dict[Code, None] = {}
        self.launched: list[str] = []
        """Names of CUDA kernels."""

    def follow(self, functions: Iterable[Any]) -> list[Code]:
        """The functions and what they call, each before what it calls."""
        for function in functions:
            self._visit(function, self.owner)
        return list(self.codes)

    def _visit(self, function: Any, owner: type | None) -> None:
        function = _uncompiled(function)
        module = function.__module__
        if not module.startswith(self.modules) or module in NOT_FOLLOWED:
            return
        if (code := _code(function)) in self.codes:
            return
        self.codes[code] = None
        for node in _nodes(function):
            for target, its_owner in self._targets(node, function, owner):
                self._visit(target, its_owner)

    def _targets(self, node: ast.AST, function: Any, owner: type | None) -> Iterator[tuple[Any, type | None]]:
        """The functions that a node of a function's source names, methods with their class."""
        names = function.__globals__
        match node:
            case ast.Call(func=ast.Attribute() as called, args=[ast.Constant(value=str()), *_] as given):
                if called.attr == "launch" or called.attr.startswith("_"):  # self._map("relu", …)
                    for each in given:
                        if isinstance(each, ast.Constant):
                            yield from self._kernels(str(each.value))
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if owner:
                if inspect.isfunction(method := inspect.getattr_static(owner, name, None)):
                    yield method, owner
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                if isinstance(names.get(module), ModuleType):
                    yield from _functions(getattr(names[module], name, None), owner)
            case ast.Name(id=name) if name in names:
                yield from _functions(names[name], owner)
                yield from self._assigned(function.__module__, name)

    def _kernels(self, name: str) -> Iterator[tuple[Any, None]]:
        if self.owner is NumbaBackend and name in KERNELS:
            yield KERNELS[name], None
        if self.owner is CupyBackend and name in source.kernels() and name not in self.launched:
            self.launched.append(name)

    def _assigned(self, module: str, name: str) -> Iterator[tuple[Any, type | None]]:
        """Take in the line that gives a name of a module its value; the functions that this line names."""
        if not module.startswith(SHOWS_CONSTANTS):
            return
        for node in ast.parse(inspect.getsource(sys.modules[module])).body:
            match node:
                case ast.ImportFrom(module=str(origin)) if name in [each.name for each in node.names]:
                    yield from self._assigned(origin, name)
                case ast.Assign() if name in _names(*node.targets):
                    code = _lines(module, node)
                    if code not in self.codes:
                        self.codes[code] = None
                        for used in _names(node.value):
                            yield from _functions(getattr(sys.modules[module], used, None), None)
                            yield from self._assigned(module, used)


def _names(*nodes: ast.AST) -> list[str]:
    return [node.id for each in nodes for node in ast.walk(each) if isinstance(node, ast.Name)]


def _lines(module: str, node: ast.stmt) -> Code:
    lines = inspect.getsource(sys.modules[module]).splitlines(keepends=True)
    return Code(_file(module), node.lineno, "".join(lines[node.lineno - 1 : node.end_lineno]))


def _functions(value: Any, owner: type | None) -> Iterator[tuple[Any, type | None]]:
    """What may be called of a value: itself; or the methods of a way to convolve, or of a table of them."""
    if inspect.isfunction(_uncompiled(value)):
        yield value, None
    for each in value.values() if isinstance(value, dict) else [value]:
        if inspect.isclass(each) and issubclass(each, Convolution) and each is not owner:
            methods = (method for name, method in vars(each).items() if not name.startswith("_"))
            yield from ((method, each) for method in methods if inspect.isfunction(method))


def _uncompiled(value: Any) -> Any:
    return getattr(value, "py_func", value)  # Numba's name for what it compiled


def _code(function: Any) -> Code:
    lines, first = inspect.getsourcelines(function)
    return Code(_file(function.__module__), first, textwrap.dedent("".join(lines)))


def _nodes(function: Any) -> list[ast.AST]:
    """The nodes of a function's body, from its top to its bottom."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(definition, ast.FunctionDef)
    nodes = [node for statement in definition.body for node in ast.walk(statement)]
    return sorted(nodes, key=lambda node: (getattr(node, "lineno", 0), getattr(node, "col_offset", 0)))


def _file(module: str) -> str:
    """Where the checkout has a module: kernels/ is installed as tinynet.kernels."""
    return module.replace("tinynet.kernels", "kernels").replace(".", "/") + ".py"


# --- CUDA ---------------------------------------------------------------------------------------------------


def _cuda(launched: Iterable[str]) -> list[Code]:
    """These kernels and all of the CUDA files that they use, each before what it uses."""
    found: dict[Code, None] = {}

    def visit(name: str) -> None:
        code = _cuda_blocks()[name]
        if code not in found:
            found[code] = None
            for each in re.findall(r"\w+", re.sub("//.*", "", code.text)):
                if each in _cuda_blocks() and each not in source.kernels():
                    visit(each)

    for name in launched:
        visit(name)
    return list(found)


@cache
def _cuda_blocks() -> dict[str, Code]:
    """Every function and struct of the CUDA files by its name, with the comment above it."""
    found = {}
    for file in (*source.files(), *source.files(".cuh")):
        text = source.read(file)
        for match in CUDA_BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            code = text[match.start() : _end_of_block(text, match.end())]
            found[match["function"] or match["struct"]] = Code(f"kernels/cuda/{file}", line, f"{code}\n")
    return found


def _end_of_block(text: str, start: int) -> int:
    """Where the block ends whose opening brace stands before `start`; behind the semicolon of a struct."""
    depth = 1
    for brace in re.compile("{|};?").finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.end()
    raise AssertionError("a block of a CUDA file does not end")


# --- JavaScript ---------------------------------------------------------------------------------------------


def _javascript(layer: str) -> list[Code]:
    """The forward of a layer, its backward, and the functions that they call, each before what it calls."""
    found: dict[Code, None] = {}

    def visit(name: str) -> None:
        file, line, text = js.functions()[name]
        code = Code(f"kernels/js/{file}", line, text)
        if code not in found:
            found[code] = None
            for called in re.findall(r"\btinynet\.(\w+)\(", text):
                visit(called)

    visit(layer.lower())
    visit(f"{layer.lower()}Backward")
    return list(found)
