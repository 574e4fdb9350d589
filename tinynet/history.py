"""The history of a training: a record for each epoch."""

from __future__ import annotations

from typing import Any

from tinynet.io.html import html_table

DIGITS = 4


class History(list[dict[str, Any]]):
    """The records of the epochs, in order; in a notebook it shows as a table."""

    def _repr_html_(self) -> str:
        head = list(dict.fromkeys(name for record in self for name in record))
        return html_table(head, [[_short(record.get(name)) for name in head] for record in self])


def _short(value: Any) -> Any:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else value
