"""tinynet.io.markdown: tables, figures as text, and values that JSON takes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tinynet.io import markdown
from tinynet.io.markdown import count, duration, figure, markdown_table, percent, plain


def test_a_table_keeps_its_cells_on_one_line_and_apart() -> None:
    table = markdown_table(("name", "a|b", "c"), [("two\nlines", None, "<b>")])
    assert table.splitlines() == [
        "| name | a\\|b | c |",
        "| --- | --: | --: |",
        "| two lines | not recorded | &lt;b> |",
    ]
    assert markdown_table(("", ""), []).splitlines()[1] == "| --- | --- |"


def test_figures_as_text() -> None:
    assert [count(12345), figure(0.98765), percent(0.98765)] == ["12,345", "0.9877", "98.77 %"]
    assert [duration(0.01234), duration(99.96), duration(12345.6)] == ["0.0123 s", "100 s", "12,346 s"]
    assert {write(None) for write in (count, figure, percent, duration)} == {markdown.NOT_RECORDED}


def test_a_warning_is_a_block_and_no_notice_none() -> None:
    assert markdown.warning("made\n up") == ["> **WARNING: made up**"]
    assert markdown.warning(None) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float32("nan")])
def test_what_is_not_finite_is_null(value: float) -> None:
    assert plain({"a": [value, 1.5]}) == {"a": [None, 1.5]}


def test_what_is_returned_is_what_a_reader_of_the_file_gets(tmp_path: Path) -> None:
    value = {1: np.arange(3), "p": tmp_path, "x": np.float64(0.5), "t": (True, None, "é")}
    written = markdown.write_json(tmp_path / "a.json", value)
    assert written == {"1": [0, 1, 2], "p": str(tmp_path), "x": 0.5, "t": [True, None, "é"]}
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == written


def test_a_run_section_repeats_the_command_where_there_was_one() -> None:
    report = {
        "machine": {"cpu": "z80", "cores": 1, "os": "CP/M"},
        "versions": {"numpy": "2"},
        "facts": {"command": "tinynet train mlp"},
    }
    heading, table, again, command = markdown.run_section([("seed", 3)], report)
    assert heading == "## Run"
    assert "| seed | 3 |" in table
    assert "| processor | z80, 1 core |" in table
    assert (again, command) == ("## Reproduce", "```sh\ntinynet train mlp\n```")
    assert len(markdown.run_section([], report | {"facts": {}}, "Machine")) == 2
