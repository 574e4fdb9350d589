"""Pictures in the notebooks of the course."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight")
    _display(stream.getvalue(), alt)


def show_file(path: str | Path, alt: str) -> None:
    """Show the PNG that one of `tinynet.plots` has written, likewise."""
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(path) as picture:
        width = round(picture.width * DOTS_PER_INCH / picture.info["dpi"][0])
        picture.convert("RGB").quantize(128).save(stream, "PNG", optimize=True)  # half as many bytes
    _display(stream.getvalue(), alt, f' width="{width}"')


def _display(png: bytes, alt: str, size: str = "") -> None:
    from IPython.display import display

    data = base64.b64encode(png).decode("ascii")
    picture = f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}"{size}>'
    display({"text/html": picture, "text/plain": alt}, raw=True)  # type: ignore[no-untyped-call]
