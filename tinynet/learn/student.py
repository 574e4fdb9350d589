"""A student's file, a program or a notebook: the function in it that is asked for, and what that needs.

A notebook trains nets and draws pictures, and a student's may be half finished. So its cells are not run as a
whole: of all statements, only those are run that define the function or a name that it uses, and so on.
"""

from __future__ import annotations

import ast
import itertools
import linecache
import re
import symtable
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from tinynet.errors import DataError, did_you_mean
from tinynet.io.reading import parse_json, read_text, reason
from tinynet.learn.exercise import Wrong
from tinynet.printable import printable

MAX_BYTES = 1 << 26
"""Of a student's file: a notebook with its pictures has some 10⁶."""
MODULE = "student"
"""The name of the module that a student's code is run in."""


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook, or a whole program."""

    filename: str
    """What Python calls it; the last part of it is shown to the student."""
    source: str
    tags: tuple[str, ...] = ()

    @cached_property
    def tree(self) -> ast.Module:
        """Its statements. Raises Wrong where it is not Python."""
        try:
            return ast.parse(self.source, self.filename)
        except SyntaxError as error:
            without_magics = re.sub(r"^(\s*)[%!].*$", r"\1pass", self.source, flags=re.MULTILINE)
            if without_magics != self.source:
                return Cell(self.filename, without_magics).tree
            if error.lineno is None:
                raise Wrong(f"{Path(self.filename).name} is not Python: {error.msg}") from error
            line = printable((error.text or "").strip())
            raise Wrong(
                f"a syntax error: {error.msg}\n  in line {error.lineno} of {Path(self.filename).name}: {line}"
            ) from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise Wrong(f"{Path(self.filename).name} is not Python: {error}") from error


@dataclass(frozen=True)
class Statement:
    """A statement at the top of a cell."""

    cell: Cell
    node: ast.stmt

    @cached_property
    def _table(self) -> symtable.SymbolTable:
        return symtable.symtable(ast.unparse(self.node), MODULE, "exec")

    @cached_property
    def binds(self) -> set[str]:
        """The names that it gives a value to, or changes by `name[...] =` or `name.x =`."""
        names = {
            each.get_name()
            for each in self._table.get_symbols()
            if each.is_assigned() or each.is_imported() or each.is_namespace()
        }
        changed = (node for node in ast.walk(self.node) if isinstance(node, ast.Subscript | ast.Attribute))
        if not self.is_definition:
            for node in changed:
                owner = node.value
                if isinstance(node.ctx, ast.Store) and isinstance(owner, ast.Name):
                    names.add(owner.id)
        return names

    @cached_property
    def uses(self) -> set[str]:
        """The names of the module that it, or a function in it, reads."""
        return _globals_of(self._table)

    @property
    def is_definition(self) -> bool:
        return isinstance(self.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)

    @property
    def is_always_needed(self) -> bool:
        if not isinstance(self.node, ast.ImportFrom):
            return False
        return self.node.module == "__future__" or self.node.names[0].name == "*"


def _globals_of(table: symtable.SymbolTable) -> set[str]:
    at_top = table.get_type() == "module"
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced() and (at_top or s.is_global())}
    return names.union(*map(_globals_of, table.get_children()))


def read_cells(path: Path) -> list[Cell]:
    """The cells of code in a notebook (.ipynb), or a program as one cell. Raises DataError for all else."""
    try:
        text = read_text(path, MAX_BYTES)
        if path.suffix != ".ipynb":
            return [Cell(str(path), text)]
        return [Cell(f"{path}, cell {n}", source, tags) for n, source, tags in _code_of(parse_json(text))]
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read",
            expected="a notebook (.ipynb) or a program in Python (.py)",
            received="no text" if isinstance(error, UnicodeDecodeError) else reason(error),
            fix="`tinynet learn start` copies a rung's notebook to where you work",
        ) from error


def _code_of(notebook: Any) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """The number, counted from 1, the text and the tags of each cell of code. ValueError for no notebook."""
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise ValueError("JSON without a list of cells")
    for number, cell in enumerate(cells, 1):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source", "")
            lines = source if isinstance(source, list) else [source]
            if not all(isinstance(line, str) for line in lines):
                raise ValueError(f"cell {number} holds no text")
            metadata = cell.get("metadata")
            tags = metadata.get("tags") if isinstance(metadata, dict) else None
            yield number, "".join(lines), tuple(map(str, tags)) if isinstance(tags, list) else ()


def load(path: Path, name: str) -> Callable[..., Any]:
    """The function of that name in a student's file.

    Raises Wrong where there is none, DataError for no file, and whatever the file's code raises.
    """
    broken: list[Wrong] = []
    statements: list[Statement] = []
    for cell in read_cells(path):
        try:
            statements += [Statement(cell, node) for node in cell.tree.body]
        except Wrong as wrong:
            broken.append(wrong)
    needed = _needed(statements, name)
    if not needed:
        if broken:
            raise broken[0]
        known = set().union(*(each.binds for each in statements if each.is_definition))
        raise Wrong(
            f"there is no function {name} in {path.name}\n  expected: def {name}(...), at the left margin"
            + (f"\n  likely slip: {close}" if (close := did_you_mean(name, known)) else "")
        )
    return _run(needed, path, name)


def _needed(statements: list[Statement], name: str) -> list[Statement]:
    """The last definition of `name` and what it needs, in order; none where there is no definition.

    Below its folded solution a notebook may define it again, to show a mistake: that is not the student's.
    """
    giving = [each for each in statements if name in each.binds]
    definitions = [each for each in giving if each.is_definition] or giving
    above = itertools.takewhile(lambda each: not _solves(each.cell, name), statements)
    mine = {id(each) for each in above}
    definitions = [each for each in definitions if id(each) in mine] or definitions
    if not definitions:
        return []
    chosen = {id(definitions[-1])} | {id(each) for each in statements if each.is_always_needed}
    wanted = definitions[-1].uses - {name}
    while True:
        more = [each for each in statements if id(each) not in chosen and each.binds & wanted]
        if not more:
            return [each for each in statements if id(each) in chosen]
        chosen |= {id(each) for each in more}
        wanted = wanted.union(*(each.uses for each in more)) - {name}


def _solves(cell: Cell, name: str) -> bool:
    return any(tag.startswith("solution:") and tag.endswith(f".{name}") for tag in cell.tags)


def _run(statements: list[Statement], path: Path, name: str) -> Callable[..., Any]:
    """What `name` is after these statements, which are in the order of the file."""
    module = ModuleType(MODULE)
    module.__file__ = str(path)
    sys.modules[MODULE] = module  # dataclasses look there
    future = [each.node for each in statements if _is_future(each.node)]
    for cell in dict.fromkeys(each.cell for each in statements):
        lines = cell.source.splitlines(keepends=True)
        linecache.cache[cell.filename] = (len(cell.source), None, lines, cell.filename)
        body = [each.node for each in statements if each.cell == cell and not _is_future(each.node)]
        code = compile(ast.Module([*future, *body], []), cell.filename, "exec")
        exec(code, module.__dict__)  # noqa: S102 (to run what the student wrote is the purpose)
    function: Callable[..., Any] = getattr(module, name)
    return function


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
