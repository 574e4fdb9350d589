"""Colours of code that can be read on a dark screen and on a light one.

Each has a contrast of 4.5 or more to black and to white (WCAG 2.2, level AA). Only colours whose relative
luminance lies between 0.175 and 0.183 have both. Keywords are bold and comments italic, too.
"""

from __future__ import annotations

from pygments.token import Comment, Keyword, Literal, Name, Number, Operator, String
from rich.style import Style
from rich.syntax import ANSISyntaxTheme

BLUE, PURPLE, GREEN, ORANGE, GREY = "#2872e0", "#b341d0", "#008926", "#c0560a", "#757575"
THEME = ANSISyntaxTheme(
    {
        Comment: Style(color=GREY, italic=True),
        Comment.Preproc: Style(color=PURPLE),
        Keyword: Style(color=PURPLE, bold=True),
        Keyword.Type: Style(color=BLUE),
        Literal: Style(color=GREEN),
        Name.Builtin: Style(color=BLUE),
        Name.Builtin.Pseudo: Style(),  # self
        Name.Class: Style(color=BLUE, bold=True),
        Name.Decorator: Style(color=ORANGE),
        Name.Function: Style(color=BLUE, bold=True),
        Number: Style(color=ORANGE),
        Operator.Word: Style(color=PURPLE, bold=True),
        String: Style(color=GREEN),
    }
)
