"""tinynet.io.toml: what is written is read back as equal, by the standard library's reader."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinynet.errors import ConfigError
from tinynet.io import toml

PLAIN = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
def test_round_trip(value: Any) -> None:
    assert repr(tomllib.loads(f"v = {toml.inline(value)}")["v"]) == repr(value)


@given(st.text())
def test_keys(name: str) -> None:
    assert tomllib.loads(f"{toml.key(name)} = 1") == {name: 1}


def test_none_in_a_table_is_left_out() -> None:
    assert toml.inline({"clip": None, "type": "Adam"}) == '{ type = "Adam" }'


def test_what_toml_cannot_hold() -> None:
    with pytest.raises(ConfigError, match=r"(?s)TOML cannot hold.*received: None"):
        toml.inline([None])


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('x = [1, 2.5]\n[t]\ny = "é"\n', "utf-8")
    assert toml.load(tmp_path / "a.toml") == {"x": [1, 2.5], "t": {"y": "é"}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x =", "is not valid TOML"),
        (b"x = " + b"[" * 2000 + b"]" * 2000, "is not valid TOML"),
        (b"x = " + b"[" * 200 + b"]" * 200, "nested more than"),
        (b"x = " + b"{a=" * 300 + b"1" + b"}" * 300, "nested more than|recursion"),
        (b".".join([b"a"] * 400) + b" = 1", "nested more than"),
        (b".".join([b"a"] * 30_000) + b" = 1", "more than 500 dots"),
        (b"x = " + b"1" * 5000, "digits"),
        (b"x = 0x" + b"f" * 17, "64 bits"),
        (b'x = "' + b"y" * toml.MAX_BYTES + b'"', "larger than 65,536 bytes"),
        (b'x = "\xff"', "utf-8"),
        (b"x = 1\0", "is not valid TOML"),
        ("x = 1".encode("utf-16"), "utf-8"),
    ],
)
def test_a_file_that_is_no_toml_or_too_much(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        toml.load(tmp_path / "a.toml")
