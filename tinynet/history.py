"""The history of a training: a record for each epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tinynet.io.html import html_table

DIGITS = 4
LARGEST_IS_BEST = ("accuracy", "r2")
"""How the names of figures end of which the largest is best."""


class History(list[dict[str, Any]]):
    """The records of the epochs, in order; in a notebook it shows as a table."""

    def _repr_html_(self) -> str:
        head = list(dict.fromkeys(name for record in self for name in record))
        return html_table(head, [[_short(record.get(name)) for name in head] for record in self])


class BestBy(NamedTuple):
    """What makes an epoch the best of a training, for all who ask: checkpoints, report, plots, audit."""

    monitor: str = "val_loss"
    """The figure: the smallest is best, or the largest of accuracy and r2; of equal ones the first."""
    min_delta: float = 0.0
    """It must beat the best before it by more than this."""
    restored: bool = False
    """Whether the weights of the best epoch are the final ones (else those of the last epoch are)."""

    def best(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """The record of the best epoch; None where no epoch has the figure."""
        sign = -1 if self.monitor.endswith(LARGEST_IS_BEST) else 1
        found: Mapping[str, Any] | None = None
        for record in history:
            figure = record.get(self.monitor)
            if figure is None or math.isnan(figure):
                continue
            if found is None or sign * figure < sign * found[self.monitor] - self.min_delta:
                found = record
        return found

    def final(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """The record of the epoch whose weights the training ended with; None where there was no epoch."""
        return (self.best(history) if self.restored else None) or (history[-1] if history else None)


BY_LOSS = BestBy()
"""By the validation loss, the weights of the last epoch being the final ones."""


def _short(value: Any) -> Any:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else value
