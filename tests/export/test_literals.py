"""Names, numbers and texts of C. `test_c.py` has them compiled."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinynet.export import literals


@given(st.text())
def test_any_text_has_a_name_a_string_and_a_comment(text: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,27}", literals.identifier(text))
    line = literals.comment(text)
    assert line.isascii()
    assert line.isprintable()
    assert not re.search(r"\*/|/\*|\?\?", line)
    inside = literals.string(text)[1:-1]
    assert re.fullmatch(r'([ !#-\[\]-~]|\\["\\?]|\\[0-7]{3})*', inside)
    said = re.sub(
        r"\\([0-7]{3}|.)", lambda each: chr(int(each[1], 8)) if len(each[1]) == 3 else each[1], inside
    )
    assert said.encode("latin-1").decode("utf-8", "surrogatepass") == text


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_itself(value: float) -> None:
    text = literals.number(value)
    assert re.fullmatch(r"-?\d+(\.\d+)?(e[+-]\d+)?f", text)
    assert "." in text or "e" in text
    assert np.float32(text[:-1]) == np.float32(value)


@pytest.mark.parametrize(
    ("text", "name"), [("cnn-1", "cnn_1"), ("1", "net_1"), ("", "net"), ("Größe", "gr_e"), ("__x__", "x")]
)
def test_identifiers(text: str, name: str) -> None:
    assert literals.identifier(text) == name


def test_arrays_and_the_smallest_int() -> None:
    text = literals.array("a", np.array([[-(2**31), 5]], np.int32))
    assert text == "/* 1 x 2 */\nstatic const int32_t a[2] = {\n    (-2147483647 - 1), 5,\n};\n"
    assert "4294967295u," in literals.array("a", np.array([2**32 - 1], np.uint32))
