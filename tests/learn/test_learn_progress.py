"""learn.progress: what is right stays known, whatever happens to the file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tinynet.errors import TinynetWarning
from tinynet.learn import progress

HOSTILE = [
    b"",
    b"\xff\xfe",
    b"[]",
    b"{}",
    b'{"right": []}',
    b'{"right": {"00.a": 1}}',
    b"[" * 10_000,
    b'{"right": {"00.a": "x"}}' + b" " * (1 << 20),
]


def kept() -> Path:
    return progress.folder() / progress.NAME


def test_it_begins_empty_and_grows() -> None:
    assert progress.right() == {}
    progress.record("00.a")
    progress.record("00.b", "01.c")
    assert progress.right() == dict.fromkeys(("00.a", "00.b", "01.c"), date.today().isoformat())
    assert os.listdir(progress.folder()) == [progress.NAME]


def test_the_day_of_the_first_right_answer_stays() -> None:
    progress.record("00.a")
    kept().write_text(json.dumps({"right": {"00.a": "2001-02-03"}}))
    progress.record("00.a", "00.b")
    assert progress.right()["00.a"] == "2001-02-03"


def test_what_is_known_already_is_not_written_again() -> None:
    progress.record("00.a")
    before = kept().stat().st_mtime_ns
    progress.record("00.a")
    assert kept().stat().st_mtime_ns == before


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_a_damaged_file_is_warned_of_and_set_aside_by_the_next_right_answer(data: bytes) -> None:
    progress.folder().mkdir()
    kept().write_bytes(data)
    with pytest.warns(TinynetWarning, match=r"progress\.json cannot be read: .*; the next right answer"):
        assert progress.right() == {}
    assert kept().read_bytes() == data
    with pytest.warns(TinynetWarning, match="was set aside as progress-damaged-"):
        progress.record("00.a")
    assert progress.right().keys() == {"00.a"}
    [aside] = progress.folder().glob("progress-damaged-*.json")
    assert aside.read_bytes() == data


@pytest.mark.skipif(os.name == "nt", reason="no named pipes there")
def test_a_pipe_in_its_place_does_not_make_anybody_wait() -> None:
    progress.folder().mkdir()
    os.mkfifo(kept())
    with pytest.warns(TinynetWarning, match="it is a named pipe"):
        assert progress.right() == {}


def test_a_folder_that_cannot_be_made_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "file" / "folder"))
    with pytest.warns(TinynetWarning, match=r"(?s)could not be kept: .*fix: name a folder .* TINYNET_PROG"):
        progress.record("00.a")


def test_without_the_variable_it_is_the_users_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    import platformdirs

    monkeypatch.delenv(progress.VARIABLE)
    assert progress.folder() == platformdirs.user_data_path("tinynet")


def test_two_at_once_lose_nothing() -> None:
    program = (
        "import sys; from tinynet.learn import progress;"
        "[progress.record(f'{sys.argv[1]}.{i}') for i in range(20)]"
    )
    both = [subprocess.Popen([sys.executable, "-c", program, name]) for name in ("00", "01")]
    assert [each.wait() for each in both] == [0, 0]
    assert len(progress.right()) == 40
