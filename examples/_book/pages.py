"""Pages that are written anew before each build: codes, commands, and the public names."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from sphinx.application import Sphinx

from tinynet import codes, layers
from tinynet.cli import COMMANDS, main, module_of
from tinynet.layers import Layer
from tinynet.losses import Loss
from tinynet.optim import Optimizer
from tinynet.schedules import Schedule

FOLDER = Path(__file__).resolve().parents[1] / "generated"
PACKAGES = {
    "tinynet": "What a program begins with: layers, a model, a trainer",
    "tinynet.data": "Data sets and files",
    "tinynet.callbacks": "Who listens to a training",
    "tinynet.gradcheck": "Gradient checks",
    "tinynet.backends": "Where the arithmetic happens",
    "tinynet.plots": "Pictures",
    "tinynet.learn": "Exercises of the course",
}
"""Packages whose `__all__` is public, and what each is for."""
HEADS = {"numpy": "NumPy: the reference", "numba": "Numba: compiled for the CPU", "cuda": "CUDA: for a GPU"}
JAVASCRIPT = "JavaScript: in any browser"
KINDS = {"layer": "Layers", "loss": "Losses", "optimiser": "Optimisers", "schedule": "Schedules"}


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", lambda *_: write())
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write() -> None:
    """Write all pages; those that nobody needs any more go."""
    pages = {**code_pages(), **command_pages(), **name_pages()}
    if FOLDER.exists():
        for old in {*FOLDER.rglob("*.rst")} - {FOLDER / name for name in pages}:
            old.unlink()
    for name, text in pages.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:  # else Sphinx reads it again
            path.write_text(text, "utf-8")


# --- codes --------------------------------------------------------------------------------------------------


def code_pages() -> dict[str, str]:
    pages = {f"codes/{name}.rst": code_page(name) for names in codes.names().values() for name in names}
    lines = [
        *heading("One equation, several codes", "="),
        "Each page shows one equation and all the code that computes it: the layer, NumPy's array",
        "expressions, the loops for a CPU, the kernels for a GPU, the functions that run in a browser,",
        "and the commands that prove them right.",
        "All is taken from the sources as they are. In a terminal, ``tinynet read conv2d`` shows the same.",
        "",
    ]
    for kind, names in codes.names().items():
        lines += [".. toctree::", f"   :caption: {KINDS[kind]}", "   :maxdepth: 1", ""]
        lines += [*(f"   {name}" for name in names), ""]
    return {**pages, "codes/index.rst": text_of(lines)}


def code_page(name: str) -> str:
    found = codes.read(name)
    lines = [*heading(name, "="), *literal(found.text, "text"), f"Settings: :py:class:`tinynet.{name}`.", ""]
    lines += [*heading(f"The {found.kind} itself", "-"), *pieces(found.own)]
    for backend, title in HEADS.items() if found.operations else ():
        lines += [*heading(title, "-"), *pieces(found.backends[backend])]
        for inherited in found.inherited if backend == "numba" else ():
            lines += [f"``{inherited}`` is NumPy's code, as it is.", ""]
    if found.kind != "schedule" and not found.operations:
        lines += ["This runs as it stands on every backend: on NumPy's arrays or on a GPU's.", ""]
    if found.javascript:
        lines += [*heading(JAVASCRIPT, "-"), *pieces(found.javascript)]
    lines += heading("What proves it", "-")
    for proof in found.proofs:
        lines += [f"{proof.shows[0].upper()}{proof.shows[1:]}:", "", *literal(proof.command, "sh")]
    return text_of(lines)


def pieces(found: Iterable[codes.Code]) -> Iterator[str]:
    for code in found:
        yield from literal(
            code.text, code.language, f":caption: ``{code.file}``", f":lineno-start: {code.line}"
        )


# --- commands -----------------------------------------------------------------------------------------------


def command_pages() -> dict[str, str]:
    context = click.Context(main)
    found = {name: main.get_command(context, name) for name in COMMANDS}
    pages = {
        f"commands/{name}.rst": text_of(
            [
                f".. click:: {module_of(name)}:command",
                f"   :prog: tinynet {name}",
                "   :nested: full",
            ]
        )
        for name in COMMANDS
    }
    lines = [
        *heading("Commands", "="),
        "``tinynet NAME --help`` prints what these pages say.",
        "",
        ".. list-table::",
        "",
    ]
    for name, command in found.items():
        assert command is not None
        lines += [f"   * - :doc:`tinynet {name} <{name}>`", f"     - {command.get_short_help_str(200)}"]
    lines += ["", ".. toctree::", "   :hidden:", "", *(f"   {name}" for name in COMMANDS)]
    return {**pages, "commands/index.rst": text_of(lines)}


# --- public names -------------------------------------------------------------------------------------------


def name_pages() -> dict[str, str]:
    seen: set[int] = set()
    pages = {}
    for package, use in PACKAGES.items():
        lines = [*heading(package, "="), f"{use}.", ""]
        for name in public_names(package):
            lines += name_entry(package, name, seen)
        pages[f"names/{package}.rst"] = text_of(lines)
    lines = [
        *heading("Names", "="),
        "Every public name, by its package.",
        "",
        ".. toctree::",
        "   :maxdepth: 1",
        "",
    ]
    return {**pages, "names/index.rst": text_of([*lines, *(f"   {package}" for package in PACKAGES)])}


def public_names(package: str) -> list[str]:
    """What a package has in `__all__`; layers come first."""
    names = import_module(package).__all__
    return sorted(names, key=lambda name: name not in layers.__all__)


def name_entry(package: str, name: str, seen: set[int]) -> list[str]:
    """How Sphinx is asked for one name; where an earlier package has it, a line that leads there."""
    value = getattr(import_module(package), name)
    if id(value) in seen:
        return [f"``{package}.{name}`` is :py:obj:`tinynet.{name}`.", ""]
    if inspect.isclass(value) or inspect.isfunction(value):
        seen.add(id(value))
    if not inspect.isclass(value):
        kind = "function" if inspect.isfunction(value) else "data"
        return [f".. auto{kind}:: {package}.{name}", ""]
    bases = (Layer, Loss, Optimizer, Schedule)
    does_as_its_base = issubclass(value, bases) and value not in bases
    members = [] if does_as_its_base else ["   :members:"]
    return [f".. autoclass:: {package}.{name}", *members, ""]


# --- reStructuredText ---------------------------------------------------------------------------------------


def heading(title: str, line: str) -> list[str]:
    return [title, line * len(title), ""]


def literal(text: str, language: str, *options: str) -> list[str]:
    lines = text.rstrip("\n").splitlines()
    indented = [f"   {line}" if line else "" for line in lines]
    return [f".. code-block:: {language}", *(f"   {option}" for option in options), "", *indented, ""]


def text_of(lines: Iterable[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"
