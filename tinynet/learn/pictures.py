"""Pictures in the notebooks of the course."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 80


def show(figure: Figure, alt: str) -> None:
    """Show a figure below the cell, with the text `alt` for whoever cannot see it."""
    from IPython.display import display

    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    picture = f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}">'
    display({"text/html": picture, "text/plain": alt}, raw=True)  # type: ignore[no-untyped-call]
