"""Text of unknown origin, made fit for a screen."""

from __future__ import annotations

import unicodedata


def printable(text: str, keep: str = "") -> str:
    r"""`text` with each character that a terminal would obey or cannot show as an escape, such as \x1b.

    Those are control characters (an escape sequence moves the cursor or sets the title), marks that reverse
    the direction of text, line separators, and lone surrogates. Characters in `keep` stay.
    """
    if text.isprintable():
        return text
    return "".join(each if each in keep or _is_shown(each) else _escaped(each) for each in text)


def _is_shown(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
