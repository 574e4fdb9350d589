"""The JavaScript sources of this folder: their texts, and the functions in them."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import NamedTuple

FILES = ("layers.js", "backward.js", "model.js", "explain.js", "strokes.js")
"""In the order in which a page needs them: each uses the ones before it."""
FUNCTION = re.compile(r"((?:^//[^\n]*\n)*)^tinynet\.(\w+) = function .*?^\};\n", re.MULTILINE | re.DOTALL)


class Function(NamedTuple):
    """A function of the engine, with the comment above it."""

    file: str
    line: int
    text: str


def read(file: str) -> str:
    return resources.files(__package__).joinpath(file).read_text(encoding="utf-8")


def script() -> str:
    """The whole engine, as one script."""
    return "\n".join(map(read, FILES))


@cache
def functions() -> dict[str, Function]:
    """Every `tinynet.NAME = function` by its name."""
    found = {}
    for file in FILES:
        text = read(file)
        for match in FUNCTION.finditer(text):
            found[match[2]] = Function(file, text.count("\n", 0, match.start()) + 1, match[0])
    return found
