"""Pictures in the notebooks of the course."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tinynet.plots.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 80


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure of that many inches in the style of our plots, to be drawn within the block."""
    with new_figure(width, height) as figure:
        yield figure
        figure.draw_without_rendering()  # matplotlib makes ticks late, in the style of that moment


def show(figure: Figure, alt: str) -> None:
    """Show a figure below the cell, with the text `alt` for whoever cannot see it."""
    from IPython.display import display

    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    picture = f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}">'
    display({"text/html": picture, "text/plain": alt}, raw=True)  # type: ignore[no-untyped-call]
