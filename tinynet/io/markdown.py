"""What all our reports share: Markdown blocks, figures as text, values for JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.io.atomic import write_atomic
from tinynet.printable import counted

NOT_RECORDED = "not recorded"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table: first column to the left, the others to the right if there are several."""
    align = ["---"] + ["---" if len(head) == 2 else "--:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in (head, align, *rows))


def _cell(value: Any) -> str:
    if value is None:
        return NOT_RECORDED
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())


def warning(notice: str | None) -> list[str]:
    """The block on top of a page that warns of `notice`; no block where there is none."""
    return ["> **WARNING: " + " ".join(notice.split()) + "**"] if notice else []


def run_section(
    rows: Sequence[tuple[str, Any]], report: Mapping[str, Any], heading: str = "Run"
) -> list[str]:
    """The blocks at a page's end: a table of how its figures came about, and the command that repeats it.

    rows: (name, value) pairs   report: with `machine`, `versions` and, in its `facts`, perhaps `command`
    """
    machine, command = report["machine"], report["facts"].get("command")
    software = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    processor = ("processor", f"{machine['cpu']}, {counted(machine['cores'], 'core')}")
    made = markdown_table(("", ""), [*rows, processor, ("system", machine["os"]), ("versions", software)])
    again = ["## Reproduce", f"```sh\n{command}\n```"] if command else []
    return [f"## {heading}", made, *again]


def write_page(path: Path, blocks: Sequence[str]) -> None:
    """Write the page that `page` makes of these blocks."""
    write_atomic(path, page(blocks).encode(errors="backslashreplace"))


def page(blocks: Sequence[str]) -> str:
    """Markdown blocks, one after another."""
    return "\n\n".join(blocks) + "\n"


def count(value: int | None) -> str:
    """12345 as "12,345"."""
    return NOT_RECORDED if value is None else f"{value:,}"


def figure(value: float | None) -> str:
    """A share or a loss in four decimals."""
    return NOT_RECORDED if value is None else f"{value:.4f}"


def percent(share: float | None) -> str:
    """0.98765 as "98.77 %"."""
    return NOT_RECORDED if share is None else f"{100 * share:.2f} %"


def duration(seconds: float | None) -> str:
    """Seconds in three digits, whole from 100 on."""
    if seconds is None:
        return NOT_RECORDED
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:,.0f} s"


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
    write_atomic(
        path, (json.dumps(written, indent=1, ensure_ascii=False) + "\n").encode(errors="backslashreplace")
    )
    return written
