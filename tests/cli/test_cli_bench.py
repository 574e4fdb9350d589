"""tinynet bench: a row measured, its table and its file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Command

from tinynet.benchmark import scaling
from tinynet.benchmark.turns import CpuTimes


def test_a_row(tinynet: Command, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    said = tinynet(
        "bench", "--rows", "linear-step", "--rounds", 1, "--backend", "numpy", "--threads", 1, "--json", file
    )
    assert "numpy backend, 1 thread " in said
    assert "linear-step" in said
    report = json.loads(file.read_text())
    assert (report["backend"], report["threads"], report["samples"]) == ("numpy", 1, 60_000)
    assert any(version.startswith("tinynet-engine ") for version in report["versions"])
    assert report["scaling"] is None
    [row] = report["rows"]
    assert row["row"] == "linear-step"
    assert 1 <= len(row["turns"]) == row["kept"] + row["discarded"] <= 2
    assert all(0 < turn["value"] < 1 for turn in row["turns"])


def test_what_threads_gain(tinynet: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "SAMPLES", 128)
    monkeypatch.setattr(CpuTimes, "lost_until", lambda *_: 0.0)  # whoever else computes on this machine
    file = tmp_path / "bench.json"
    said = tinynet("bench", "--rows", "cnn-threads", "--rounds", 1, "--threads", 2, "--json", file)
    assert "An epoch of cnn with 128 images takes" in said
    found = json.loads(file.read_text())
    assert not found["rows"]
    assert (found["scaling"]["threads"], found["scaling"]["kept"]) == (2, 1)
    assert found["scaling"]["alone"]["median"] > 0


def test_mistakes(tinynet: Command) -> None:
    assert "no row has such a name" in tinynet("bench", "--rows", "resnet", code=1)
    said = tinynet("bench", "--rows", "cnn-threads", "--threads", 1, code=1)
    assert "cnn-threads compares one thread with several" in said
    assert "nosuch" in tinynet("bench", "--backend", "nosuch", code=1)
