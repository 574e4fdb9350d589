"""The rows: what is measured."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Sequence
from typing import NamedTuple

from tinynet.errors import ConfigError

BATCH = {"linear": 64, "mlp": 64, "lenet": 128, "kaggle-cnn": 32}
OTHER_BATCH = {"lenet5": 64, "vgg": 64, "wide": 256, "drawn": 64}
"""Of the nets that nobody chose for us to win with: `nets.OTHERS`."""


class Row(NamedTuple):
    name: str
    kind: str
    """step, epoch, infer, start-up, memory or threads."""
    net: str
    batch: int
    unit: str = "ms"
    most_rounds: int = 1000
    cold: bool = False
    """Start with an empty cache of compiled kernels."""


ROWS = [
    *(Row(f"{net}-step", "step", net, batch) for net, batch in BATCH.items()),
    Row("mlp-epoch", "epoch", "mlp", 64, "s", 10),
    *(Row(f"{net}-infer-{n}", "infer", net, n) for net in ("mlp", "lenet", "kaggle-cnn") for n in (1, 256)),
    *(Row(f"{net}-step", "step", net, batch) for net, batch in OTHER_BATCH.items()),
    *(Row(f"{net}-infer-{n}", "infer", net, n) for net in OTHER_BATCH for n in (1, 256)),
    Row("start-up-warm", "start-up", "mlp", 64, "s", 5),
    Row("start-up-cold", "start-up", "mlp", 64, "s", 3, cold=True),
    Row("cnn-start-up-cold", "start-up", "cnn", 64, "s", 3, cold=True),
    Row("mlp-memory", "memory", "mlp", 64, "MiB", 3),
]
THREADS = Row("cnn-threads", "threads", "cnn", 64, "s", 10)
"""Ours alone: what threads gain, see `scaling`."""
if sys.platform == "win32":
    ROWS.pop()  # Python cannot read there how much memory a process has held at most


def chosen(patterns: str, rows: Sequence[Row] = ROWS) -> list[Row]:
    """The rows whose name fits one of the patterns, comma separated. Raises ConfigError if none does."""
    found = [row for row in rows if any(fnmatch.fnmatch(row.name, p) for p in patterns.split(","))]
    if not found:
        raise ConfigError(
            "no row has such a name", expected=", ".join(row.name for row in rows), received=repr(patterns)
        )
    return found
