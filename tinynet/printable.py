"""Text for a screen: of unknown origin made fit for it, numbers with their nouns, paths to paste."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from io import TextIOWrapper

PLAIN = {
    "…": "...",
    "→": "->",
    "←": "<-",
    "↔": "<->",
    "±": "+-",
    "×": "x",
    "·": "*",
    "–": "-",
    "—": "-",
    "−": "-",
    "≥": ">=",
    "≤": "<=",
    "√": "sqrt",
    "∂": "d",
    "Σ": "sum",
    "µ": "u",
    "“": '"',
    "”": '"',
    "’": "'",
}
"""What stands for a character that an encoding lacks."""
HANDLER = "tinynet-plain"


def printable(text: str, keep: str = "") -> str:
    r"""`text` with each character that a terminal would obey or cannot show as an escape, such as \x1b.

    Those are control characters (an escape sequence moves the cursor or sets the title), marks that reverse
    the direction of text, line separators, and lone surrogates. Characters in `keep` stay.
    """
    if text.isprintable():
        return text
    return "".join(each if each in keep or _is_shown(each) else _escaped(each) for each in text)


def counted(number: int, noun: str) -> str:
    """`1 epoch`, `2 epochs`, `1,000 images`: a number with the noun that it counts."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def quoted(path: object) -> str:
    r"""A path as a word to paste into a shell; one that is no UTF-8 as bash writes it, $'bad\xff'."""
    import os
    import shlex

    text = str(path)
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_as_bash_has_it, os.fsencode(text))) + "'"


def _as_bash_has_it(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}"


def _is_shown(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def in_plain(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: `PLAIN`, or the code of the character."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    codes = (each.encode("ascii", "backslashreplace").decode() for each in lacking)
    return "".join(PLAIN.get(each, code) for each, code in zip(lacking, codes, strict=True)), error.end


codecs.register_error(HANDLER, in_plain)


def accept_all_text() -> None:
    """Let standard output and error take any text, whatever their encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=HANDLER)
