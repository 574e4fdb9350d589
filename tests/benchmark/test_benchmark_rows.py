"""The rows of the benchmark, by pattern."""

from __future__ import annotations

import pytest

from tinynet.benchmark.rows import ROWS, chosen
from tinynet.errors import ConfigError


def test_rows_by_pattern() -> None:
    assert [row.name for row in chosen("lenet-infer-*,mlp-epoch")] == [
        "mlp-epoch",
        "lenet-infer-1",
        "lenet-infer-256",
    ]
    assert chosen("*") == ROWS
    with pytest.raises(ConfigError, match="no row has such a name\n  expected: linear-step, "):
        chosen("resnet-step")
