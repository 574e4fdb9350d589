"""What all the pages we write share: Markdown tables, figures for a person, values for JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.io.atomic import write_atomic


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table: first column to the left, the others to the right if there are several."""
    align = ["---"] + ["---" if len(head) == 2 else "--:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in (head, align, *rows))


def _cell(value: Any) -> str:
    if value is None:
        return "not recorded"
    return " ".join(str(value).replace("|", "\\|").split())


def count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def figure(value: float | None) -> str | None:
    """A share or a loss in four decimals."""
    return None if value is None else f"{value:.4f}"


def percent(share: float | None) -> str | None:
    """0.98765 as "98.77 %"."""
    return None if share is None else f"{100 * share:.2f} %"


def duration(value: float | None) -> str | None:
    """Seconds in three digits, whole from 100 on."""
    return None if value is None else f"{value:.3g} s" if value < 100 else f"{value:,.0f} s"


def plain(value: Any) -> Any:
    """The same in the types of JSON, so that what is returned equals what a reader of the file gets."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def write_json(path: Path, value: Any) -> Any:
    """Write `value`, made `plain`, as JSON to `path`, and return it."""
    written = plain(value)
    write_atomic(path, (json.dumps(written, indent=1, ensure_ascii=False) + "\n").encode())
    return written
