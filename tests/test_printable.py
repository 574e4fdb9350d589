"""tinynet.printable: nothing that a terminal obeys is left in a text."""

from __future__ import annotations

import pytest

from tinynet.errors import LONGEST, ConfigError
from tinynet.printable import counted, printable, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ankle boot, 靴, ∂L/∂W, 5 000 €", "Ankle boot, 靴, ∂L/∂W, 5 000 €"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("a\rb\nc\td\x7f\0", "a\\rb\\nc\\td\\x7f\\x00"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("line\u2028line", "line\\u2028line"),
        ("bad\udcff", "bad\\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
    printable(text).encode()


def test_what_is_to_be_kept() -> None:
    assert printable("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


def test_an_error_says_nothing_that_a_terminal_obeys() -> None:
    error = ConfigError("no \x1b[2J", expected="\x07", received="bad\udcff", fix="\x9b")
    assert str(error) == "no \\x1b[2J\n  expected: \\x07\n  received: bad\\udcff\n  fix: \\x9b"


def test_an_error_is_never_a_flood() -> None:
    assert len(str(ConfigError("x" * 10**6))) <= LONGEST + 1


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("runs/cnn-1", "runs/cnn-1"),
        ("my run (1)", "'my run (1)'"),
        ("bad\udcff's", r"$'bad\xff\x27s'"),
        ("two\nlines", r"$'two\x0alines'"),
    ],
    ids=["plain", "spaces", "no UTF-8", "a line break"],
)
def test_a_path_in_a_hint_can_be_pasted_into_a_shell(path: str, word: str) -> None:
    assert quoted(path) == word


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (1, "epoch", "1 epoch"),
        (0, "row", "0 rows"),
        (2, "thread", "2 threads"),
        (60_000, "image", "60,000 images"),
    ],
)
def test_a_number_with_its_noun(number: int, noun: str, said: str) -> None:
    assert counted(number, noun) == said
