"""Tables for a notebook: HTML without scripts or styles, every value escaped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def html_table(head: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> str:
    """An HTML table; no head where all columns are without a name. What is None is an empty cell."""
    from html import escape

    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    names = f"<thead>{_row(head, 'th')}</thead>" if any(head) else ""
    return f"<table>{title}{names}<tbody>{''.join(_row(row, 'td') for row in rows)}</tbody></table>"


def _row(cells: Sequence[Any], tag: str) -> str:
    from html import escape  # only notebooks need it

    texts = ("" if cell is None else escape(str(cell)) for cell in cells)
    return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"
