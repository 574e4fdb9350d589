"""A worker runs one contender, of ours or not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tinynet.benchmark.harness import Conditions, Contender, ContenderError, Process

STRANGER = """
import sys
DISTRIBUTIONS = ("numpy",)
class Peer:
    def __init__(self, net, mode): self.mode = mode
    def put(self, images, labels): return images, labels
    def step(self, x, labels):
        if self.mode == "broken": raise ValueError("out of order")
        return float("tinynet" in sys.modules)
"""


def test_a_worker_needs_no_tinynet(conditions: Conditions, tmp_path: Path) -> None:
    file = tmp_path / "stranger_.py"
    file.write_text(STRANGER)
    stranger = Contender("stranger", Path(sys.executable), file, "whole")
    with Process(stranger, "mlp", 4, conditions) as process:
        assert process.ask("losses", steps=2) == [0.0, 0.0]
        assert "numpy" in process.ask("about")
    with (
        Process(stranger._replace(mode="broken"), "mlp", 4, conditions) as process,
        pytest.raises(ContenderError, match="stranger: ValueError: out of order"),
    ):
        process.ask("losses", steps=1)
