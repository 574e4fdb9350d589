"""Numbers, names and texts as C99 has them; whatever they hold, they stay what they are."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from tinynet.types import Array

WIDTH = 100
TYPES = {"float32": "float", "int8": "int8_t", "uint8": "uint8_t", "int32": "int32_t", "uint32": "uint32_t"}


def identifier(text: str) -> str:
    """A name in C for any text: ASCII letters, digits and underscores, 24 at most, a lower letter first."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower()[:24]
    return name if name[:1].isalpha() else f"net_{name}".rstrip("_")


def string(text: str) -> str:
    """A literal of these characters in UTF-8: bytes that are no plain ASCII in three octal digits each."""
    return '"' + "".join(map(_in_string, text.encode("utf-8", "surrogatepass"))) + '"'


def _in_string(byte: int) -> str:
    character = chr(byte)
    if character in '"\\?':  # ?? would begin a trigraph
        return f"\\{character}"
    return character if 32 <= byte < 127 else f"\\{byte:03o}"


def comment(text: str) -> str:
    """A text of one line within a comment, which it cannot end: plain ASCII, anything else by its code."""
    plain = re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", text)
    plain = plain.encode("ascii", "backslashreplace").decode()
    return re.sub(r"(?<=[*/?])(?=[*/?])", " ", plain)


def number(value: float) -> str:
    """A float's shortest literal that reads back as the same float."""
    text = str(np.float32(value))
    return f"{text}f" if re.search(r"[.e]", text) else f"{text}.0f"


def array(name: str, values: Array) -> str:
    """A constant array of C, its shape in a comment above it."""
    kind = TYPES[values.dtype.name]
    flat = values.reshape(-1)
    items = map(number, flat) if kind == "float" else map(_whole, flat.tolist())
    shape = " x ".join(map(str, values.shape))
    return f"/* {shape} */\nstatic const {kind} {name}[{flat.size}] = {{\n{filled(items)}\n}};\n"


def _whole(value: int) -> str:
    return "(-2147483647 - 1)" if value == -(2**31) else f"{value}u" if value >= 2**31 else str(value)


def filled(items: Iterable[str], indent: int = 4) -> str:
    """Lines of items with a comma after each, as many a line as fit."""
    lines, line = [], " " * (indent - 1)
    for item in items:
        if len(line) + len(item) + 2 > WIDTH and line.strip():
            lines.append(line)
            line = " " * (indent - 1)
        line += f" {item},"
    return "\n".join([*lines, line])
