"""tinynet bench: a row measured, its table and its file."""

from __future__ import annotations

import json
from pathlib import Path

from commands import Command


def test_a_row(tinynet: Command, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    said = tinynet(
        "bench", "--rows", "linear-step", "--rounds", 1, "--backend", "numpy", "--threads", 1, "--json", file
    )
    assert "numpy backend, 1 threads" in said
    assert "linear-step" in said
    report = json.loads(file.read_text())
    assert (report["backend"], report["threads"], report["samples"]) == ("numpy", 1, 60_000)
    assert any(version.startswith("tinynet-engine ") for version in report["versions"])
    [row] = report["rows"]
    assert row["row"] == "linear-step"
    assert 1 <= len(row["turns"]) == row["kept"] + row["discarded"] <= 2
    assert all(0 < turn["value"] < 1 for turn in row["turns"])


def test_mistakes(tinynet: Command) -> None:
    assert "no row has such a name" in tinynet("bench", "--rows", "resnet", code=1)
    assert "nosuch" in tinynet("bench", "--backend", "nosuch", code=1)
