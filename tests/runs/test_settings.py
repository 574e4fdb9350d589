"""config.json: what is read back, and what a damaged or foreign one is told."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tinynet.errors import ConfigError, RunError
from tinynet.runs import recipe
from tinynet.runs.settings import Settings, StartingPoint, read_settings

SETTINGS = Settings(
    name="net",
    recipe=recipe.load("linear"),
    dataset="sample",
    data_dir=None,
    data_sha256="0" * 64,
    seed=0,
    backend="numpy",
    dtype="float32",
    command="tinynet train linear",
)


def write(folder: Path, table: Any) -> None:
    (folder / "config.json").write_text(table if isinstance(table, str) else json.dumps(table))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    start = StartingPoint("/elsewhere", "1" * 64, SETTINGS)
    for settings in (SETTINGS, dataclasses.replace(SETTINGS, start=start, name="lr:100 é \udcff")):
        write(tmp_path, settings.as_table())
        assert read_settings(tmp_path) == settings


@pytest.mark.parametrize(
    "name", ["../../../escaped", "/etc/x", "a/b", "..", "", "..\\..\\x", "C:x", "a\0", "a\x1b[2J", "a\n"]
)
def test_a_name_that_would_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no name for a run"):
        dataclasses.replace(SETTINGS, name=name)
    write(tmp_path, SETTINGS.as_table() | {"name": name})
    with pytest.raises(RunError, match=r"config.json is damaged(.|\n)*no name for a run"):
        read_settings(tmp_path)
    start = {"path": "/x", "weights_sha256": "0", "settings": SETTINGS.as_table() | {"name": name}}
    write(tmp_path, SETTINGS.as_table() | {"start": start})
    with pytest.raises(RunError, match="no name for a run"):
        read_settings(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        *["", "[1]", "null", "5", "{", "[" * 10_000, '{"a":' * 500 + "1" + "}" * 500],
        *[{"seed": "1"}, {"seed": 1.5}, {"seed": 10**30}, {"recipe": []}, {"recipe": {"layers": 3}}],
        *[{"recipe": {"layers": ["Dense"]}}, {"recipe": {"layers": [{"type": ["Dense"]}]}}, {"more": 1}],
        *[{"freeze": "dense_1"}, {"freeze": [1]}, {"start": 3}, {"start": {"path": 5}}, {"name": None}],
        {"recipe": {"layers": [], "training": {"validation": float("nan")}}},
        {"recipe": {"layers": [], "training": {"optimizer": {"type": "Adam", "learning_rate": "x"}}}},
    ],
)
def test_a_damaged_one_is_a_sentence(tmp_path: Path, change: Any) -> None:
    write(tmp_path, change if isinstance(change, str) else SETTINGS.as_table() | change)
    with pytest.raises(RunError, match=r"config.json is damaged"):
        read_settings(tmp_path)


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(RunError, match="directory"):
        read_settings(tmp_path)
