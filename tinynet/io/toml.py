"""Writing TOML on one line: the standard library only reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tinynet.errors import ConfigError


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
