"""Docstrings as they stand, for Sphinx: sentences as text, equations and tables of shapes as they are set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click
from sphinx.application import Sphinx

EQUATION = re.compile(r"^\s|\S {3,}\S|^[^ ]+ = [^.]*$")
"""A line that is to keep its spaces."""
ITEM = re.compile(r"^(- |\d\. )")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", convert)
    app.connect("autodoc-process-signature", plain_types)
    app.connect("sphinx-click-process-description", examples_as_code)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def convert(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    lines[:] = list(converted("\n".join(lines)))


def plain_types(
    app: Sphinx,
    what: str,
    name: str,
    thing: object,
    options: object,
    arguments: str | None,
    result: str | None,
) -> tuple[str | None, str | None]:
    """Array, and not what a type checker makes of it."""

    def plain(text: str | None) -> str | None:
        return text and re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", text).replace("<factory>", "...")

    return plain(arguments), plain(result)


def examples_as_code(app: Sphinx, context: click.Context, lines: list[str]) -> None:
    """The examples at the end of a command's help."""
    first = next((i for i, line in enumerate(lines) if re.match(r"\| Examples?:", line)), len(lines))
    code = [line.removeprefix("| ").strip() for line in lines[first + 1 :]]
    if code:
        head = lines[first].removeprefix("| ")
        lines[first:] = [head, "", ".. code-block:: sh", "", *(f"   {line}" for line in code), ""]


def converted(text: str) -> Iterator[str]:
    """The lines of a docstring as reStructuredText."""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        lines = paragraph.splitlines()
        yield ""
        if ITEM.match(lines[0]):
            for line in lines:
                marker, rest = (ITEM.match(line) or re.match("", line))[0], ITEM.sub("", line)
                yield marker + escaped(rest) if marker else f"  {escaped(rest.strip())}"
        elif any(EQUATION.search(line) for line in lines):
            yield from (".. code-block:: text", "", *(f"    {line}" for line in lines))
        else:
            yield from map(escaped, lines)
    yield ""


def escaped(line: str) -> str:
    """A line of text: names in backticks are code, and nothing else is markup."""
    parts = re.split(r"`([^`]+)`", line)
    text = [re.sub(r"([*|\\_`])", r"\\\1", part) for part in parts]
    return "".join(f"``{parts[i]}``" if i % 2 else text[i] for i in range(len(parts)))
