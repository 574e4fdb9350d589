"""tinynet.io.toml: what is written is read back as equal, by the standard library's reader."""

from __future__ import annotations

import tomllib
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
