"""tinynet.io.reading: regular files alone, none of them larger or deeper than its reader expects."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinynet.io.reading import MAX_DEPTH, open_regular, parse_json, read_json, read_regular, read_text

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")


def test_a_file_of_the_largest_size_and_one_byte_more(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == read_regular(str(path), 9) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_regular(path, 4)


def test_a_file_that_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    was_empty = os.stat_result([stat.S_IFREG, *[0] * 9])
    monkeypatch.setattr(os, "fstat", lambda descriptor: was_empty)
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_regular(path, 4)


@posix
def test_a_sparse_file_is_not_read_into_memory(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(OSError, match="larger than 1,000 bytes"):
        read_regular(tmp_path / "sparse", 1000)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


NO_FILES: dict[str, Callable[[Path], object]] = {
    "a named pipe": lambda path: os.mkfifo(path),
    "a socket": _socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "directory": lambda path: path.mkdir(),
}


@posix
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_refused_at_once(kind: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    path = Path("x")
    NO_FILES[kind](path)
    with pytest.raises(OSError, match=kind):
        open_regular(path)


@posix
def test_a_pipe_that_took_the_place_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("tinynet.io.reading.os.stat", lambda path, real=os.stat: real(tmp_path / "file"))
    with pytest.raises(OSError, match="a named pipe"):
        open_regular(tmp_path / "pipe")


def test_text_is_utf_8(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("é".encode("latin-1"))
    with pytest.raises(ValueError, match="utf-8"):
        read_text(tmp_path / "a", 10)


@pytest.mark.parametrize("value", [None, [1], {"a": [1.5, -(2**63), 2**64 - 1]}, "x"])
def test_json_comes_back(value: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(json.dumps(value))
    assert read_json(tmp_path / "a", 100) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting"),
        ("", "Expecting"),
        ("[" * 100_000, "nested"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "nested"),
        ('{"a":' * (MAX_DEPTH + 2) + "1" + "}" * (MAX_DEPTH + 2), "nested"),
        ("1" * 5000, "digits"),
        (f"[{2**64}]", "64 bits"),
        (f'{{"a": {-(2**63) - 1}}}', "64 bits"),
    ],
)
def test_json_that_breaks_what_comes_after(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(text)


def test_as_deep_as_allowed() -> None:
    parse_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
