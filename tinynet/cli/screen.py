"""The one place where text goes to a screen, whatever the screen can show and whoever wrote the text.

Nothing is read as markup or emoji: a path such as `runs/exp[final]` is shown as it is. What a terminal would
obey is escaped. A character that the encoding of the output lacks becomes a plain one, or its code.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from tinynet.printable import printable


class Screen(Console):
    """A console for text of any origin; lines are only broken where a terminal is that narrow."""

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        shown = [printable(each, keep="\n\t") if isinstance(each, str) else each for each in objects]
        if not self.is_terminal and all(isinstance(each, str | Text) for each in shown):
            options.setdefault("soft_wrap", True)
        super().print(*shown, **options)

    def on_broken_pipe(self) -> None:
        """Go on unseen where nobody reads any more, such as after `| head -1`: no work is lost by it."""
        self.quiet = True
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text, keep="\n\t"), **options)


console = Screen()
