"""TOML: reading a file, and writing on one line, which the standard library does not."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from tinynet.errors import ConfigError
from tinynet.io.reading import check_plain, read_text, reason

MAX_BYTES = 1 << 16
"""Of a file; our longest has 3,000."""
MAX_DOTS = 500
"""In a line. `tomllib` takes time that grows with the square of the parts of a.b.c…: a minute for 32,000."""


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The table in a TOML file. Raises ConfigError for a file that cannot be read, or is no TOML."""
    try:
        text = read_text(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no file {os.fspath(path)}", fix="check the spelling, and the folder you are in"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{os.fspath(path)} cannot be read",
            expected=f"a UTF-8 text file of at most {MAX_BYTES:,} bytes",
            received=reason(error),
        ) from error
    try:
        if max(line.count(".") for line in text.split("\n")) > MAX_DOTS:
            raise ValueError(f"a line of more than {MAX_DOTS} dots")
        table = tomllib.loads(text)
        check_plain(table)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{os.fspath(path)} is not valid TOML", received=error) from error
    return table


def inline(value: Any) -> str:
    """A plain value (text, number, true or false, list, table) as TOML that `tomllib` reads back as equal.

    What is None in a table is left out: TOML has no word for it. Raises ConfigError for any other type.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(inline, value))}]"
    if isinstance(value, Mapping):
        pairs = [f"{key(name)} = {inline(item)}" for name, item in value.items() if item is not None]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    raise ConfigError(
        "TOML cannot hold this value",
        expected="texts, numbers, true or false, lists and tables",
        received=f"{value!r} ({type(value).__name__})",
    )


def key(name: str) -> str:
    """A key, in quotes where it must have them."""
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else inline(name)
