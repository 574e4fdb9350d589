"""A net drawn block by block."""

from __future__ import annotations

from pathlib import Path

from plots_drawn import DRAW, svg_text


def test_the_net_is_drawn_block_by_block(tmp_path: Path) -> None:
    DRAW["architecture"](tmp_path / "plot.svg")
    text = svg_text(tmp_path / "plot.svg")
    for part in ("conv2d_1", "relu_1", "6 × 6 × 40", "400 parameters", "1234", "5,678 parameters"):
        assert part in text
    assert text.index("input") < text.index("conv2d_1") < text.index("dense_1")
    assert "pooling" not in text
