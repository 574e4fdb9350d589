"""A model as a table: its layers, the shapes of their outputs, the numbers of their parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinynet.io.html import html_table
from tinynet.layers.base import Layer
from tinynet.layers.stack import walk
from tinynet.types import Shape

HEAD = ("layer", "type", "output", "parameters")


@dataclass(frozen=True)
class LayerSummary:
    """One layer of a model; counts are for one sample. `algorithm`: how the backend computes it.

    A layer that has others inside it is followed by their rows, and does not count what they count.
    """

    name: str
    kind: str
    output_shape: Shape
    parameters: int
    state: int
    multiply_adds: int
    activation_bytes: int
    algorithm: str


class Summary(tuple[LayerSummary, ...]):
    """A row for every layer of a model, those inside others too. It prints as a table."""

    title: str

    @classmethod
    def of(
        cls, layers: Sequence[Layer], input_shape: Shape, dtype: str, backend: str, batch_size: int
    ) -> Summary:
        """The summary of built layers; algorithms as for batches of that size."""
        itemsize = np.dtype(dtype).itemsize
        rows = cls(
            LayerSummary(
                layer.name,
                type(layer).__name__,
                layer.output_shape,
                sum(spec.size for spec in layer.param_specs if not layer.branches),
                sum(spec.size for spec in layer.state_specs if not layer.branches),
                layer.multiply_adds(),
                math.prod(layer.output_shape) * itemsize,
                layer.algorithm(batch_size),
            )
            for layer in walk(layers)
        )
        trained, tracked = (sum(getattr(row, name) for row in rows) for name in ("parameters", "state"))
        count = f"{trained + tracked:,} parameters" + (f" ({trained:,} trainable)" if tracked else "")
        rows.title = f"Sequential {input_shape} → {layers[-1].output_shape}, {count}, {dtype}, {backend}"
        return rows

    def __str__(self) -> str:
        rows = [HEAD, *self._cells()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
        return "\n".join([self.title, *(_line(row, widths) for row in rows)])

    __repr__ = __str__

    def as_html(self) -> str:
        """The table for a notebook."""
        return html_table(HEAD, self._cells(), self.title)

    _repr_html_ = as_html

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (row.name, row.kind, str(row.output_shape), f"{row.parameters + row.state:,}") for row in self
        ]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    *texts, number = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  " + "  ".join([*texts, number.strip().rjust(widths[-1])])
